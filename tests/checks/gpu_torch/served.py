"""The whole ensemble through tritonserver with the config `torch`: text in, scores out, against the ranker alone."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from packrank_backend.build_record import BuildRecord
from packrank_backend.packing import pack
from packrank_backend.text.prompt import PROMPT
from packrank_backend.text.question import Question
from packrank_build.batching.compile import CompileError, compile_batching_strategy
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_client import AsyncRerankClient, RerankError
from packrank_server.checksums import file_sha256
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer
from tests.checks.gpu_torch.in_process import packed_logits
from tests.checks.gpu_torch.study import Row, Study, Table
from tests.checks.gpu_torch.workloads import Workload

ROOT = Path(__file__).resolve().parents[3]
CONCURRENCIES = (1, 4, 16, 64, 256)
LEVEL_S = 8.0  # seconds a level, at most
CHECKED_CONCURRENCY = 64


def publish(study: Study, repository: Path, precision: str) -> None:
    """Write what `make model` would, but for the ONNX model, which the config torch does not read."""
    ignored = shutil.ignore_patterns("*.onnx*", "*.json", "*.plan", "*.so", "[2-9]", "reranker_v*", "__pycache__")
    shutil.copytree(ROOT / "model_repository", repository, ignore=ignored)
    checkpoint = Checkpoint(study.checkpoint)
    record = BuildRecord(
        build_id="check-gpu",
        source=str(study.checkpoint.resolve()),
        revision=checkpoint.sha256(),
        architecture={},
        precision=precision,
        opset=0,
        prompt=PROMPT,
        max_pair_tokens=8192,
        notice="",
        versions={},
        files={"tokenizer.json": file_sha256(study.checkpoint / "tokenizer.json")},
    )
    for model in ("tokenizer", "ranker"):
        record.write(repository / model / "1")
    shutil.copy(study.checkpoint / "tokenizer.json", repository / "tokenizer" / "1")
    try:
        compile_batching_strategy(repository / "ranker" / "1")
    except CompileError as error:
        carried = ROOT / "model_repository" / "ranker" / "1" / "batchstrategy.so"
        if carried.is_file():
            shutil.copy(carried, repository / "ranker" / "1")
        else:
            print(f"{error} The server runs one request at a time.", file=sys.stderr)


@contextmanager
def importable_by_the_stub() -> Iterator[None]:
    """Let Triton's Python processes, which ignore PYTHONPATH, import this project where it is not installed."""
    found = subprocess.run([sys.executable, "-I", "-c", "import packrank_backend"], capture_output=True, check=False)
    path = Path(sysconfig.get_path("purelib"), "packrank-check-gpu.pth")
    if found.returncode:
        path.write_text("".join(f"{ROOT / part}\n" for part in ("python_backend", "build")), encoding="utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def measure_served(study: Study, mixes: dict[str, Workload], in_process: dict[str, float]) -> dict[str, float]:
    """Latency and throughput of the ensemble; returns what the goals are about."""
    expected = {
        name: packed_logits(study.model(study.precision), [pack(workload.pairs[:200])])
        for name, workload in mixes.items()
    }
    alone_ms = 1000 * _first_request_seconds(study, mixes)
    study.forget(*list(study.models))  # the server holds the model a second time
    repository, log = study.work / "model_repository", study.work / "tritonserver.log"
    publish(study, repository, study.precision)
    rows: list[Row] = []
    reached: dict[str, float] = {}
    with importable_by_the_stub():
        started = time.monotonic()
        with TritonServer(repository, config_name="torch", ports=free_ports(), log=log, ready_timeout_s=180) as server:
            ready_s = time.monotonic() - started
            for name, workload in mixes.items():
                for concurrency in CONCURRENCIES if study.scale == 1 else CONCURRENCIES[:2]:
                    if study.seconds_left() < 0:
                        break
                    row: Row = {"mix": name, "concurrency": concurrency}
                    rows.append(row)
                    try:
                        row |= asyncio.run(_level(server.grpc_endpoint, workload, concurrency, study))
                    except RerankError as error:  # the other levels still say something
                        row |= {"tokens/s": 0, "note": str(error)}
                    row["served / in process"] = round(row["tokens/s"] / in_process[name], 3)
                if study.seconds_left() < 0:
                    break
                checked = asyncio.run(_difference(server.grpc_endpoint, workload, expected[name]))
                rows[-1][f"max difference at {CHECKED_CONCURRENCY}"] = checked
                best = max((row["served / in process"] for row in rows if row["mix"] == name), default=0.0)
                reached[f"served / in process, {name}"] = best
    first = next((row for row in rows if row["concurrency"] == 1 and "p50 ms" in row), None)
    if first:
        reached["added ms"] = round(first["p50 ms"] - alone_ms, 2)
    said = next((line for line in log.read_text(errors="replace").splitlines() if "ranker: " in line), "")
    sentence = said.partition("ranker: ")[2].strip('"')
    note = (
        f"Ready after {ready_s:.0f} s. The first mix's first request takes {alone_ms:.2f} ms in process, tokens given. "
        f"{sentence}"
    )
    study.add("served", Table("What does the ensemble serve?", rows, note))
    return reached


def _first_request_seconds(study: Study, mixes: dict[str, Workload]) -> float:
    workload = next(iter(mixes.values()))
    request = pack(workload.pairs[: len(workload.requests()[0].passages)])
    model = study.model(study.precision)
    return study.seconds(lambda: packed_logits(model, [request]), most_repeats=50)


async def _level(endpoint: str, workload: Workload, concurrency: int, study: Study) -> Row:
    """A closed loop: every client sends its next request when it has the answer to the last."""
    requests = workload.requests()
    tokens = [sum(map(len, workload.pairs[10 * n : 10 * n + 10])) for n in range(len(requests))]
    taken: list[float] = []
    answered = 0
    sent = iter(range(10**9))

    async def ask(client: AsyncRerankClient, until: float) -> None:
        nonlocal answered
        while not taken or time.monotonic() < until:
            place = next(sent) % len(requests)
            start = time.perf_counter()
            await client.rerank(requests[place].query, requests[place].passages)
            taken.append(time.perf_counter() - start)
            answered += tokens[place]

    async with AsyncRerankClient(endpoint) as client:
        await client.rerank(requests[0].query, requests[0].passages)
        started = time.monotonic()
        until = started + min(LEVEL_S / study.scale, study.seconds_left())
        await asyncio.gather(*(ask(client, until) for _ in range(concurrency)))
        seconds = time.monotonic() - started
    percentiles = statistics.quantiles(taken, n=100) if len(taken) > 1 else taken * 99
    pairs = len(workload.pairs) / workload.tokens * answered
    return {
        "pairs/s": round(pairs / seconds, 1),
        "tokens/s": round(answered / seconds),
        "p50 ms": round(1000 * percentiles[49], 2),
        "p95 ms": round(1000 * percentiles[94], 2),
        "requests": len(taken),
    }


async def _difference(endpoint: str, workload: Workload, expected: NDArray[np.float32]) -> float:
    """Largest |difference| of a logit that came through the server from the model's own."""
    requests = workload.requests()[: len(expected) // 10]
    waiting = asyncio.Semaphore(CHECKED_CONCURRENCY)

    async def ask(client: AsyncRerankClient, question: Question) -> list[float]:
        async with waiting:
            results = await client.rerank(question.query, question.passages, timeout_s=120)
            logits = {result.index: result.logit for result in results}
            return [logits[index] for index in range(len(question.passages))]

    async with AsyncRerankClient(endpoint) as client:
        answers = await asyncio.gather(*(ask(client, request) for request in requests))
    flat = np.array([logit for answer in answers for logit in answer])
    return round(float(np.abs(flat - expected[: len(flat)]).max()), 4)
