"""The engine that `make check-gpu` measures: built first, in the precision that is published or asked for."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import cast

from benchmarks.errors import BenchmarkError
from packrank_build.tensorrt.targets import TARGETS, EnginePrecision
from packrank_server.engine.engine_record import UnservableEngine, read_engine_record


def build_engine(config: str, repository: Path, asked: EnginePrecision | None, *, no_build: bool) -> None:
    """Run `make engine` for the config's target, unless there is none or `no_build` is set. Raises BenchmarkError."""
    precision = precision_to_build(config, repository, asked)
    if precision is None or no_build:
        return
    command = [sys.executable, "-m", "packrank_build.make_engine", f"--target={config}", f"--precision={precision}"]
    if subprocess.run([*command, f"--repository={repository}"], check=False).returncode:
        raise BenchmarkError("the engine was not built: see above.")


def precision_to_build(config: str, repository: Path, asked: EnginePrecision | None) -> EnginePrecision | None:
    """Return the precision of the engine to measure; None for a config without an engine.

    Raises BenchmarkError if a plan of another precision is published: a check replaces nothing that may be serving.
    """
    target = TARGETS.get(config)
    if target is None:
        return None
    published = published_precision(repository / "ranker" / "1" / target.plan_file)
    if published is not None and asked not in (None, published):
        raise BenchmarkError(
            f"PRECISION={asked}, but the published plan of {config} is {published}, which this check keeps. "
            f"Leave PRECISION out, or run `make engine TARGET={config} PRECISION={asked}` first."
        )
    return published or asked or "fp16"


def published_precision(plan: Path) -> EnginePrecision | None:
    """Return the precision of a plan that can be served; None without one."""
    with contextlib.suppress(UnservableEngine):
        return cast(EnginePrecision, read_engine_record(plan).precision)
    return None
