"""`make run`: start the server, ask one question over eight passages, say how to go on, stop.

.venv/bin/python scripts/run_demo.py [--http-port N] [--grpc-port N] [--metrics-port N]
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_server.arguments import add_port_arguments, ports_from
from packrank_server.tritonserver import Ports, ServerStartError, TritonServer

ROOT = Path(__file__).resolve().parent.parent
QUERY = "how much protein should a female eat?"
PASSAGES = Path("demo_ranker", "passages.txt")
LOG = Path(".cache", "tritonserver.log")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_port_arguments(parser)
    options = parser.parse_args()
    ports = ports_from(options)
    url = [] if ports.grpc == Ports().grpc else ["--url", f"localhost:{ports.grpc}"]
    command = [".venv/bin/rerank", *url, QUERY, str(PASSAGES)]
    repository = ROOT / "model_repository"
    try:
        record = read_build_record(repository / "ranker" / "1")
        print(f"Starting tritonserver with {record.source} ({record.precision}) ...", flush=True)
        (ROOT / LOG).parent.mkdir(exist_ok=True)
        with TritonServer(repository, ports=ports, log=ROOT / LOG):
            print(f"\n$ {shlex.join(command)}", flush=True)
            answered = subprocess.run(command, cwd=ROOT, check=False).returncode
    except (ServerStartError, StaleBuild) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    if answered == 0:
        notice = f"\n{record.notice}\n" if record.notice else ""
        print(f"{notice}\nKeep a server running with `make serve`, then ask again with the command above.")
    return answered


if __name__ == "__main__":
    sys.exit(main())
