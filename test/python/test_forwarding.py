"""What passes through, and how."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import socket
import threading
from urllib.parse import quote, unquote

import psutil
import pytest
from conftest import API, Jupyter
from jupyter_server.auth import User
from jupyterlab_dermcap.forwarding import forwarded_path, forwarded_query, identity

FILE_BYTES = 64 * 1024 * 1024


@pytest.mark.parametrize(
    "path",
    [
        "../health",
        "..",
        "runs/../../etc/passwd",
        "runs/..",
        "%2e%2e/secret",
        "%2E%2E%2Fsecret",
        ".%2e/secret",
        "runs/%2e%2e/%2e%2e/secret",
        "..%2fsecret",
        "%252e%252e/secret",
        "..%5csecret",
        "..\\secret",
        "./secret",
        "/etc/passwd",
        "//etc/passwd",
        "%2fetc%2fpasswd",
        "runs//secret",
        "http://169.254.169.254/secret",
        "secret%00.png",
        "secret%0d%0aX-Injected:1",
    ],
)
def test_no_path_leads_out_of_the_api(jupyter: Jupyter, path: str) -> None:
    before = [line for line in jupyter.get("seen").json if line != "GET /api/seen"]
    answer = jupyter.get(API + path)
    assert (answer.status, answer.error["code"]) == (400, "bad-path")
    assert [line for line in jupyter.get("seen").json if line != "GET /api/seen"] == before


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_passes_method_path_query_and_body_as_they_are(jupyter: Jupyter, method: str) -> None:
    target = "runs/a%20b%2Fc+d/%C3%A9%7e?path=x%2Fy%20z&empty=&flag&q=%e9"
    body = "schön".encode() if method != "GET" else None
    echoed = jupyter.request(method, target, body=body).json
    assert echoed["method"] == method
    assert echoed["url"] == f"/api/{target}"
    assert echoed["body"] == ("schön" if body else "")


def test_percent_encodes_bytes_that_were_not(jupyter: Jupyter) -> None:
    with socket.create_connection(("127.0.0.1", jupyter.port)) as raw:
        target = f"{API}läsion?q=ä".encode()
        raw.sendall(
            b"GET " + target + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            b"Authorization: token " + jupyter.token.encode() + b"\r\n\r\n"
        )
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert b'"url":"/api/l%C3%A4sion?q=%C3%A4"' in answer


@pytest.mark.parametrize(
    ("query", "passed"),
    [
        ("token=T&a=1", "?a=1"),
        ("a=1&token=T&b=2&token=U", "?a=1&b=2"),
        ("%74oken=T&a=1", "?a=1"),
        ("token=T", ""),
        ("", ""),
        ("a=1&_xsrf=X", "?a=1"),
        ("tokens=3&a=token", "?tokens=3&a=token"),
    ],
)
def test_keeps_jupyters_parameters_from_the_server(query: str, passed: str) -> None:
    assert forwarded_query(query) == passed.encode()


def test_the_token_in_a_query_does_not_reach_the_server(jupyter: Jupyter) -> None:
    echoed = jupyter.get(f"x?a=1&token={jupyter.token}&b=2", token=False).json
    assert echoed["url"] == "/api/x?a=1&b=2"
    assert jupyter.token not in json.dumps(echoed)


def test_withholds_credentials_and_claims_of_identity(jupyter: Jupyter) -> None:
    sent = {
        "Cookie": "session=1",
        "X-XSRFToken": "x",
        "X-DermCap-User": "%7B%22username%22%3A%22admin%22%7D",
        "x-dermcap-role": "admin",
        "X-Forwarded-Access-Token": "secret",
        "Referer": f"http://127.0.0.1/lab?token={jupyter.token}",
        "Proxy-Authorization": "Basic x",
        "TE": "trailers",
        "Upgrade": "h2c",
        "Accept": "application/json",
        "Accept-Language": "de",
        "Last-Event-ID": "7",
        "Content-Type": "application/json",
        "User-Agent": "test",
    }
    echoed = jupyter.post("x", b"{}", headers=sent).json["headers"]
    user = echoed.pop("x-dermcap-user")
    assert "admin" not in user and "Anonymous" in user
    assert echoed.pop("connection") == "close"
    assert echoed.pop("accept-encoding") == "identity"
    assert echoed == {
        "host": "dermcap",
        "accept": "application/json",
        "accept-language": "de",
        "last-event-id": "7",
        "content-type": "application/json",
        "content-length": "2",
        "user-agent": "test",
    }


def test_writes_any_name_in_ascii() -> None:
    user = User(username="søren", name="Søren Å, 北京", display_name="Søren\r\nX: 1", initials="SÅ", color="red")
    header = identity(user)
    assert header.isascii() and not set(header) & set("\r\n ,;\"'")
    assert json.loads(unquote(header)) == {
        "username": "søren",
        "name": "Søren Å, 北京",
        "display_name": "Søren\r\nX: 1",
        "initials": "SÅ",
        "color": "red",
    }


def test_jupyters_own_headers_stand(jupyter: Jupyter) -> None:
    answer = jupyter.get("response-headers")
    assert answer.status == 201
    assert answer.headers["X-Caption-Count"] == "2"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers.get_all("Vary") == ["Accept", "Accept-Language"]
    assert answer.headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert "default-src *" not in ";".join(answer.headers.get_all("Content-Security-Policy"))
    assert "session=1" not in (answer.headers.get_all("Set-Cookie") or [])
    assert "*" not in answer.headers.get_all("Access-Control-Allow-Origin")
    for withheld in ("X-Powered-By", "X-Between-Us", "Keep-Alive"):
        assert withheld not in answer.headers


def test_an_error_of_the_server_arrives_as_it_is(jupyter: Jupyter) -> None:
    answer = jupyter.get("refuse")
    assert answer.status == 404
    assert answer.json == {"error": {"code": "no-such-run", "message": "No."}}


def test_caching_and_ranges_work_end_to_end(jupyter: Jupyter) -> None:
    part = jupyter.get("file", headers={"Range": "bytes=1000-1999"})
    assert part.status == 206
    assert part.body == bytes(i % 251 for i in range(1000, 2000))
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{FILE_BYTES}"
    assert part.headers["Content-Length"] == "1000"
    assert part.headers["Cache-Control"] == "private, max-age=60"
    assert part.headers["Content-Type"] == "image/png"
    unchanged = jupyter.get("file", headers={"If-None-Match": part.headers["ETag"]})
    assert unchanged.status == 304
    assert unchanged.body == b""
    assert unchanged.headers.get_all("ETag") == ['"v1"']


def test_a_large_download_arrives_whole_and_is_not_gathered_in_memory(jupyter: Jupyter) -> None:
    process = psutil.Process(jupyter.process.pid)
    connection, response = jupyter.open("GET", "file")
    first = response.read(1)
    before = process.memory_info().rss
    hashed = hashlib.sha256(first)
    largest = before
    while part := response.read(1 << 20):
        hashed.update(part)
        largest = max(largest, process.memory_info().rss)
    connection.close()
    pattern = bytes(range(251))
    expected = pattern * (FILE_BYTES // 251) + pattern[: FILE_BYTES % 251]
    assert hashed.hexdigest() == hashlib.sha256(expected).hexdigest()
    assert largest - before < 24 * 1024 * 1024


def test_each_event_arrives_when_it_is_sent(jupyter: Jupyter) -> None:
    connection, response = jupyter.open("GET", "events?gate=sse", headers={"Last-Event-ID": "4"})
    assert response.headers["Content-Type"] == "text/event-stream"
    assert [response.readline() for _ in range(3)] == [b"id: 1\n", b"data: first after 4\n", b"\n"]
    # The server sends the second event only now: a proxy that gathers would have timed out above.
    jupyter.post("open-gate?gate=sse")
    assert response.read() == b"id: 2\ndata: second\n\n"
    connection.close()


def test_a_reader_who_leaves_ends_the_servers_work(jupyter: Jupyter) -> None:
    connection, response = jupyter.open("GET", "events?gate=left")
    assert response.readline() == b"id: 1\n"
    response.close()
    connection.close()
    assert jupyter.get("await-gate?gate=left-closed").status == 200


def test_each_part_of_an_upload_arrives_when_it_is_sent(jupyter: Jupyter) -> None:
    parts = [random.Random(1).randbytes(3 << 20), b"the end"]

    def body():
        yield parts[0]
        assert jupyter.get("await-gate?gate=up-begun").status == 200
        yield parts[1]

    length = sum(map(len, parts))
    answer = jupyter.post("upload?gate=up", body(), headers={"Content-Length": str(length)})
    assert answer.json["bytes"] == length
    assert answer.json["sha256"] == hashlib.sha256(b"".join(parts)).hexdigest()
    assert answer.json["parts"] > 1


def test_a_chunked_upload_arrives(jupyter: Jupyter) -> None:
    answer = jupyter.post("upload?gate=chunked", iter([b"a" * 70000, b"b"]))
    assert answer.json["bytes"] == 70001


def test_refuses_a_body_over_64_mb_before_it_comes(jupyter: Jupyter) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", jupyter.port, timeout=10)
    connection.putrequest("POST", f"{API}too-large")
    connection.putheader("Authorization", f"token {jupyter.token}")
    connection.putheader("Content-Length", str(64 * 1024 * 1024 + 1))
    connection.endheaders()
    response = connection.getresponse()  # Not a byte of the body has been sent.
    assert response.status == 413
    assert json.loads(response.read())["error"]["code"] == "body-too-large"
    connection.close()
    assert "POST /api/too-large" not in jupyter.get("seen").json


def test_refuses_a_chunked_body_over_64_mb(jupyter: Jupyter) -> None:
    answer = jupyter.post("upload?gate=endless", (b"x" * (1 << 20) for _ in range(65)))
    assert answer.status == 413
    assert answer.error["code"] == "body-too-large"


def test_many_streams_are_open_at_once(jupyter: Jupyter) -> None:
    opened = [jupyter.open("GET", f"events?gate=many-{n}") for n in range(120)]
    assert [response.readline() for _, response in opened] == [b"id: 1\n"] * 120
    assert jupyter.get("x").status == 200
    for connection, response in opened:
        response.close()
        connection.close()


def test_requests_do_not_wait_for_each_other(jupyter: Jupyter) -> None:
    waiting = threading.Thread(target=lambda: jupyter.get("await-gate?gate=slow"))
    waiting.start()
    assert jupyter.get("x").status == 200
    jupyter.post("open-gate?gate=slow")
    waiting.join(10)
    assert not waiting.is_alive()


def test_keeps_percent_encoding_of_any_segment() -> None:
    for segment in ("a b", "ä", "50%", "a/b", "…", "a..b", "...", "x?y#z"):
        assert forwarded_path(f"runs/{quote(segment, safe='')}") == f"/api/runs/{quote(segment, safe='')}".encode()
