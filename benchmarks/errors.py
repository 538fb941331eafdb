"""Turn expected errors of a benchmark into one sentence and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

from packrank_backend.build_record import StaleBuild
from packrank_build.checkpoint.architecture import UnsupportedCheckpoint
from packrank_build.graph.parity import ParityError
from packrank_build.tensorrt.log import EngineError
from packrank_client import RerankError
from packrank_client.evaluation.errors import EvaluationError
from packrank_server.errors import ServerStartError


class BenchmarkError(Exception):
    """A benchmark cannot go on; the message says why."""


EXPECTED = (
    BenchmarkError,
    EngineError,
    EvaluationError,
    ParityError,
    RerankError,
    ServerStartError,
    StaleBuild,
    UnsupportedCheckpoint,
)


def exit_code(command: str, work: Callable[[], None]) -> int:
    """Run `work`; return 0, or print an expected error and return 1."""
    try:
        work()
    except EXPECTED as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    return 0
