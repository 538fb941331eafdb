"""Run the gateway: `python -m packrank_gateway --help` lists its settings."""

from __future__ import annotations

import resource
import sys

import uvicorn

from packrank_gateway.app import create_app
from packrank_gateway.middleware.observe import configure_logging
from packrank_gateway.settings import SettingsError, settings_from
from packrank_gateway.telemetry.tracing import name_service


def main() -> int:
    """Serve until SIGTERM or SIGINT; then take no new request, and finish those under way."""
    try:
        settings = settings_from(sys.argv[1:])
        app = create_app(settings)
    except SettingsError as error:
        print(f"packrank_gateway: {error}", file=sys.stderr)
        return 2
    configure_logging()
    name_service()
    # one for each connection: 1,024, the usual soft limit, is few
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        # nothing here asks who the client is
        proxy_headers=False,
        server_header=False,
        # connections that wait to be accepted: a burst must be refused by admission and not by the kernel
        backlog=4096,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=settings.drain_timeout_s,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
