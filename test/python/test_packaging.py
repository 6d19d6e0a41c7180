"""What an install puts where."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from jupyterlab_dermcap.develop import develop

ROOT = Path(__file__).parents[2]
EXTENSION = "share/jupyter/labextensions/@dermcap/jupyterlab"
CONFIG = "etc/jupyter/jupyter_server_config.d/jupyterlab_dermcap.json"


def test_a_checkout_is_linked_into_an_environment(tmp_path: Path) -> None:
    stale = tmp_path / EXTENSION
    stale.mkdir(parents=True)
    (stale / "old.js").write_text("")
    for _ in range(2):
        placed = develop(tmp_path)
        assert placed == [tmp_path / EXTENSION, tmp_path / CONFIG]
        assert (tmp_path / EXTENSION).readlink() == ROOT / "extension" / "jupyterlab_dermcap" / "labextension"
        assert json.loads((tmp_path / CONFIG).read_text()) == {
            "ServerApp": {"jpserver_extensions": {"jupyterlab_dermcap": True}}
        }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files a wheel is made of, in a folder of their own."""
    copy = tmp_path / "checkout"
    code = shutil.ignore_patterns("node_modules", "lib", "src", "labextension", "__pycache__")
    shutil.copytree(ROOT / "extension", copy / "extension", ignore=code)
    shutil.copytree(ROOT / "jupyter-config", copy / "jupyter-config")
    for name in ("pyproject.toml", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, copy / name)
    return copy


def build_wheel(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=60)


def test_a_wheel_holds_code_front_end_and_settings(checkout: Path) -> None:
    package = checkout / "extension" / "jupyterlab_dermcap"
    (package / "labextension" / "static").mkdir(parents=True)
    (package / "labextension" / "package.json").write_text("{}")
    (package / "labextension" / "static" / "remoteEntry.js").write_text("")
    (package / "server").mkdir()
    (package / "server" / "cli.js").write_text("")
    built = build_wheel(checkout)
    assert built.returncode == 0, built.stderr
    (wheel,) = (checkout / "dist").glob("*.whl")
    assert wheel.name == "jupyterlab_dermcap-0.1.0-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    data = "jupyterlab_dermcap-0.1.0.data/data"
    for expected in (
        "jupyterlab_dermcap/app.py",
        "jupyterlab_dermcap/server/cli.js",
        f"{data}/{EXTENSION}/package.json",
        f"{data}/{EXTENSION}/static/remoteEntry.js",
        f"{data}/{EXTENSION}/install.json",
        f"{data}/{CONFIG}",
    ):
        assert expected in names
    assert not [name for name in names if name.startswith(("jupyterlab_dermcap/labextension", "extension"))]


def test_a_wheel_without_the_front_end_is_refused(checkout: Path) -> None:
    built = build_wheel(checkout)
    assert built.returncode != 0
    assert "build the front end before the wheel" in built.stderr
    assert not list(checkout.glob("dist/*.whl"))
