"""When the DermCap server starts, what happens when it fails, and that nothing is left of it."""

from __future__ import annotations

import asyncio
import http.client
import logging
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SERVERS, Jupyter, StartJupyter, is_running, wait_until
from jupyterlab_dermcap.command import MINIMUM_NODE, check_node, default_node
from jupyterlab_dermcap.errors import DermcapError
from jupyterlab_dermcap.serverlog import read_line
from jupyterlab_dermcap.supervisor import CRASH_WINDOW_S, MAX_SOCKET_PATH_BYTES, Supervisor, make_socket_folder

ENDED = "DermCap server was ended by signal 9"


def test_concurrent_first_requests_start_one_server(start_jupyter: StartJupyter, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    jupyter = start_jupyter(server_args=["--starts", str(starts)])
    assert not starts.exists()
    assert jupyter.socket_folders() == []
    pids: list[int] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait()
        pids.append(jupyter.server_pid())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 8 and len(set(pids)) == 1
    (line,) = starts.read_text().splitlines()
    (folder,) = jupyter.socket_folders()
    expected = f"{pids[0]} serve --socket {folder}/http.sock --root {jupyter.root} --starts {starts}"
    assert line == expected
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.getpgid(pids[0]) == pids[0]


def kill(jupyter: Jupyter) -> int:
    """``kill -9``, and wait until nobody listens any more: Jupyter may or may not have noticed yet."""
    pid = jupyter.server_pid()
    (folder,) = jupyter.socket_folders()
    os.kill(pid, signal.SIGKILL)

    def refused() -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(folder / "http.sock")) != 0

    wait_until(refused, "a killed process still listens")
    return pid


def test_starts_again_after_a_kill(start_jupyter: StartJupyter) -> None:
    jupyter = start_jupyter()
    jupyter.server_pid()
    (old_folder,) = jupyter.socket_folders()
    first = kill(jupyter)
    second = jupyter.server_pid()
    assert second != first and is_running(second) and not is_running(first)
    assert not old_folder.exists()
    assert len(jupyter.socket_folders()) == 1
    assert ENDED in jupyter.log()
    assert kill(jupyter) == second
    assert jupyter.post("study", b"x" * 300_000).json["body"] == "x" * 300_000


def test_replaces_a_server_that_nobody_can_reach(start_jupyter: StartJupyter) -> None:
    jupyter = start_jupyter()
    first = jupyter.server_pid()
    (folder,) = jupyter.socket_folders()
    (folder / "http.sock").unlink()
    assert jupyter.server_pid() != first
    assert not is_running(first)


def test_an_answer_cut_short_does_not_pass_for_a_whole_one(start_jupyter: StartJupyter) -> None:
    jupyter = start_jupyter()
    _, response = jupyter.open("GET", "die")
    assert response.status == 200
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    wait_until(lambda: jupyter.log().count(ENDED) == 1, "Jupyter does not notice")
    silent = jupyter.get("die-silent")
    assert silent.status == 502
    assert silent.error["code"] == "server-gone"
    wait_until(lambda: jupyter.log().count(ENDED) == 2, "Jupyter does not notice")
    assert jupyter.get("x").status == 200


def test_jupyters_end_ends_the_server(start_jupyter: StartJupyter) -> None:
    jupyter = start_jupyter()
    pid = jupyter.server_pid()
    connection, response = jupyter.open("GET", "events?gate=open-at-the-end")
    assert response.readline()
    jupyter.process.send_signal(signal.SIGTERM)
    jupyter.process.wait(20)
    assert not is_running(pid)
    assert jupyter.socket_folders() == []
    assert "Traceback" not in jupyter.log()
    connection.close()


def test_a_killed_jupyter_leaves_no_server(start_jupyter: StartJupyter) -> None:
    jupyter = start_jupyter()
    pid = jupyter.server_pid()
    assert is_running(pid)
    jupyter.process.kill()
    jupyter.process.wait()
    wait_until(lambda: not is_running(pid), "the server outlived Jupyter", timeout_s=10)


