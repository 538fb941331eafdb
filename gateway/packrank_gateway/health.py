"""Whether the ensemble answers: known from a real inference, not from what a server says about itself."""

from __future__ import annotations

import asyncio
import time

from packrank_client import AsyncRerankClient, RerankError
from packrank_gateway.reranker import Reranker

PROBE_TIMEOUT_S = 5.0
# A success of any request counts this long, so that a busy gateway does not add probes to its work.
FRESH_S = 2.0


class Readiness:
    """Asks one question when no request has succeeded lately; callers that come while it is asked share the answer."""

    def __init__(self, client: AsyncRerankClient, reranker: Reranker) -> None:
        self._client = client
        self._reranker = reranker
        self._probe: asyncio.Task[bool] | None = None

    async def is_ready(self) -> bool:
        """Whether at least one pair has been scored within the last seconds, or is now."""
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
