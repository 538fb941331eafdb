"""Why a tritonserver did not start."""

from __future__ import annotations


class ServerStartError(Exception):
    """The server cannot be started. The message says why and what to do."""


class StartInterrupted(Exception):
    """The program was told to stop before the server was ready. Nothing of the server is left."""
