"""Client of the packrank reranking server: `RerankClient`, its asyncio twin, and their errors."""

from packrank_client._triton.tls import TLS
from packrank_client.async_client import AsyncRerankClient
from packrank_client.client import RerankClient
from packrank_client.errors import (
    DeadlineExceeded,
    InvalidRequest,
    RerankError,
    ServerFault,
    ServerOverloaded,
    ServerUnavailable,
    Unauthorized,
)
from packrank_client.results import RerankResult

__all__ = [
    "TLS",
    "AsyncRerankClient",
    "DeadlineExceeded",
    "InvalidRequest",
    "RerankClient",
    "RerankError",
    "RerankResult",
    "ServerFault",
    "ServerOverloaded",
    "ServerUnavailable",
    "Unauthorized",
]
