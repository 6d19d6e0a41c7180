"""A real Jupyter Server with the extension, and plain HTTP to it: nothing between the test and the wire."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

HERE = Path(__file__).parent
SERVERS = HERE / "servers"
TIMEOUT_S = 30
API = "/base/dermcap/api/"

# Without the extensions that this one does not need, Jupyter is up sooner.
DERMCAP_ALONE = [
    f"--ServerApp.jpserver_extensions={name}=False"
    for name in ("jupyterlab", "jupyter_lsp", "jupyter_server_terminals", "notebook_shim")
]


@dataclass
class Answer:
    """An answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        """The contract's ErrorBody; fails on any other body."""
        assert self.headers["Content-Type"].startswith("application/json")
        assert set(self.json) == {"error"}
        assert set(self.json["error"]) <= {"code", "message", "hint"}
        return self.json["error"]


class Jupyter:
    """One Jupyter Server process of its own."""

    def __init__(self, folder: Path, *arguments: str, module: str = "jupyter_server", **environment: str) -> None:
        self.token = secrets.token_hex(24)
        self.port = free_port()
        self.log_file = folder / "jupyter.log"
        self.runtime = folder / "run"
        self.root = folder / "root"
        for part in (self.runtime, self.root):
            part.mkdir(parents=True, exist_ok=True)
        self.runtime.chmod(0o700)
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    module,
                    "--no-browser",
                    "--allow-root",
                    f"--ServerApp.port={self.port}",
                    "--ServerApp.port_retries=0",
                    "--ServerApp.ip=127.0.0.1",
                    "--ServerApp.base_url=/base/",
                    f"--ServerApp.root_dir={self.root}",
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={
                    **os.environ,
                    "JUPYTER_TOKEN": self.token,
                    "JUPYTER_CONFIG_DIR": str(folder / "config"),
                    "JUPYTER_DATA_DIR": str(folder / "data"),
                    "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
                    "XDG_RUNTIME_DIR": str(self.runtime),
                    "PYTHONPATH": os.pathsep.join(map(str, (HERE, HERE / "quick_start"))),
                    **environment,
                },
            )
        try:
            wait_until(self._answers, "Jupyter did not start")
        except BaseException:
            self.process.kill()
            raise

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log()
        try:
            return self.request("GET", "/base/api").status == 200
        except ConnectionError:
            return False

    def open(
        self,
        method: str,
        path: str,
        *,
        token: bool | str = True,
        headers: dict[str, str] | None = None,
        body: Any = None,
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request as it stands; ``path`` is relative to the API unless it begins with a slash."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        all_headers = dict(headers or {})
        if token:
            all_headers.setdefault("Authorization", f"token {self.token if token is True else token}")
        target = path if path.startswith("/") else API + path
        connection.request(method, target, body=body, headers=all_headers)
        return connection, connection.getresponse()

    def request(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request and read the answer to its end."""
        connection, response = self.open(method, path, **options)
        try:
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.request("POST", path, body=body, **options)

    def server_pid(self) -> int:
        """Process id of the DermCap server, which this starts if it is not there."""
        answer = self.get("health")
        assert answer.status == 200, answer.body
        return answer.json["pid"]

    def socket_folders(self) -> list[Path]:
        return list(self.runtime.glob("dermcap-*"))

    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace")

    def end(self) -> None:
        """Stop as a person or a hub does; kill what does not stop."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


StartJupyter = Callable[..., Jupyter]


@pytest.fixture
def start_jupyter(tmp_path: Path) -> Iterator[StartJupyter]:
    """Start Jupyter Servers without JupyterLab, which this extension does not need."""
    started: list[Jupyter] = []

    def start(script: str = "echo.mjs", *arguments: str, server_args: list[str] | None = None, **environment: str):
        jupyter = Jupyter(
            tmp_path / str(len(started)),
            *DERMCAP_ALONE,
            f"--DermcapApp.server_script={SERVERS / script}",
            *(f"--DermcapApp.server_args={argument}" for argument in server_args or []),
            *arguments,
            **environment,
        )
        started.append(jupyter)
        return jupyter

    yield start
    for jupyter in started:
        jupyter.end()


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """One JupyterLab for the tests that leave it as it is, enabled by the installed configuration alone."""
    folder = tmp_path_factory.mktemp("lab")
    lab = Jupyter(folder, "--ServerApp.log_level=DEBUG", module="jupyterlab", DERMCAP_SERVER=str(SERVERS / "echo.mjs"))
    yield lab
    lab.end()
    assert "DermCap server stopped" not in lab.log(), lab.log()


def wait_until(condition: Callable[[], Any], otherwise: str, timeout_s: float = TIMEOUT_S) -> None:
    """Poll until ``condition`` holds; fail with ``otherwise`` when it does not come to."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            pytest.fail(otherwise)
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process is there and not merely unburied."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
