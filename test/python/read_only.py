"""An authorizer that lets people look and not touch."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth import Authorizer


class ReadOnly(Authorizer):
    """Allows reading alone."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        """Whether ``action`` is reading DermCap."""
        return action == "read" and resource == "dermcap"
