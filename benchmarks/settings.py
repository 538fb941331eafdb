"""`make bench-settings`: the CPU ranker's settings, each tried around the committed ones (configs/cpu.pbtxt).

- in process: threads and padded tokens of one run, on the log-normal mix;
- served: limits of a merged batch and the number of instances, 16 mixed requests at a time over gRPC.

Leaves benchmarks/results/settings.md, settings_process.csv and settings_served.csv. Takes about 6 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.length_mixes import log_normal
from benchmarks.local_ensemble import (
    REPOSITORY,
    ROOT,
    bare_ranker,
    linked_copy,
    model_and_machine,
    packed,
    published_tokenizer,
    served,
)
from benchmarks.report import Row, markdown_table, write_csv, write_markdown
from benchmarks.workload import mixed_questions
from packrank_backend.build_record import StaleBuild
from packrank_backend.packing import PackedPairs
from packrank_backend.pairs import Question
from packrank_build.progress import Progress
from packrank_client import AsyncRerankClient
from packrank_server.tritonserver import ServerStartError

Settings = dict[str, int]

THREADS = (0, 1, 2, 4)
RUN_TOKENS = (128, 256, 512, 1024, 2048, 4096)
BATCH_TOKENS = (1024, 2048, 4096, 8192, 16384)
CONCURRENCY = 16
ROUNDS = 2


def committed_settings(config: str) -> Settings:
    """The numeric parameters of a config.pbtxt, and `instances`."""
    found = re.findall(r'key: "(\w+)" value: \{ string_value: "(\d+)" \}', config)
    (instances,) = re.findall(r"instance_group \[ \{ kind: KIND_CPU count: (\d+) \} \]", config)
    return {name: int(value) for name, value in found} | {"instances": int(instances)}


def with_settings(config: str, settings: Settings) -> str:
    """The config with other values."""
    for name, value in settings.items():
        if name == "instances":
            pattern, text = r"(KIND_CPU count: )\d+", rf"\g<1>{value}"
        else:
            pattern, text = rf'(key: "{name}" value: \{{ string_value: ")\d+', rf"\g<1>{value}"
        config, count = re.subn(pattern, text, config)
        if count != 1:
            raise ValueError(f"{name} stands {count} times in the config")
    return config


def repository_with(repository: Path, directory: Path, settings: Settings) -> Path:
    """A copy of a built repository, its large files shared, whose `cpu` config has other settings."""
    config = linked_copy(repository, directory) / "ranker" / "configs" / "cpu.pbtxt"
    text = with_settings(config.read_text(encoding="utf-8"), settings)
    config.unlink()  # the link, not the repository's own file
    config.write_text(text, encoding="utf-8")
    return directory


def process_rows(
    repository: Path, committed: Settings, variants: Sequence[Settings], pairs: int, progress: Progress
) -> list[Row]:
    """Tokens a second of the bare ranker with each variant: the best of ROUNDS, taken in turns."""
    lengths = log_normal(pairs)
    ids = np.random.default_rng(0).integers(5, 1000, int(lengths.sum())).astype(np.int32)
    batch = [PackedPairs(ids, lengths)]
    best = [0.0] * len(variants)
    for round_number, (place, variant) in itertools.product(range(ROUNDS), enumerate(variants)):
        progress.step(f"round {round_number + 1}: {variant}")
        ranker = bare_ranker(repository, committed | variant)
        ranker.logits([PackedPairs(ids[:128], np.array([128], np.int32))])
        began = time.perf_counter()
        ranker.logits(batch)
        best[place] = max(best[place], ids.size / (time.perf_counter() - began))
    return [
        {name: (committed | variant)[name] for name in ("threads", "max_run_tokens")} | {"tokens/s": round(speed)}
        for variant, speed in zip(variants, best, strict=True)
    ]


async def served_speed(endpoint: str, questions: Sequence[Question]) -> tuple[float, list[float]]:
    """Seconds for all questions, CONCURRENCY at a time, and of each."""
    places = asyncio.Semaphore(CONCURRENCY)
    latencies: list[float] = []
    async with AsyncRerankClient(endpoint, timeout_s=600) as client:

        async def ask(question: Question) -> None:
            async with places:
                began = time.perf_counter()
                await client.rerank(question.query, question.passages, truncate="END")
                latencies.append(time.perf_counter() - began)

        await ask(questions[0])
        latencies.clear()
        began = time.perf_counter()
        await asyncio.gather(*map(ask, questions))
        return time.perf_counter() - began, latencies


def served_rows(
    repository: Path, committed: Settings, variants: Sequence[Settings], requests: int, progress: Progress
) -> list[Row]:
    """Tokens a second and latencies over gRPC with each variant, a server of its own each."""
    questions = mixed_questions(requests)
    max_pair_tokens = 2048
    tokens = sum(p.input_ids.size for p in packed(published_tokenizer(repository), questions, max_pair_tokens))
    rows: list[Row] = []
    for variant in variants:
        progress.step(f"served: {variant}")
        with (
            tempfile.TemporaryDirectory(dir=ROOT / ".cache") as work,
            served(repository_with(repository, Path(work, "repository"), variant), "settings") as server,
        ):
            seconds, latencies = asyncio.run(served_speed(server.grpc_endpoint, questions))
        names = ("max_batch_tokens", "instances", "threads")
        rows.append(
            {name: (committed | variant)[name] for name in names}
            | {
                "tokens/s": round(tokens / seconds),
                "p50 s": round(float(np.percentile(latencies, 50)), 2),
                "p95 s": round(float(np.percentile(latencies, 95)), 2),
            }
        )
    return rows


def main() -> int:
    """Command line of `make bench-settings`."""
    parser = argparse.ArgumentParser(prog="make bench-settings", description=__doc__)
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--requests", type=int, default=20)
    options = parser.parse_args()
    progress = Progress()
    config = options.repository / "ranker" / "configs" / "cpu.pbtxt"
    committed = committed_settings(config.read_text(encoding="utf-8"))
    in_process = [{"threads": threads} for threads in THREADS] + [
        {"max_run_tokens": tokens} for tokens in RUN_TOKENS if tokens != committed["max_run_tokens"]
    ]
    over_grpc = [{"max_batch_tokens": tokens} for tokens in BATCH_TOKENS]
    over_grpc.append({"instances": 2, "threads": 1})
    try:
        process = process_rows(options.repository, committed, in_process, options.pairs, progress)
        grpc = served_rows(options.repository, committed, over_grpc, options.requests, progress)
    except (ServerStartError, StaleBuild) as error:
        print(f"make bench-settings: {error}", file=sys.stderr)
        return 1
    write_csv("settings_process", process)
    write_csv("settings_served", grpc)
    write_markdown(
        "settings",
        "\n\n".join(
            [
                f"Settings of the CPU ranker. {model_and_machine(options.repository)}",
                f"In process, {options.pairs} pairs of the log-normal mix, best of {ROUNDS}:",
                markdown_table(process),
                f"Over gRPC, {options.requests} mixed requests, {CONCURRENCY} at a time:",
                markdown_table(grpc),
            ]
        ),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
