"""The one route: a request that Jupyter has let in goes to the DermCap server, its answer comes back as it is made."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
from jupyter_core.utils import ensure_async
from jupyter_server.auth import authorized
from jupyter_server.auth.utils import HTTP_METHOD_TO_AUTH_ACTION
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.iostream import StreamClosedError

from .errors import DermcapError, error_body
from .forwarding import Upload, forwarded_path, forwarded_query, request_headers, response_headers
from .supervisor import Supervisor

MAX_BODY_BYTES = 64 * 1024 * 1024
# An answer may take as long as a caption run, an event stream as long as the page is open.
TIMEOUTS = {"connect": 5.0, "read": None, "write": None, "pool": None}
CODES = {400: "bad-request", 403: "forbidden", 404: "not-found", 405: "method-not-allowed"}


@web.stream_request_body
class ProxyHandler(APIHandler):
    """Passes ``{base_url}dermcap/api/REST`` on to ``/api/REST`` of the server's socket.

    As an APIHandler it answers 403 where a page would redirect to the login, and checks XSRF and origin.
    """

    auth_resource = "dermcap"

    def initialize(self, supervisor: Supervisor) -> None:
        """Take the supervisor of the extension."""
        self.supervisor = supervisor
        self.upload: Upload | None = None
        self.received_bytes = 0
        self.exchange: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        """Begin to pass on a request that has a body: its verb below is called only when all of it has come."""
        await super().prepare()
        if self._finished or not self._has_body():
            return
        await self._require_permission()
        declared = self.request.headers.get("Content-Length", "")
        if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
            raise self._too_large()
        self.upload = Upload()
        self._begin()

    async def data_received(self, chunk: bytes) -> None:
        """Hand on a part of the body; the next is read from the client when the server has taken this one."""
        if self.upload is None or self.exchange is None:
            return
        self.received_bytes += len(chunk)
        if self.received_bytes > MAX_BODY_BYTES:
            self.exchange.cancel()
        else:
            await self.upload.put(chunk)

    def on_connection_close(self) -> None:
        """The client is gone: so is its request to the server, which can stop working for it."""
        super().on_connection_close()
        if self.exchange is not None:
            self.exchange.cancel()

    @web.authenticated
    @authorized
    async def get(self, _rest: str) -> None:
        """Pass on."""
        await self._answer()

    @web.authenticated
    @authorized
    async def post(self, _rest: str) -> None:
        """Pass on."""
        await self._answer()

    @web.authenticated
    @authorized
    async def put(self, _rest: str) -> None:
        """Pass on."""
        await self._answer()

    @web.authenticated
    @authorized
    async def patch(self, _rest: str) -> None:
        """Pass on."""
        await self._answer()

    @web.authenticated
    @authorized
    async def delete(self, _rest: str) -> None:
        """Pass on."""
        await self._answer()

    def _has_body(self) -> bool:
        headers = self.request.headers
        return "Transfer-Encoding" in headers or headers.get("Content-Length", "0") != "0"

    async def _require_permission(self) -> None:
        """What the verbs' decorators ask, asked before the body goes on.

        Not `@authorized` itself: it keeps the action of the first request it saw, so it fits one verb only.
        """
        action = HTTP_METHOD_TO_AUTH_ACTION[self.request.method or ""]
        user = self.current_user
        if not user or not await ensure_async(self.authorizer.is_authorized(self, user, action, self.auth_resource)):
            raise web.HTTPError(403)

    def _begin(self) -> asyncio.Task[None]:
        self.exchange = asyncio.create_task(self._exchange())
        self.exchange.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self.exchange

    async def _answer(self) -> None:
        exchange = self.exchange or self._begin()
        if self.upload is not None:
            await self.upload.put(None)
        await asyncio.wait({exchange})
        if self.received_bytes > MAX_BODY_BYTES:
            raise self._too_large()
        if not exchange.cancelled():
            exchange.result()

    async def _exchange(self) -> None:
        try:
            response = await self._send()
            try:
                await self._relay(response)
            finally:
                await response.aclose()
        finally:
            if self.upload is not None:
                self.upload.abandon()

    async def _send(self) -> httpx.Response:
        """Send the request; a server that died since the last one is started again, once."""
        prefix = url_path_join(self.base_url, "dermcap/api/")
        path = forwarded_path(self.request.path.removeprefix(prefix))
        request = httpx.Request(
            self.request.method or "GET",
            "http://dermcap/",
            headers=request_headers(self.request.headers, self.current_user),
            stream=self.upload or httpx.ByteStream(b""),
            # The target goes out byte for byte: httpx would normalise the percent-encoding of a URL.
            extensions={"target": path + forwarded_query(self.request.query), "timeout": TIMEOUTS},
        )
        for last_try in (False, True):
            transport = await self.supervisor.transport()
            try:
                return await transport.handle_async_request(request)
            except httpx.ConnectError as error:  # Nothing has been sent: trying again is safe.
                await self.supervisor.lost(transport)
                if last_try:
                    raise self._gone() from error
            except httpx.LocalProtocolError as error:
                raise DermcapError("bad-request", f"The request is not valid HTTP: {error}.", status=400) from error
            except httpx.TransportError as error:
                raise self._gone() from error
        raise AssertionError

    async def _relay(self, response: httpx.Response) -> None:
        """Send the answer on, each part flushed as it comes."""
        self.set_status(response.status_code, response.reason_phrase or "Unknown")
        self.clear_header("Content-Type")
        for name, value in response_headers(response.headers):
            self.add_header(name, value)
        try:
            await self.flush()
            async for chunk in response.stream:  # type: ignore[union-attr]
                self.write(chunk)
                await self.flush()
        except StreamClosedError:
            return
        except httpx.TransportError:
            self.log.warning("The DermCap server went away in the middle of an answer.")
            # An orderly end would pass what came so far off as the whole.
            self.detach().close()

    def _gone(self) -> DermcapError:
        return DermcapError(
            "server-gone",
            "The DermCap server stopped while it worked on this request.",
            hint="Try again: it is started anew. Jupyter's log says why it stopped.",
            status=502,
        )

    def _too_large(self) -> DermcapError:
        megabytes = MAX_BODY_BYTES // 1024**2
        return DermcapError("body-too-large", f"The request is larger than {megabytes} MB.", status=413)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Every error as the contract's ``ErrorBody``."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        if isinstance(error, DermcapError):
            self.set_status(error.status)
            if error.retry_after_s is not None:
                self.set_header("Retry-After", str(error.retry_after_s))
            body = error.body()
        elif isinstance(error, web.HTTPError) and status_code == 403 and not self.current_user:
            hint = "Reload the page and sign in, or pass Jupyter's token."
            body = error_body("forbidden", "Jupyter does not know who is asking.", hint)
        elif isinstance(error, web.HTTPError):
            body = error_body(CODES.get(status_code, "refused"), error.log_message or error.reason or str(error))
        else:
            body = error_body("proxy-failed", "Jupyter could not pass the request on; its log says why.")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(body))

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """A DermcapError is an answer, not a fault of this code: one line instead of a traceback."""
        if isinstance(value, DermcapError):
            self.log.warning("DermCap: %s %s", value.message, value.hint or "")
        else:
            super().log_exception(typ, value, tb)
