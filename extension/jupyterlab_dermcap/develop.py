"""``python -m jupyterlab_dermcap.develop``: put a checkout's front end and settings where this Python's Jupyter looks.

What a wheel carries as data files an editable install does not have: the built front end under
``share/jupyter/labextensions`` and the line that enables the server extension under ``etc/jupyter``. On POSIX the
front end is linked, so a new build shows at the next reload; it may be built after this has run. On Windows, where
links need a privilege, it is copied.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from . import _jupyter_labextension_paths

PACKAGE = Path(__file__).resolve().parent
CONFIG = PACKAGE.parents[1] / "jupyter-config" / "server-config" / "jupyterlab_dermcap.json"


def develop(prefix: Path) -> list[Path]:
    """Link or copy into the environment at ``prefix``; returns what was put there. Safe to repeat.

    Raises FileNotFoundError when there is nothing to copy yet, or this is not a checkout.
    """
    placed = []
    for extension in _jupyter_labextension_paths():
        source = PACKAGE / extension["src"]
        target = prefix / "share" / "jupyter" / "labextensions" / extension["dest"]
        _clear(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        if sys.platform == "win32":
            shutil.copytree(source, target)
        else:
            target.symlink_to(source, target_is_directory=True)
        placed.append(target)
    target = prefix / "etc" / "jupyter" / "jupyter_server_config.d" / CONFIG.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(CONFIG, target)
    placed.append(target)
    return placed


def _clear(target: Path) -> None:
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.is_dir():
        shutil.rmtree(target)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m jupyterlab_dermcap.develop", description=__doc__)
    parser.add_argument("--prefix", type=Path, default=Path(sys.prefix), help="environment (default: this Python's)")
    for path in develop(parser.parse_args().prefix):
        print(path)


if __name__ == "__main__":
    main()