def test_says_why_the_server_does_not_start_and_stops_trying(start_jupyter: StartJupyter, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    jupyter = start_jupyter("faulty.mjs", server_args=["--fault", "crash", "--starts", str(starts)])
    for _ in range(3):
        answer = jupyter.get("health")
        assert answer.status == 503
        assert answer.error["code"] == "server-not-started"
        assert answer.error["message"] == "The DermCap server did not start: it stopped with exit code 3."
        assert answer.error["hint"].endswith("the disk is full")
    refused = jupyter.get("health")
    assert refused.status == 503
    assert refused.error["code"] == "server-crashing"
    assert "stopped 3 times within a minute" in refused.error["message"]
    assert refused.error["hint"].endswith("the disk is full")
    assert 0 < int(refused.headers["Retry-After"]) <= CRASH_WINDOW_S
    assert len(starts.read_text().splitlines()) == 3
    assert jupyter.socket_folders() == []
    # The password of a database stands neither in the answer nor in the log.
    assert "postgres://reader:[secret]@db/studies" in jupyter.log()
    assert "hunter2" not in jupyter.log() + answer.body.decode()


def test_keeps_jupyters_secrets_to_itself(start_jupyter: StartJupyter) -> None:
    jupyter = start_jupyter("echo.mjs", "--ServerApp.log_level=DEBUG", JUPYTERHUB_API_TOKEN="hub-secret")
    environment = jupyter.get("environment").json
    assert not {"JUPYTER_TOKEN", "JUPYTERHUB_API_TOKEN"} & set(environment["names"])
    assert "PATH" in environment["names"]
    jupyter.get(f"x?token={jupyter.token}", token=False)
    jupyter.get(f"../x?token={jupyter.token}", token=False)
    jupyter.get("x", headers={"Referer": f"http://127.0.0.1/lab?token={jupyter.token}"})
    jupyter.get("die-silent")
    jupyter.end()
    assert "/base/dermcap/api/x?token=[secret]" in jupyter.log()  # At this level every request is logged.
    assert jupyter.token not in jupyter.log()
    assert jupyter.token not in " ".join(environment["argv"])


def test_passes_on_what_the_server_says(jupyter: Jupyter) -> None:
    lines = ["plain words", '{"level":50,"time":1,"pid":2,"msg":"no such image","path":"a.png"}', "x" * 200_000, "end"]
    assert jupyter.post("say", "\n".join([*lines, ""]).encode()).status == 200
    wait_until(lambda: "[dermcap] end" in jupyter.log(), "the last line is not in the log")
    assert "[dermcap] plain words" in jupyter.log()
    (error,) = (line for line in jupyter.log().splitlines() if "no such image" in line)
    assert error.startswith("[E ") and error.endswith('[dermcap] no such image {"path": "a.png"}')


def test_reads_a_log_record_or_leaves_the_line() -> None:
    assert read_line('{"level":30,"time":1,"msg":"listening"}', logging.WARNING) == (logging.INFO, "listening")
    assert read_line('{"level":60,"msg":"out"}', logging.WARNING) == (logging.CRITICAL, "out")
    for line in ('{"level":', '{"level":"x"}', "{}", "words"):
        assert read_line(line, logging.WARNING) == (logging.WARNING, line)


@pytest.fixture
def supervise(tmp_path: Path) -> Callable[..., Supervisor]:
    """Supervisors of real processes, without Jupyter."""

    def make(script: str, *arguments: str, node: str = default_node(), **options: object) -> Supervisor:
        command = (node, str(SERVERS / script))
        return Supervisor(command, str(tmp_path), logging.getLogger("test"), arguments=arguments, **options)

    return make


def failure(supervisor: Supervisor) -> DermcapError:
    """What a request is told that finds no server."""
    with pytest.raises(DermcapError) as raised:
        asyncio.run(supervisor.transport())
    assert raised.value.status == 503
    return raised.value


@pytest.mark.parametrize("fault", ["silent", "mute"])
def test_does_not_wait_for_ever(supervise: Callable[..., Supervisor], tmp_path: Path, fault: str) -> None:
    starts = tmp_path / "starts"
    supervisor = supervise("faulty.mjs", "--fault", fault, "--starts", str(starts), start_timeout_s=1.5)
    error = failure(supervisor)
    assert error.code == "server-not-started"
    assert error.message == "The DermCap server did not start: it did not answer within 1.5 s."
    pid, _, _, path = starts.read_text().split()[:4]
    assert not is_running(int(pid))
    assert not Path(path).parent.exists()


def test_says_what_is_not_installed(supervise: Callable[..., Supervisor], tmp_path: Path) -> None:
    error = failure(supervise("absent.mjs"))
    assert error.code == "server-not-installed"
    assert "absent.mjs does not exist" in error.message
    old = tmp_path / "node"
    old.write_text("#!/bin/sh\necho v22.11.0\n")
    old.chmod(0o755)
    error = failure(supervise("echo.mjs", node=str(old)))
    assert error.code == "node-too-old"
    assert error.message == f"{old} is Node v22.11.0; DermCap needs 24.15 or newer."


def test_kills_a_server_that_does_not_end_when_asked(
    supervise: Callable[..., Supervisor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    starts = tmp_path / "starts"
    supervisor = supervise("faulty.mjs", "--fault", "stubborn", "--starts", str(starts))

    async def run() -> None:
        await supervisor.transport()
        await supervisor.stop()

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert "[dermcap] no" in caplog.messages  # It was asked, and heard it.
    assert not is_running(int(starts.read_text().split()[0]))


def test_tries_again_a_minute_after_the_crashes(supervise: Callable[..., Supervisor], tmp_path: Path) -> None:
    now = 1000.0
    starts = tmp_path / "starts"
    supervisor = supervise("faulty.mjs", "--fault", "crash", "--starts", str(starts), clock=lambda: now)

    async def codes(count: int) -> list[str]:
        found = []
        for _ in range(count):
            with pytest.raises(DermcapError) as raised:
                await supervisor.transport()
            found.append(raised.value.code)
        return found

    async def run() -> None:
        nonlocal now
        assert await codes(4) == ["server-not-started"] * 3 + ["server-crashing"]
        now += CRASH_WINDOW_S - 1
        assert await codes(1) == ["server-crashing"]
        now += 1
        assert await codes(1) == ["server-not-started"]
        assert len(starts.read_text().splitlines()) == 4

    asyncio.run(run())


def test_a_caller_who_gives_up_does_not_end_the_start(supervise: Callable[..., Supervisor]) -> None:
    async def run() -> None:
        supervisor = supervise("echo.mjs")
        impatient = asyncio.create_task(supervisor.transport())
        patient = asyncio.create_task(supervisor.transport())
        await asyncio.sleep(0)
        impatient.cancel()
        assert await patient is await supervisor.transport()
        await supervisor.stop()
        with pytest.raises(DermcapError) as raised:
            await supervisor.transport()
        assert raised.value.code == "server-stopped"

    asyncio.run(run())


def test_a_stop_ends_a_start_under_way(supervise: Callable[..., Supervisor], tmp_path: Path) -> None:
    starts = tmp_path / "starts"

    async def run() -> None:
        supervisor = supervise("faulty.mjs", "--fault", "silent", "--starts", str(starts))
        waiting = asyncio.create_task(supervisor.transport())
        await asyncio.to_thread(wait_until, starts.exists, "the server was not started")
        await supervisor.stop()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(run())
    assert not is_running(int(starts.read_text().split()[0]))


def test_the_sockets_folder_is_private_and_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    folder = make_socket_folder()
    try:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert len(os.fsencode(folder / "http.sock")) <= MAX_SOCKET_PATH_BYTES
        assert list(long.iterdir()) == []
    finally:
        folder.rmdir()


def test_finds_a_node_that_is_new_enough() -> None:
    assert MINIMUM_NODE >= (24, 15)
    asyncio.run(check_node(default_node()))
    for wrong in ("", "/nowhere/node", "/bin/true"):
        with pytest.raises(DermcapError) as raised:
            asyncio.run(check_node(wrong))
        assert raised.value.code == "node-not-found"
