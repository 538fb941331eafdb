"""ASGI middleware: what every request passes through before its route."""
