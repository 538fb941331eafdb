"""Run a contestant: a worker process, an HTTP server or the ensemble. Each scores whole lists of questions."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.processes import ROOT, running_http_server, running_server, stopped_at_the_end
from packrank_backend.text.prompt import pair_text
from packrank_backend.text.question import Question
from packrank_client import RerankClient

REQUEST_TIMEOUT_S = 600.0
# The same model in another precision correlates above this; another pooling, prompt or direction is far below.
LEAST_CORRELATION = 0.98
# Every file is local, so no peer needs a hub. None reports usage.
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "INFINITY_ANONYMOUS_USAGE_STATS": "0",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "true",
}


@dataclass(frozen=True)
class Scored:
    """One pass over the questions: wall-clock seconds, and every pair's logit in order."""

    seconds: float
    logits: list[float]


Score = Callable[[Sequence[Question]], Scored]
"""Score every pair. A server gets all questions at once, one request each."""


def correlation(name: str, reference: Sequence[float], logits: Sequence[float]) -> float:
    """Return Pearson's correlation of a contestant's logits with the reference's. Raises BenchmarkError if low."""
    with np.errstate(invalid="ignore"):  # equal logits correlate with nothing
        found = float(np.corrcoef(reference, logits)[0, 1])
    if not found >= LEAST_CORRELATION:
        raise BenchmarkError(
            f"{name} computes another model: its logits correlate by {found:.4f} with the padded model's"
        )
    return found


@contextlib.contextmanager
def running_worker(python: Path, kind: str, source: Path, precision: str, batch: int, log: Path) -> Iterator[Score]:
    """Run worker.py until it is ready. Its own clock counts, not the way to it. Raises BenchmarkError."""
    command = [str(python), "-m", "benchmarks.peers.worker", kind, str(source), precision, str(batch)]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **OFFLINE},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    assert process.stdin  # noqa: S101
    assert process.stdout  # noqa: S101
    questions_to, answers_from = process.stdin, process.stdout

    def answer() -> dict[str, Any]:
        line = answers_from.readline()
        if not line:
            raise BenchmarkError(f"the worker `{kind}` ended; read its log {log}")
        found: dict[str, Any] = json.loads(line)
        return found

    def score(questions: Sequence[Question]) -> Scored:
        pairs = [[pair_text(question.query, ""), text] for question in questions for text in question.passages]
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps({"pairs": pairs}), file=questions_to, flush=True)
        found = answer()
        return Scored(found["seconds"], found["scores"])

    with process, stopped_at_the_end(process):  # the first closes the pipes
        answer()
        yield score


@contextlib.contextmanager
def running_http_peer(
    command: Sequence[str],
    base_url: str,
    path: str,
    request: Mapping[str, Any],
    environment: Mapping[str, str],
    log: Path,
) -> Iterator[Score]:
    """Run a peer's server and ask it over HTTP. Raises ServerStartError."""
    raw_scores = bool(request.get("raw_scores"))

    def logits_of(question: Question) -> list[float]:
        body = {**request, "query": pair_text(question.query, ""), "documents": list(question.passages)}
        post = urllib.request.Request(  # noqa: S310
            base_url + path, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(post, timeout=REQUEST_TIMEOUT_S) as response:  # noqa: S310
                results = json.load(response)["results"]
        except urllib.error.HTTPError as error:
            raise BenchmarkError(f"{base_url}{path}: {error.read().decode()[:500]}") from error
        scores = [float(r["relevance_score"]) for r in sorted(results, key=lambda result: int(result["index"]))]
        return scores if raw_scores else [log_odds(score) for score in scores]

    with running_http_server(command, f"{base_url}/health", log, {**OFFLINE, **environment}):
        yield lambda questions: _asked_at_once(questions, logits_of)


@contextlib.contextmanager
def running_ensemble(repository: Path, name: str) -> Iterator[Score]:
    """Run packrank's whole path: client, gRPC, tritonserver with the config `cpu`. Raises ServerStartError."""
    with (
        running_server(repository, name) as server,
        RerankClient(server.grpc_endpoint, timeout_s=REQUEST_TIMEOUT_S) as client,
    ):

        def logits_of(question: Question) -> list[float]:
            results = client.rerank(question.query, question.passages)
            return [result.logit for result in sorted(results, key=lambda result: result.index)]

        yield lambda questions: _asked_at_once(questions, logits_of)


def log_odds(probability: float) -> float:
    """Return the logit whose sigmoid is `probability`."""
    clipped = min(max(probability, 1e-7), 1 - 1e-7)
    return math.log(clipped / (1 - clipped))


def _asked_at_once(questions: Sequence[Question], logits_of: Callable[[Question], list[float]]) -> Scored:
    with ThreadPoolExecutor(len(questions)) as threads:
        start = time.perf_counter()
        answers = list(threads.map(logits_of, questions))
        return Scored(time.perf_counter() - start, [logit for answer in answers for logit in answer])
