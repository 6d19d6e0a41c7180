"""What of a request and of an answer passes between browser and server."""

from __future__ import annotations

import asyncio
import json
import string
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

import httpx

from .errors import DermcapError

USER_HEADER = "X-DermCap-User"

# An allow list: Authorization, Cookie, X-XSRFToken, a login proxy's tokens, hop-by-hop headers and anything that
# claims to be X-DermCap-* stay behind, and so does what nobody has thought of yet.
REQUEST_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "content-encoding",
        "content-length",
        "content-type",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "last-event-id",
        "range",
        "transfer-encoding",
        "user-agent",
    }
)
# Hop-by-hop headers (RFC 9110 §7.6.1), and those that are Jupyter's to set: cookies, who may embed or read it.
WITHHELD_RESPONSE_HEADERS = frozenset(
    {
        "connection",
        "content-security-policy",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "server",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-content-type-options",
        "x-powered-by",
    }
)


class Upload(httpx.AsyncByteStream):
    """A request body on its way from the client to the server, one part at a time."""

    def __init__(self) -> None:
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self._abandoned = False

    async def put(self, part: bytes | None) -> None:
        """Give the next part, or None at the end; returns when there is room for one more."""
        if not self._abandoned:
            await self._parts.put(part)

    def abandon(self) -> None:
        """Nobody reads on: let go whoever waits in ``put``."""
        self._abandoned = True
        while not self._parts.empty():
            self._parts.get_nowait()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (part := await self._parts.get()) is not None:
            yield part


def forwarded_path(rest: str) -> bytes:
    """``/api/REST`` with its percent-encoding as it came.

    Raises DermcapError ``bad-path`` for a path that could lead out of the API: empty, ``.`` and ``..`` segments,
    however often encoded, backslashes and control characters.
    """
    decoded = rest
    for _ in range(3):
        decoded = unquote(decoded, errors="replace")
    segments = decoded.split("/")
    if (
        any(segment in (".", "..") for segment in segments)
        or "" in segments[:-1]
        or "\\" in decoded
        or any(ord(character) < 0x20 or ord(character) == 0x7F for character in decoded)
    ):
        raise DermcapError("bad-path", "The address is not one of DermCap's.", status=400)
    return b"/api/" + _ascii(rest)


def forwarded_query(query: str) -> bytes:
    """``?QUERY`` with its encoding as it came, without Jupyter's own parameters."""
    kept = [
        part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) not in ("token", "_xsrf")
    ]
    return b"?" + _ascii("&".join(kept)) if kept else b""


def _ascii(target: str) -> bytes:
    """Percent-encode the bytes beyond ASCII, which some clients send as they are and tornado reads as Latin-1."""
    return quote(target, safe=string.printable, encoding="latin-1").encode("ascii")


def request_headers(headers: Mapping[str, str], user: Any) -> dict[str, str]:
    """What the server may see of a request's headers, and who is asking."""
    passed = {name: value for name, value in headers.items() if name.lower() in REQUEST_HEADERS}
    return {**passed, "Host": "dermcap", "Connection": "close", USER_HEADER: identity(user)}


def identity(user: Any) -> str:
    """Jupyter's User as percent-encoded JSON, which is ASCII whatever the name is written in."""
    fields = ("username", "name", "display_name", "initials", "color")
    return quote(json.dumps({name: getattr(user, name, None) for name in fields}, ensure_ascii=False), safe="")


def response_headers(headers: httpx.Headers) -> Iterable[tuple[str, str]]:
    """What the browser may see of an answer's headers."""
    named = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    for name, value in headers.multi_items():
        lower = name.lower()
        if lower not in WITHHELD_RESPONSE_HEADERS and lower not in named and not lower.startswith("access-control-"):
            yield name, value
