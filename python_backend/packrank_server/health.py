"""Ask a health path of a local server."""

from __future__ import annotations

import urllib.request

# a proxy from the environment is for other hosts
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_healthy(url: str, timeout_s: float) -> bool:
    """Whether the URL answers 200 in time."""
    try:
        with _OPENER.open(url, timeout=timeout_s) as response:
            return bool(response.status == 200)
    except OSError:
        return False
