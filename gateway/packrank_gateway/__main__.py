"""Run the gateway: `python -m packrank_gateway --help` lists its settings."""

from __future__ import annotations

import resource
import sys

import uvicorn

from packrank_gateway.app import create_app
from packrank_gateway.middleware.connection_bounds import BoundedProtocol
from packrank_gateway.settings import SettingsError, settings_from
from packrank_gateway.telemetry.json_log import configure_logging
from packrank_gateway.telemetry.tracing import name_service


def main() -> int:
    """Serve until SIGTERM or SIGINT, then accept no new requests and finish the pending ones."""
    try:
        settings = settings_from(sys.argv[1:])
        app = create_app(settings)
    except SettingsError as error:
        print(f"packrank_gateway: {error}", file=sys.stderr)
        return 2
    configure_logging()
    name_service()
    # each connection takes a file descriptor, and the usual soft limit is only 1,024
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        # the gateway never uses the client's address
        proxy_headers=False,
        server_header=False,
        # a long queue of new connections: admission should refuse a burst, not the kernel
        backlog=4096,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.drain_timeout_s,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
