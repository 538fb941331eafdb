"""Runs every part in order of importance, each as long as time is left, and writes what was found.

python -m tests.checks.gpu_torch [--minutes 8] [--output benchmarks/results] [--carried carried.tar.xz]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from tokenizers import Tokenizer

from tests.checks.gpu_torch.carry import llama3_tokenizer, unpack
from tests.checks.gpu_torch.random_checkpoint import write_checkpoint
from tests.checks.gpu_torch.report import goal, markdown
from tests.checks.gpu_torch.study import Study, Table
from tests.checks.gpu_torch.workloads import workloads

ROOT = Path(__file__).resolve().parents[3]
UNIFORM, LOG_NORMAL = "uniform 128", "log-normal 16 to 512"


def main() -> int:
    """Command line of `make check-gpu CONFIG=torch QUICK=1`."""
    parser = argparse.ArgumentParser(prog="make check-gpu CONFIG=torch", description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--carried", type=Path, help="tritonserver and tokenizer, from tests.checks.gpu_torch.carry")
    parser.add_argument("--demo-ranker", type=Path, default=ROOT / ".cache" / "demo-ranker")
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", 0) if on_gpu else torch.device("cpu")
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="packrank-check-gpu-") as directory:
        work = Path(directory)
        if options.carried:
            unpack(options.carried, work / "carried")
        write_checkpoint(work / "checkpoint", llama3_tokenizer(work), "llama-3.2-1b" if on_gpu else "tiny", device)
        study = Study(device, work / "checkpoint", work, 1 if on_gpu else 32, deadline)
        left_out = run(study, options.demo_ranker)
    name = (
        torch.cuda.get_device_name(device) if on_gpu else "CPU, a rehearsal with a tiny model: its numbers say nothing"
    )
    heading = [
        f"# The config torch on {name}",
        f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, Python {sys.version.split()[0]}. "
        f"Random weights of Llama-3.2-1B's shape. {60 * options.minutes - study.seconds_left():.0f} s.",
    ]
    report = markdown(heading, study.tables, left_out)
    raw = {"device": name, "tables": {key: asdict(table) for key, table in study.tables.items()}, "left_out": left_out}
    (options.output / "gpu-torch.json").write_text(json.dumps(raw, indent=1), encoding="utf-8")
    (options.output / "gpu-torch.md").write_text(report, encoding="utf-8")
    print(f"\n{report}\nWritten to {options.output}/gpu-torch.md and gpu-torch.json.")
    return 1 if any(reason != OUT_OF_TIME for reason in left_out.values()) else 0


OUT_OF_TIME = "no time was left"


def run(study: Study, demo_ranker: Path) -> dict[str, str]:
    """Run the parts; a part that fails leaves the others alone. Returns what was left out, and why."""
    # Imported late: a package that one part lacks must not keep the others from running.
    mixes = workloads(Tokenizer.from_file(str(study.checkpoint / "tokenizer.json")), study.scale)
    ceilings: dict[str, float] = {}
    in_process: dict[str, float] = {}
    faster: dict[tuple[str, str], float] = {}
    served: dict[str, float] = {}

    def ceilings_part() -> None:
        from tests.checks.gpu_torch.ceilings import measure_ceilings  # noqa: PLC0415

        ceilings.update(measure_ceilings(study))

    def ranker_part() -> None:
        from tests.checks.gpu_torch.in_process import measure_parts, measure_ranker, measure_run_sizes  # noqa: PLC0415

        in_process.update(measure_ranker(study, mixes, ceilings))
        measure_run_sizes(study, mixes[LOG_NORMAL])
        measure_parts(study, mixes)

    def attention_part() -> None:
        from tests.checks.gpu_torch.attention_forms import measure_attention_forms  # noqa: PLC0415

        measure_attention_forms(study, mixes)

    def numerics_part() -> None:
        from tests.checks.gpu_torch.numerics import measure_numerics  # noqa: PLC0415

        measure_numerics(study, demo_ranker)

    def peers_part() -> None:
        from tests.checks.gpu_torch.in_process import measure_peers  # noqa: PLC0415

        study.forget(*(set(study.models) - {study.precision}))
        faster.update(measure_peers(study, mixes, in_process))

    def served_part() -> None:
        from tests.checks.gpu_torch.served import measure_served  # noqa: PLC0415

        served.update(measure_served(study, mixes, in_process))

    parts: dict[str, Callable[[], None]] = {
        "ceilings": ceilings_part,
        "numerics": numerics_part,
        "ranker": ranker_part,
        "attention": attention_part,
        "peers": peers_part,
        "served": served_part,
    }
    left_out = {}
    for name, part in parts.items():
        print(f"\n{name}, {study.seconds_left():.0f} s left", flush=True)
        if study.seconds_left() < 0:
            left_out[name] = OUT_OF_TIME
            continue
        try:
            part()
        except Exception as error:
            traceback.print_exc()
            left_out[name] = f"{type(error).__name__}: {error}"
    study.add("goals", Table("Which goals are reached?", _goals(study, ceilings, in_process, faster, served)))
    return left_out


def _goals(
    study: Study,
    ceilings: dict[str, float],
    in_process: dict[str, float],
    faster: dict[tuple[str, str], float],
    served: dict[str, float],
) -> list[dict[str, object]]:
    def share(mix: str) -> float | None:
        return round(in_process[mix] / ceilings[study.precision], 3) if mix in in_process else None

    gate = {(row["weights"], row["precision"]): row["gate"] for row in _rows(study, "numerics")}
    return [
        goal(f"{study.precision}: share of the ceiling, {UNIFORM}", 0.6, share(UNIFORM)),
        goal(f"{study.precision}: share of the ceiling, {LOG_NORMAL}", 0.6, share(LOG_NORMAL)),
        goal("times padded Hugging Face", 2, faster.get(("Hugging Face, padded, sorted", LOG_NORMAL))),
        goal("times CrossEncoder", 3, faster.get(("CrossEncoder, its default", LOG_NORMAL))),
        goal("served / in process", 0.9, served.get(f"served / in process, {LOG_NORMAL}")),
        goal("ms that the ensemble adds at concurrency 1", 5, served.get("added ms"), at_most=True),
        *(
            goal(f"{precision} passes the gate, {weights}", 1, float(verdict == "passes"))
            for (weights, precision), verdict in gate.items()
        ),
    ]


def _rows(study: Study, name: str) -> list[dict[str, object]]:
    return study.tables[name].rows if name in study.tables else []


if __name__ == "__main__":
    sys.exit(main())
