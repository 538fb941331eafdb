"""Contestants that run: each scores whole lists of questions and says how long that took."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from packrank_backend.pairs import Question
from packrank_backend.prompt import pair_text
from packrank_client import RerankClient
from packrank_server.tritonserver import TritonServer, free_ports

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 600.0  # vLLM compiles at its first start
REQUEST_TIMEOUT_S = 600.0


class ContestantFailed(Exception):
    """A contestant did not start or did not answer; the message names its log."""


@dataclass(frozen=True)
class Scored:
    """One pass over the questions: wall-clock seconds, and every pair's logit in order."""

    seconds: float
    logits: list[float]


class Running(Protocol):
    """A contestant that is ready."""

    def score(self, questions: Sequence[Question]) -> Scored:
        """Score every pair. A server gets all questions at once, one request each."""


class Worker:
    """A process that is asked over its standard input (workers/answering.py)."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def score(self, questions: Sequence[Question]) -> Scored:
        """The worker's own clock: how its pairs come to it is not measured."""
        assert self._process.stdin  # noqa: S101
        pairs = [[pair_text(question.query, ""), text] for question in questions for text in question.passages]
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps({"pairs": pairs}), file=self._process.stdin, flush=True)
        answer = self.answer()
        return Scored(answer["seconds"], answer["scores"])

    def answer(self) -> dict[str, Any]:
        """The next line that the worker writes."""
        assert self._process.stdout  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            raise ContestantFailed(f"the process ended; its log is {self._log}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def running_worker(python: Path, module: str, arguments: Sequence[str], log: Path) -> Iterator[Worker]:
    """`python -m benchmarks.peers.workers.<module>`, ready."""
    command = [str(python), "-m", f"benchmarks.peers.workers.{module}", *arguments]
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
    with _stopped_at_the_end(process):
        worker = Worker(process, log)
        worker.answer()
        yield worker


# every file is here: nobody asks a hub or reports usage
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "INFINITY_ANONYMOUS_USAGE_STATS": "0",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "true",
}


def asked_at_once(questions: Sequence[Question], logits: Callable[[Question], list[float]]) -> Scored:
    """One request for each question, all of them at the same time."""
    with ThreadPoolExecutor(len(questions)) as threads:
        start = time.perf_counter()
        answers = list(threads.map(logits, questions))
        return Scored(time.perf_counter() - start, [logit for answer in answers for logit in answer])


class HttpServer:
    """A peer's server, asked as its own clients ask it."""

    def __init__(self, url: str, request: Mapping[str, Any], *, raw_scores: bool) -> None:
        self._url = url
        self._request = request
        self._raw_scores = raw_scores

    def score(self, questions: Sequence[Question]) -> Scored:
        """From the first request to the last answer."""
        return asked_at_once(questions, self._logits)

    def _logits(self, question: Question) -> list[float]:
        body = {**self._request, "query": pair_text(question.query, ""), "documents": list(question.passages)}
        request = urllib.request.Request(  # noqa: S310
            self._url, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as response:  # noqa: S310
                results = json.load(response)["results"]
        except urllib.error.HTTPError as error:
            raise ContestantFailed(f"{self._url}: {error.read().decode()[:500]}") from error
        scores = [float(r["relevance_score"]) for r in sorted(results, key=lambda result: int(result["index"]))]
        return scores if self._raw_scores else [log_odds(score) for score in scores]


def log_odds(probability: float) -> float:
    """The logit whose sigmoid is `probability`."""
    clipped = min(max(probability, 1e-7), 1 - 1e-7)
    return math.log(clipped / (1 - clipped))


@contextlib.contextmanager
def running_http_server(
    command: Sequence[str],
    *,
    port: int,
    path: str,
    request: Mapping[str, Any],
    raw_scores: bool,
    environment: Mapping[str, str],
    log: Path,
) -> Iterator[HttpServer]:
    """A server that answers /health with 200 once it is ready."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **OFFLINE, **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    with _stopped_at_the_end(process):
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise ContestantFailed(f"the server did not start; its log is {log}")
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            time.sleep(0.5)
        yield HttpServer(f"http://127.0.0.1:{port}{path}", request, raw_scores=raw_scores)


class Ensemble:
    """packrank's whole path: its client, gRPC, tritonserver, tokenizer, ranker, postprocessor."""

    def __init__(self, client: RerankClient) -> None:
        self._client = client

    def score(self, questions: Sequence[Question]) -> Scored:
        """From the first request to the last answer."""
        return asked_at_once(questions, self._logits)

    def _logits(self, question: Question) -> list[float]:
        results = self._client.rerank(question.query, question.passages)
        return [result.logit for result in sorted(results, key=lambda result: result.index)]


@contextlib.contextmanager
def running_ensemble(repository: Path, log: Path) -> Iterator[Ensemble]:
    """A tritonserver on the repository with the config `cpu`."""
    with (
        TritonServer(repository, ports=free_ports(), log=log) as server,
        RerankClient(server.grpc_endpoint, timeout_s=REQUEST_TIMEOUT_S) as client,
    ):
        yield Ensemble(client)


@contextlib.contextmanager
def _stopped_at_the_end(process: subprocess.Popen[Any]) -> Iterator[None]:
    """The process and its children, which a session of its own holds together."""
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
