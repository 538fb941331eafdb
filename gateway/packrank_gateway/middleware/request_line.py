"""HEAD is answered like GET, and slashes too many in a path are ignored.

A redirect would do for slashes, but behind a TLS proxy the gateway knows neither the scheme nor the host to name.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES = re.compile("//+")


class RequestLine:
    """Rewrites method and path before anything else reads them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http":
            path = plain_path(scope["path"])
            # uvicorn looks at its own scope and leaves out the body of an answer to HEAD
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            if (method, path) != (scope["method"], scope["path"]):
                scope = {**scope, "method": method, "path": path}
        await self._app(scope, receive, send)


def plain_path(path: str) -> str:
    """Make each run of slashes one, and drop the last. `/docs/` stays: it leads to `/docs`."""
    if "//" in path:
        path = _SLASHES.sub("/", path)
    return path if path in {"/", "/docs/"} or not path.endswith("/") else path[:-1]
