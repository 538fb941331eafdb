"""Whether requests can be answered, learnt from answers and progress, not from the server's own word."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from packrank_gateway.scheduling.model_server import ModelServer


class Readiness:
    """Asks every model server. Callers that come together share one look."""

    def __init__(self, servers: Sequence[ModelServer]) -> None:
        self._servers = servers
        self._look: asyncio.Task[bool] | None = None

    async def is_ready(self) -> bool:
        """Tell whether at least one server answered lately, makes progress, or answers now."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._any_is_ready())
        return await asyncio.shield(self._look)

    async def _any_is_ready(self) -> bool:
        looks = [asyncio.create_task(server.is_ready()) for server in self._servers]
        try:
            for look in asyncio.as_completed(looks):
                if await look:
                    return True
            return False
        finally:
            for look in looks:
                look.cancel()
