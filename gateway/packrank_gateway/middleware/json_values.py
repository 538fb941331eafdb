"""How many values a JSON body has, counted before anything is built of it.

A value takes at least two bytes of a body but up to a hundred in memory, and Python's parser cannot be interrupted.
"""

from __future__ import annotations

import asyncio

from packrank_gateway.errors import GatewayError

# A request has at most some thousand documents; this leaves room for a hundred fields of each.
MAX_VALUES = 200_000
# A body up to this size cannot hold enough values to matter.
SMALL_BODY_BYTES = 262_144
_SLICE_BYTES = 65_536


async def check_value_count(body: bytes | bytearray) -> None:
    """Count the separators outside strings, and let others run between two slices.

    Raises GatewayError(invalid_field) for a body with more than `MAX_VALUES`.
    """
    if len(body) <= SMALL_BODY_BYTES:
        return
    separators = 0
    in_string = False
    rest = b""  # a backslash at the end of a slice, which belongs to the next byte
    for start in range(0, len(body), _SLICE_BYTES):
        piece = rest + body[start : start + _SLICE_BYTES]
        backslashes = len(piece) - len(piece.rstrip(b"\\"))
        rest = b"\\" if backslashes % 2 else b""
        piece = piece[: len(piece) - len(rest)]
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(parts[int(in_string) :: 2])
        separators += sum(outside.count(mark) for mark in (b",", b"[", b"{"))
        in_string ^= len(parts) % 2 == 0
        if separators > MAX_VALUES:
            sentence = f"the body has more than {MAX_VALUES} JSON values; send fewer documents or fields."
            raise GatewayError("invalid_field", sentence)
        await asyncio.sleep(0)
