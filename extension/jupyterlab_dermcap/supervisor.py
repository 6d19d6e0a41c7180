"""Starts the DermCap server when it is first needed, starts it again after a crash, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from .command import check_node, check_script, server_environment
from .errors import DermcapError
from .serverlog import lines, read_line

# sun_path holds 104 bytes on macOS and 108 on Linux, with the closing zero.
MAX_SOCKET_PATH_BYTES = 103
SOCKET_NAME = "http.sock"
LAST_LINES = 8
STOP_GRACE_S = 5.0
POLL_S = 0.05
# Three crashes within a minute: a fourth start would most likely crash too.
CRASH_LIMIT = 3
CRASH_WINDOW_S = 60.0


@dataclass
class RunningServer:
    """One server process, its socket's folder and the connections to it."""

    process: asyncio.subprocess.Process
    folder: Path
    transport: httpx.AsyncHTTPTransport
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    stopping: bool = False
    ended: asyncio.Task[None] | None = None


class Supervisor:
    """Owner of at most one server process.

    ``command`` starts the server: ``[node, script]``; ``arguments`` come after ``serve --socket PATH --root DIR``.
    The server must end when its standard input closes: the pipe's other end is held by this process alone, so not
    even a ``kill -9`` of Jupyter leaves an orphan.
    """

    def __init__(
        self,
        command: tuple[str, str],
        root: str,
        log: logging.Logger,
        *,
        arguments: Sequence[str] = (),
        start_timeout_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node, self._script = command
        self._root = root
        self._log = log
        self._arguments = list(arguments)
        self._start_timeout_s = start_timeout_s
        self._clock = clock
        self._server: RunningServer | None = None
        self._starting: asyncio.Task[RunningServer] | None = None
        self._crashes: deque[float] = deque(maxlen=CRASH_LIMIT)
        self._last_words = ""
        self._closed = False

    async def transport(self) -> httpx.AsyncHTTPTransport:
        """Connections to a running server, started now if there is none. Concurrent callers share one start.

        Raises DermcapError when the server cannot be started or has crashed too often.
        """
        server = self._server
        if server is None or server.process.returncode is not None:
            if self._starting is None or self._starting.done():
                self._starting = asyncio.create_task(self._start())
                # A caller may be gone before it fails; its error is then nobody's, not a warning.
                self._starting.add_done_callback(lambda task: task.cancelled() or task.exception())
            # Shielded: a caller who gives up must not end the start that others wait for.
            server = await asyncio.shield(self._starting)
        return server.transport

    async def lost(self, transport: httpx.AsyncHTTPTransport) -> None:
        """Tell that no connection could be made: if nobody listens, the process is of no use and is cleared away.

        A server that is busy, or a Jupyter that is out of file handles, is no reason to end anything.
        """
        server = self._server
        if server is None or server.transport is not transport or server.ended is None:
            return
        if not someone_listens(server.folder / SOCKET_NAME):
            self._signal(server, signal.SIGKILL)
            await asyncio.shield(server.ended)

    async def stop(self) -> None:
        """End the server: asked first, killed after five seconds. No start is possible afterwards."""
        self._closed = True
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait({self._starting})
        if self._server is not None:
            await self._end(self._server)

    async def _start(self) -> RunningServer:
        if self._closed:
            raise DermcapError("server-stopped", "Jupyter is shutting down.")
        if sys.platform == "win32":
            raise DermcapError(
                "platform-not-supported",
                "DermCap needs Unix sockets, which Python does not offer on Windows.",
                hint="Run Jupyter inside the Windows Subsystem for Linux.",
            )
        self._refuse_after_crashes()
        check_script(self._script)
        await check_node(self._node)
        server = await self._spawn()
        server.ended = asyncio.create_task(self._follow(server))
        try:
            await asyncio.wait_for(self._answers(server), self._start_timeout_s)
        except asyncio.TimeoutError:
            await self._end(server)
            self._crashes.append(self._clock())
            raise self._not_started(server, f"it did not answer within {self._start_timeout_s:g} s") from None
        except BaseException:
            await self._end(server)
            raise
        self._server = server
        self._log.info("DermCap server started (process %d)", server.process.pid)
        return server

    async def _spawn(self) -> RunningServer:
        folder = make_socket_folder()
        address = str(folder / SOCKET_NAME)
        command = [self._node, self._script, "serve", "--socket", address, "--root", self._root]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=server_environment(),
                # A group of its own: Ctrl-C in Jupyter's terminal is Jupyter's to handle.
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # No limit on connections: each open event stream holds one. None is kept: a new one costs microseconds, while
        # a request on a kept one may meet a server that is closing it, and could not safely be sent again.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        return RunningServer(process, folder, httpx.AsyncHTTPTransport(uds=address, limits=limits))

    async def _answers(self, server: RunningServer) -> None:
        """Poll the server's health until it answers 200."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                request = httpx.Request("GET", "http://dermcap/api/health")
                response = await server.transport.handle_async_request(request)
                await response.aread()
                await response.aclose()
                if response.status_code == 200:
                    return
            if server.process.returncode is not None and server.ended is not None:
                await server.ended
                raise self._not_started(server, f"it {outcome(server.process.returncode)}")
            await asyncio.sleep(POLL_S)

    async def _follow(self, server: RunningServer) -> None:
        """Pass the server's output to Jupyter's log until it ends, then clear away what it leaves."""
        process = server.process
        assert process.stdout is not None and process.stderr is not None
        pumps = [
            asyncio.create_task(self._pump(process.stdout, logging.INFO, server.last_lines)),
            asyncio.create_task(self._pump(process.stderr, logging.WARNING, server.last_lines)),
        ]
        status = await process.wait()
        # Whatever it started goes with it, and so does a pipe that such a process would hold open.
        self._signal(server, signal.SIGKILL)
        await asyncio.wait(pumps, timeout=1)
        for pump in pumps:
            pump.cancel()
        if not server.stopping:
            self._crashes.append(self._clock())
            self._last_words = "\n".join(server.last_lines)
            self._log.error("DermCap server %s", outcome(status))
        if self._server is server:
            self._server = None
        shutil.rmtree(server.folder, ignore_errors=True)
        await server.transport.aclose()

    async def _pump(self, stream: asyncio.StreamReader, level: int, last_lines: deque[str]) -> None:
        async for line in lines(stream):
            found, words = read_line(line, level)
            self._log.log(found, "[dermcap] %s", words)
            last_lines.append(words)

    async def _end(self, server: RunningServer) -> None:
        server.stopping = server.stopping or server.process.returncode is None
        assert server.ended is not None
        self._signal(server, signal.SIGTERM)
        done, _ = await asyncio.wait({server.ended}, timeout=STOP_GRACE_S)
        if not done:
            self._signal(server, signal.SIGKILL)
            await asyncio.wait({server.ended})

    def _signal(self, server: RunningServer, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(server.process.pid, number)

    def _refuse_after_crashes(self) -> None:
        if len(self._crashes) < CRASH_LIMIT:
            return
        wait_s = math.ceil(self._crashes[0] + CRASH_WINDOW_S - self._clock())
        if wait_s > 0:
            raise DermcapError(
                "server-crashing",
                f"The DermCap server stopped {CRASH_LIMIT} times within a minute;"
                f" it is started again in {wait_s} s at the earliest.",
                hint=last_words(self._last_words),
                retry_after_s=wait_s,
            )

    def _not_started(self, server: RunningServer, why: str) -> DermcapError:
        self._last_words = "\n".join(server.last_lines)
        message = f"The DermCap server did not start: {why}."
        return DermcapError("server-not-started", message, hint=last_words(self._last_words))


def someone_listens(path: Path) -> bool:
    """False when a Unix socket is gone or has no process behind it; True when that cannot be told."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(str(path)) not in (errno.ECONNREFUSED, errno.ENOENT)
    return True


def outcome(status: int) -> str:
    """How a process ended, in words: a negative status is the signal's number."""
    return f"was ended by signal {-status}" if status < 0 else f"stopped with exit code {status}"


def last_words(said: str) -> str:
    """A hint that quotes what the server said last."""
    return f"It last said:\n{said}" if said else "It said nothing; Jupyter's log may tell more."


def make_socket_folder() -> Path:
    """A fresh folder of mode 0700 whose path is short enough for a Unix socket in it."""
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
        if not parent or not Path(parent).is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            continue
        folder = Path(tempfile.mkdtemp(prefix="dermcap-", dir=parent))
        if len(os.fsencode(folder / SOCKET_NAME)) <= MAX_SOCKET_PATH_BYTES:
            return folder
        folder.rmdir()
    raise DermcapError(
        "no-socket-folder",
        "No folder is writable and short enough in name for the DermCap server's socket.",
        hint="Set TMPDIR or XDG_RUNTIME_DIR to a writable folder with a short path.",
    )
