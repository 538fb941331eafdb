from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import BenchmarkError
from packrank_build.tensorrt.targets import TARGETS, EnginePrecision
from packrank_server.engine.engine_record import EngineRecord
from tests.checks.gpu.engine import build_engine, precision_to_build


def publish(repository: Path, precision: str) -> Path:
    plan = repository / "ranker" / "1" / TARGETS["l4"].plan_file
    plan.parent.mkdir(parents=True)
    plan.write_bytes(b"no engine: this test has no GPU")
    EngineRecord("id", "r", "l4", "L4", "8.9", "11.2.1.2", precision, 512, {}, "", "", {}).write(plan)
    return plan


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    ran: list[list[str]] = []

    class Done:
        returncode = 0

    def run(command: list[str], **_: Any) -> Done:
        ran.append(command)
        return Done()

    monkeypatch.setattr("subprocess.run", run)
    return ran


@pytest.mark.parametrize(
    ("asked", "published", "built"),
    [(None, None, "fp16"), ("fp8", None, "fp8"), (None, "fp8", "fp8"), ("bf16", "bf16", "bf16")],
)
def test_the_engine_has_the_precision_that_is_asked_for_or_published(
    asked: EnginePrecision | None, published: str | None, built: str, tmp_path: Path, commands: list[list[str]]
) -> None:
    if published:
        publish(tmp_path, published)
    build_engine("l4", tmp_path, asked, no_build=False)
    ((*_, target, precision, _repository),) = commands
    assert (target, precision) == ("--target=l4", f"--precision={built}")


@pytest.mark.parametrize("no_build", [False, True])
def test_a_published_plan_is_never_replaced_by_another_precision(
    no_build: bool, tmp_path: Path, commands: list[list[str]]
) -> None:
    publish(tmp_path, "fp8")
    with pytest.raises(BenchmarkError, match="PRECISION=fp16, but the published plan of l4 is fp8.*make engine TARGET"):
        build_engine("l4", tmp_path, "fp16", no_build=no_build)
    assert not commands


def test_nothing_is_built_without_an_engine_or_where_the_user_forbids_it(
    tmp_path: Path, commands: list[list[str]]
) -> None:
    assert precision_to_build("cpu", tmp_path, "fp16") is None
    build_engine("cpu", tmp_path, None, no_build=False)
    build_engine("l4", tmp_path, None, no_build=True)
    assert not commands
