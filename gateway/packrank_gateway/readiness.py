"""Whether the ensemble answers: learnt from a real inference, not from the server's own word."""

from __future__ import annotations

import asyncio
import time

from packrank_client import AsyncRerankClient, RerankError
from packrank_gateway.reranker import Reranker

PROBE_TIMEOUT_S = 5.0
# Any success within this time counts, so that a busy gateway sends no probes.
FRESH_S = 2.0


class Readiness:
    """Sends a probe if no request has succeeded recently. Concurrent callers share one probe."""

    def __init__(self, client: AsyncRerankClient, reranker: Reranker) -> None:
        self._client = client
        self._reranker = reranker
        self._probe: asyncio.Task[bool] | None = None

    async def is_ready(self) -> bool:
        """Tell whether a pair was scored within the last `FRESH_S` seconds, or can be scored now."""
        if time.monotonic() - self._reranker.last_success_s < FRESH_S:
            return True
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._ask())
        return await asyncio.shield(self._probe)

    async def _ask(self) -> bool:
        try:
            await self._client.rerank("ready?", ["yes"], truncate="END", timeout_s=PROBE_TIMEOUT_S)
        except RerankError:
            return False
        self._reranker.last_success_s = time.monotonic()
        return True
