"""Adds the built front end to a wheel. An editable install has none yet: ``jupyterlab_dermcap.develop`` links it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHARE = "share/jupyter/labextensions/@dermcap/jupyterlab"


class LabextensionHook(BuildHookInterface):
    """Build hook of the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files that go beside the Python code; ``version`` is ``standard`` or ``editable``."""
        if version == "editable":
            return
        extension = Path(self.root) / "extension"
        built = extension / "jupyterlab_dermcap" / "labextension"
        if not (built / "package.json").is_file():
            raise FileNotFoundError(f"{built} is missing: build the front end before the wheel (npm run build)")
        build_data["shared_data"] = {
            str(built): SHARE,
            str(extension / "install.json"): f"{SHARE}/install.json",
            str(Path(self.root) / "jupyter-config" / "server-config"): "etc/jupyter/jupyter_server_config.d",
        }
