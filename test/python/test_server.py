"""The proxy with the DermCap server itself, as built in this checkout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import DERMCAP_ALONE, Jupyter, is_running, wait_until
from jupyterlab_dermcap.command import default_server_script


@pytest.fixture(scope="module")
def dermcap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """Jupyter with the real server and nothing configured."""
    assert Path(default_server_script()).is_file(), "build the server first: npm run build"
    folder = tmp_path_factory.mktemp("server")
    jupyter = Jupyter(folder, *DERMCAP_ALONE, DERMCAP_CACHE=str(folder / "cache"))
    yield jupyter
    jupyter.end()


def test_the_server_starts_and_tells_its_health(dermcap: Jupyter) -> None:
    answer = dermcap.get("health")
    assert answer.status == 200
    assert answer.json["status"] == "ok"
    assert answer.json["contract"] == 1
    assert is_running(answer.json["pid"])


def test_the_server_lists_jupyters_root_folder(dermcap: Jupyter) -> None:
    (dermcap.root / "lesion.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    page = dermcap.get("images").json
    assert [image["path"] for image in page["images"]] == ["lesion.png"]


def test_the_server_speaks_of_its_errors_itself(dermcap: Jupyter) -> None:
    answer = dermcap.get("runs/none-such")
    assert answer.status == 404
    assert answer.error["message"]


def test_the_server_serves_nothing_outside_jupyters_root(dermcap: Jupyter) -> None:
    (dermcap.root.parent / "outside.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for path in ("../outside.png", str(dermcap.root.parent / "outside.png"), "..%2Foutside.png"):
        answer = dermcap.get(f"image?path={path}")
        assert 400 <= answer.status < 500, path
        assert answer.error["code"]


def test_the_server_ends_with_a_killed_jupyter(tmp_path: Path) -> None:
    jupyter = Jupyter(tmp_path, *DERMCAP_ALONE, DERMCAP_CACHE=str(tmp_path / "cache"))
    try:
        pid = jupyter.server_pid()
    finally:
        jupyter.process.kill()
        jupyter.process.wait()
    wait_until(lambda: not is_running(pid), "the server outlived Jupyter", timeout_s=10)
