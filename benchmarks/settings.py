"""`make bench-settings`: vary the CPU ranker's settings around the committed ones (configs/cpu.pbtxt).

Each variant gets a server of its own and 16 mixed requests at a time over gRPC. Writes benchmarks/results/settings.md
and settings.csv. Takes about 6 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from benchmarks.bare_ranker import published_tokenizer
from benchmarks.errors import exit_code
from benchmarks.processes import REPOSITORY, ROOT, running_server
from benchmarks.results import Row, markdown_table, model_and_machine, write_csv, write_markdown
from benchmarks.serving.clients import over_grpc
from benchmarks.serving.loops import ClosedLoop, closed_loop
from benchmarks.workload import mixed_questions, token_count
from packrank_backend.text.question import Question
from packrank_build.progress import Progress

Settings = dict[str, int]

VARIANTS: tuple[Settings, ...] = (
    {},
    *({"max_batch_tokens": tokens} for tokens in (1024, 2048, 8192, 16384)),
    *({"max_run_tokens": tokens} for tokens in (256, 512, 2048, 4096)),
    *({"threads": threads} for threads in (1, 2)),
    {"instances": 2, "threads": 1},
)
CONCURRENCY = 16


def cpu_config(repository: Path) -> Any:
    """Parse the config `cpu` of the ranker. Raises google.protobuf's ParseError for a field that Triton lacks."""
    text = (repository / "ranker" / "configs" / "cpu.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, ModelConfig())


def settings_of(config: Any) -> Settings:
    """Return the numeric parameters of a config, and its number of `instances`."""
    numbers = {name: int(value.string_value) for name, value in config.parameters.items()}
    return numbers | {"instances": int(config.instance_group[0].count)}


def repository_with(repository: Path, directory: Path, settings: Settings) -> Path:
    """Copy a built repository as hard links, with other settings in the config `cpu`. Raises KeyError for a typo."""
    shutil.copytree(repository, directory, copy_function=os.link, ignore=shutil.ignore_patterns("__pycache__"))
    config = cpu_config(repository)
    for name, value in settings.items():
        if name == "instances":
            config.instance_group[0].count = value
        elif name in config.parameters:
            config.parameters[name].string_value = str(value)
        else:
            raise KeyError(name)
    path = directory / "ranker" / "configs" / "cpu.pbtxt"
    path.unlink()  # the link, not the repository's own file
    path.write_text(text_format.MessageToString(config), encoding="utf-8")
    return directory


async def served(endpoint: str, questions: Sequence[Question]) -> ClosedLoop:
    """Ask all questions over gRPC, CONCURRENCY at a time."""
    async with over_grpc(endpoint, 600.0) as ask:
        await ask(questions[0])  # warms up
        return await closed_loop(ask, questions, CONCURRENCY)


def served_rows(repository: Path, variants: Sequence[Settings], requests: int, progress: Progress) -> list[Row]:
    """Return tokens/s and latencies over gRPC with each variant, on a server of its own."""
    questions, committed = mixed_questions(requests), settings_of(cpu_config(repository))
    tokens = token_count(questions, published_tokenizer(repository))
    rows: list[Row] = []
    for variant in variants:
        progress.step(f"served: {variant}")
        with (
            tempfile.TemporaryDirectory(dir=ROOT / ".cache") as work,
            running_server(repository_with(repository, Path(work, "repository"), variant), "settings") as server,
        ):
            done = asyncio.run(served(server.grpc_endpoint, questions))
        names = ("max_batch_tokens", "max_run_tokens", "instances", "threads")
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
    parser.add_argument("--requests", type=int, default=20, help="requests per variant")
    options = parser.parse_args()
    return exit_code("make bench-settings", lambda: run(options.requests))


def run(requests: int) -> None:
    """Measure the published model and write the report."""
    rows = served_rows(REPOSITORY, VARIANTS, requests, Progress())
    write_csv("settings", rows)
    write_markdown(
        "settings",
        f"{requests} mixed requests over gRPC, {CONCURRENCY} at a time. {model_and_machine(REPOSITORY)}",
        markdown_table(rows),
    )


if __name__ == "__main__":
    sys.exit(main())
