"""DermCap in Jupyter: signs people in through Jupyter, runs the DermCap server and passes requests to it."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Where the built front end lies, and under which name JupyterLab knows it."""
    return [{"src": "labextension", "dest": "@dermcap/jupyterlab"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """The server extension that Jupyter Server loads."""
    from .app import DermcapApp

    return [{"module": "jupyterlab_dermcap.app", "app": DermcapApp}]
