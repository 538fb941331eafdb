"""`make run`: start the server, rank eight passages, show how to go on, and stop.

.venv/bin/python scripts/run_demo.py [--http-port N] [--grpc-port N] [--metrics-port N]
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from packrank_backend.build_record import StaleBuild, read_build_record
from packrank_server.arguments import add_port_arguments, ports_from
from packrank_server.errors import ServerStartError
from packrank_server.ports import Ports
from packrank_server.tritonserver import TritonServer

ROOT = Path(__file__).resolve().parent.parent
QUERY = "how much protein should a female eat?"
PASSAGES = "demo_ranker/passages.txt"


def main() -> int:
    """Run the demo and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_port_arguments(parser)
    ports = ports_from(parser.parse_args())
    url = [] if ports.grpc == Ports().grpc else ["--url", f"localhost:{ports.grpc}"]
    command = [".venv/bin/rerank", *url, QUERY, PASSAGES]
    log = ROOT / ".cache" / "tritonserver.log"
    log.parent.mkdir(exist_ok=True)
    try:
        record = read_build_record(ROOT / "model_repository" / "ranker" / "1")
        print(f"Starting tritonserver with {record.source} ({record.precision}) ...", flush=True)
        with TritonServer(ROOT / "model_repository", ports=ports, log=log):
            print(f"\n$ {shlex.join(command)}", flush=True)
            status = subprocess.run(command, cwd=ROOT, check=False).returncode
    except (ServerStartError, StaleBuild) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    if status == 0:
        notice = f"\n{record.notice}\n" if record.notice else ""
        print(f"{notice}\nKeep a server running with `make serve`, then ask again with the command above.")
    return status


if __name__ == "__main__":
    sys.exit(main())
