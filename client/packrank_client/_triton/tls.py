"""Encrypted connections."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import grpc


@dataclass(frozen=True)
class TLS:
    """PEM files: root certificates (None: gRPC's own), and the client's key and chain if the server wants them.

    Raises ValueError for `private_key` without `certificate_chain`, or the reverse.
    """

    root_certificates: str | PathLike[str] | None = None
    private_key: str | PathLike[str] | None = None
    certificate_chain: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        if (self.private_key is None) != (self.certificate_chain is None):
            raise ValueError("private_key and certificate_chain belong together; give both or neither.")


def channel_credentials(tls: TLS) -> Any:
    """Read the files. Raises OSError, which names a file that cannot be read."""
    files = (tls.root_certificates, tls.private_key, tls.certificate_chain)
    roots, key, chain = (None if path is None else Path(path).read_bytes() for path in files)
    return grpc.ssl_channel_credentials(roots, key, chain)
