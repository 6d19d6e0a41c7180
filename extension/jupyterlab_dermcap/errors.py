"""The one error that reaches a client: a stable code, a sentence, a hint."""

from __future__ import annotations


class DermcapError(Exception):
    """Something a person can read and act on.

    ``status`` is the HTTP status, ``retry_after_s`` how many seconds to wait before asking again makes sense.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        status: int = 503,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, dict[str, str]]:
        """The JSON body of the contract's ``ErrorBody``."""
        return error_body(self.code, self.message, self.hint)


def error_body(code: str, message: str, hint: str | None = None) -> dict[str, dict[str, str]]:
    """``{error: {code, message, hint?}}``, the body of every response outside 2xx."""
    error = {"code": code, "message": message}
    if hint:
        error["hint"] = hint
    return {"error": error}
