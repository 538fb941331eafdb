"""`make evaluate`: rerank-evaluate over a running server, or one that this starts for the time being.

python -m benchmarks.evaluation [--url HOST:PORT] [DATASET ...] -- [options of rerank-evaluate]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from packrank_backend.build_record import StaleBuild
from packrank_backend.tritonserver import ServerStartError, TritonServer, free_ports
from packrank_client.evaluation.command_line import main as evaluate

SETS = Path(".cache/evaluation/sets")
# What `make evaluate` measures without DATA: English and short, as the demo ranker is. The other sets lie beside them.
DEFAULT_SETS = ("debian-faq-en", "perlfaq")
REPOSITORY = Path("model_repository")
LOG = Path(".cache/evaluation/tritonserver.log")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url")
    parser.add_argument("datasets", nargs="*")
    own, options = sys.argv[1:], []
    if "--" in own:
        at = own.index("--")
        own, options = own[:at], own[at + 1 :]
    arguments = parser.parse_args(own)
    datasets = arguments.datasets or [str(SETS / name) for name in DEFAULT_SETS]
    if arguments.url:
        return evaluate([*datasets, "--url", arguments.url, *options])
    LOG.parent.mkdir(parents=True, exist_ok=True)
    try:
        with TritonServer(REPOSITORY, ports=free_ports(), log=LOG) as server:
            return evaluate([*datasets, "--url", server.grpc_endpoint, *options])
    except (ServerStartError, StaleBuild) as error:
        print(f"make evaluate: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
