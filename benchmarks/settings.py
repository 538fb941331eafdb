"""`make bench-settings`: vary the CPU ranker's settings around the committed ones (configs/cpu.pbtxt).

- in process: threads and padded tokens per run, on the log-normal mix;
- served: limit of a merged batch and number of instances, 16 mixed requests at a time over gRPC.

Writes benchmarks/results/settings.md, settings_process.csv and settings_served.csv. Takes about 6 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.bare_ranker import bare_ranker, published_tokenizer
from benchmarks.processes import REPOSITORY, ROOT, running_server
from benchmarks.results import Row, markdown_table, model_and_machine, write_csv, write_markdown
from benchmarks.serving.loops import ClosedLoop, closed_loop
from benchmarks.serving.ways import over_grpc
from benchmarks.workload import log_normal, mixed_questions, token_count
from packrank_backend.build_record import StaleBuild
from packrank_backend.packing import PackedPairs
from packrank_backend.pairs import Question
from packrank_build.progress import Progress
from packrank_server.tritonserver import ServerStartError

Settings = dict[str, int]

THREADS = (0, 1, 2, 4)
RUN_TOKENS = (128, 256, 512, 1024, 2048, 4096)
BATCH_TOKENS = (1024, 2048, 4096, 8192, 16384)
CONCURRENCY = 16
ROUNDS = 2


def committed_settings(config: str) -> Settings:
    """Return the numeric parameters of a config.pbtxt, and its number of `instances`."""
    found = re.findall(r'key: "(\w+)" value: \{ string_value: "(\d+)" \}', config)
    (instances,) = re.findall(r"instance_group \[ \{ kind: KIND_CPU count: (\d+) \} \]", config)
    return {name: int(value) for name, value in found} | {"instances": int(instances)}


def with_settings(config: str, settings: Settings) -> str:
    """Return the config with other values. Raises ValueError for a name that is not in it exactly once."""
    for name, value in settings.items():
        if name == "instances":
            pattern, text = r"(KIND_CPU count: )\d+", rf"\g<1>{value}"
        else:
            pattern, text = rf'(key: "{name}" value: \{{ string_value: ")\d+', rf"\g<1>{value}"
        config, count = re.subn(pattern, text, config)
        if count != 1:
            raise ValueError(f"the config must name {name} once, and names it {count} times")
    return config


def repository_with(repository: Path, directory: Path, settings: Settings) -> Path:
    """Copy a built repository as hard links, with other settings in the config `cpu`."""
    shutil.copytree(repository, directory, copy_function=os.link, ignore=shutil.ignore_patterns("__pycache__"))
    config = directory / "ranker" / "configs" / "cpu.pbtxt"
    text = with_settings(config.read_text(encoding="utf-8"), settings)
    config.unlink()  # the link, not the repository's own file
    config.write_text(text, encoding="utf-8")
    return directory


def process_rows(
    repository: Path, committed: Settings, variants: Sequence[Settings], pairs: int, progress: Progress
) -> list[Row]:
    """Return the bare ranker's tokens/s with each variant: the best of ROUNDS alternating rounds."""
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


async def served(endpoint: str, questions: Sequence[Question]) -> ClosedLoop:
    """Ask all questions over gRPC, CONCURRENCY at a time."""
    async with over_grpc(endpoint, 600.0) as ask:
        await ask(questions[0])  # warms up
        return await closed_loop(ask, questions, CONCURRENCY)


def served_rows(
    repository: Path, committed: Settings, variants: Sequence[Settings], requests: int, progress: Progress
) -> list[Row]:
    """Return tokens/s and latencies over gRPC with each variant, on a server of its own."""
    questions = mixed_questions(requests)
    tokens = token_count(questions, published_tokenizer(repository))
    rows: list[Row] = []
    for variant in variants:
        progress.step(f"served: {variant}")
        with (
            tempfile.TemporaryDirectory(dir=ROOT / ".cache") as work,
            running_server(repository_with(repository, Path(work, "repository"), variant), "settings") as server,
        ):
            done = asyncio.run(served(server.grpc_endpoint, questions))
        names = ("max_batch_tokens", "instances", "threads")
        rows.append(
            {name: (committed | variant)[name] for name in names}
            | {
                "tokens/s": round(tokens / done.seconds),
                "p50 s": round(float(np.percentile(done.latencies_s, 50)), 2),
                "p95 s": round(float(np.percentile(done.latencies_s, 95)), 2),
            }
        )
    return rows


def main() -> int:
    """Run the command line of `make bench-settings`."""
    parser = argparse.ArgumentParser(prog="make bench-settings", description=__doc__)
    parser.add_argument("--pairs", type=int, default=64, help="pairs in process")
    parser.add_argument("--requests", type=int, default=20, help="requests over gRPC")
    options = parser.parse_args()
    progress = Progress()
    config = REPOSITORY / "ranker" / "configs" / "cpu.pbtxt"
    committed = committed_settings(config.read_text(encoding="utf-8"))
    in_process = [{"threads": threads} for threads in THREADS] + [
        {"max_run_tokens": tokens} for tokens in RUN_TOKENS if tokens != committed["max_run_tokens"]
    ]
    over_network = [{"max_batch_tokens": tokens} for tokens in BATCH_TOKENS] + [{"instances": 2, "threads": 1}]
    try:
        process = process_rows(REPOSITORY, committed, in_process, options.pairs, progress)
        grpc = served_rows(REPOSITORY, committed, over_network, options.requests, progress)
    except (ServerStartError, StaleBuild) as error:
        print(f"make bench-settings: {error}", file=sys.stderr)
        return 1
    write_csv("settings_process", process)
    write_csv("settings_served", grpc)
    write_markdown(
        "settings",
        model_and_machine(REPOSITORY),
        f"In process, {options.pairs} pairs of the log-normal mix, best of {ROUNDS}:",
        markdown_table(process),
        f"Over gRPC, {options.requests} mixed requests, {CONCURRENCY} at a time:",
        markdown_table(grpc),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
