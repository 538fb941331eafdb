"""Bearer keys, compared in constant time."""

from __future__ import annotations

import hmac
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from packrank_gateway.dialects.error_bodies import error_response
from packrank_gateway.errors import GatewayError
from packrank_gateway.settings import SettingsError
from packrank_gateway.telemetry.request_record import record_of

# Paths for probes, scrapers and the page. None of them shows a text or a score.
OPEN_PATHS = frozenset(
    {"/", "/health", "/v1/health/live", "/v1/health/ready", "/metrics", "/v1/metrics", "/info", "/openapi.json"}
    | {"/ping", "/infinity/health", "/meta", "/.well-known/live", "/.well-known/ready"}
    | {"/weaviate/meta", "/weaviate/.well-known/live", "/weaviate/.well-known/ready"}
)


def read_keys(file: Path) -> list[bytes]:
    """Read one key per line; skip blank lines and lines that begin with #. Raises SettingsError."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise SettingsError(f"--api-keys-file {file} cannot be read: {error.strerror}. Name a readable file.") from None
    keys = [line.strip() for line in lines if line.strip() and not line.startswith(b"#")]
    if not keys:
        raise SettingsError(f"--api-keys-file {file} holds no key; write one per line.")
    return keys


class ApiKeys:
    """Refuses requests without an accepted key, before reading their body."""

    def __init__(self, app: ASGIApp, keys: list[bytes]) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = record_of(scope)
        key = self._key_index(scope)
        if key is not None:
            record.caller = f"key {key}"
        if key is not None or self._is_open(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        record.error_kind = "unauthorized"
        error = GatewayError("unauthorized", "no accepted key; send `Authorization: Bearer <key>`.")
        await error_response(error, record.dialect)(scope, receive, send)

    @staticmethod
    def _is_open(method: str, path: str) -> bool:
        """Tell whether no key is needed. A POST always needs one: its body is held in memory."""
        return method in {"GET", "HEAD"} and (path in OPEN_PATHS or path == "/docs" or path.startswith("/docs/"))

    def _key_index(self, scope: Scope) -> int | None:
        header = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, given = header.partition(b" ")
        # compare with every key, so that the time does not tell which one is close
        matches = [hmac.compare_digest(given.strip(), key) for key in self._keys]
        return matches.index(True) if scheme.lower() == b"bearer" and any(matches) else None
