"""Who is let in."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

import pytest
from conftest import Jupyter, StartJupyter


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("token", [False, "wrong"])
def test_answers_403_in_json_without_jupyters_token(jupyter: Jupyter, method: str, token: bool | str) -> None:
    body = b"{}" if method in ("POST", "PUT", "PATCH") else None
    answer = jupyter.request(method, f"uninvited-{method}", token=token, body=body)
    assert answer.status == 403
    assert "Location" not in answer.headers
    assert answer.error["code"] == "forbidden"
    assert f"{method} /api/uninvited-{method}" not in jupyter.get("seen").json


def test_answers_403_in_json_to_an_event_stream_without_a_token(jupyter: Jupyter) -> None:
    answer = jupyter.get("events?gate=uninvited", token=False, headers={"Accept": "text/event-stream"})
    assert answer.status == 403
    assert "Location" not in answer.headers
    assert answer.error["code"] == "forbidden"


def test_takes_the_token_from_header_and_query(jupyter: Jupyter) -> None:
    assert jupyter.get("x", headers={"Authorization": f"Bearer {jupyter.token}"}).status == 200
    assert jupyter.get(f"x?token={jupyter.token}", token=False).status == 200


@pytest.fixture(scope="module")
def cookies(jupyter: Jupyter) -> dict[str, str]:
    """What a browser holds after the page has been opened with the token."""
    page = jupyter.get(f"/base/lab?token={jupyter.token}", token=False)
    assert page.status == 200
    pairs = (cookie.split(";")[0].partition("=") for cookie in page.headers.get_all("Set-Cookie"))
    found = {name: value for name, _, value in pairs}
    assert "_xsrf" in found and len(found) >= 2
    return found


def cookie_header(cookies: dict[str, str]) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}


def test_lets_a_signed_in_page_read_and_write(jupyter: Jupyter, cookies: dict[str, str]) -> None:
    signed_in = cookie_header(cookies)
    assert jupyter.get("x", token=False, headers=signed_in).status == 200
    with_proof = {**signed_in, "X-XSRFToken": cookies["_xsrf"]}
    assert jupyter.post("x", b"{}", token=False, headers=with_proof).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("proof", [{}, {"X-XSRFToken": "forged"}])
def test_refuses_a_write_by_cookie_without_xsrf_proof(
    jupyter: Jupyter, cookies: dict[str, str], method: str, proof: dict[str, str]
) -> None:
    headers = {**cookie_header(cookies), **proof}
    path = f"forged-{method}-{len(proof)}"
    answer = jupyter.request(method, path, token=False, headers=headers, body=b"{}")
    assert answer.status == 403
    assert re.search("xsrf", answer.error["message"], re.I)
    assert f"{method} /api/{path}" not in jupyter.get("seen").json


def test_refuses_a_page_of_another_origin(jupyter: Jupyter, cookies: dict[str, str]) -> None:
    headers = {**cookie_header(cookies), "X-XSRFToken": cookies["_xsrf"], "Origin": "https://elsewhere.example"}
    answer = jupyter.post("elsewhere", b"{}", token=False, headers=headers)
    assert answer.status == 404
    assert answer.error["code"] == "not-found"
    assert "POST /api/elsewhere" not in jupyter.get("seen").json


def test_asks_jupyters_authorizer_for_each_method(start_jupyter: StartJupyter) -> None:
    jupyter = start_jupyter("echo.mjs", "--ServerApp.authorizer_class=read_only.ReadOnly")
    assert jupyter.get("seen").status == 200
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for body in (None, b"{}"):
            answer = jupyter.request(method, "study", body=body)
            assert answer.status == 403, method
            assert answer.error["code"] == "forbidden"
    seen = jupyter.get("seen").json
    assert not [line for line in seen if "study" in line]


def test_has_no_other_method(jupyter: Jupyter) -> None:
    answer = jupyter.request("HEAD", "x")
    assert answer.status == 405


def test_tells_the_server_who_asks(jupyter: Jupyter, cookies: dict[str, str]) -> None:
    signed_in = cookie_header(cookies)
    me = jupyter.get("/base/api/me", token=False, headers=signed_in).json["identity"]
    header = jupyter.get("x", token=False, headers=signed_in).json["headers"]["x-dermcap-user"]
    assert header.isascii() and " " not in header
    fields = ("username", "name", "display_name", "initials", "color")
    assert json.loads(unquote(header)) == {field: me[field] for field in fields}
    assert me["username"]
