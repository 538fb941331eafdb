"""Writes the ranker's named configs for engines from the table of targets.

Run `python -m packrank_build.tensorrt.engine_configs` after a change to targets.py or to the template, and commit the
files.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from string import Template

from packrank_build.tensorrt.targets import MAX_REQUESTS, TARGETS, Target

TEMPLATE = Path(__file__).with_name("engine_config.pbtxt.template")


def engine_config(target: Target) -> str:
    """Fill in the template: the text of `ranker/configs/<target>.pbtxt`."""
    sizes = ", ".join(str(size) for size in range(1, MAX_REQUESTS + 1))
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=target.name,
        gpu=target.gpu,
        max_requests=MAX_REQUESTS,
        compute_capability=target.compute_capability,
        plan_file=target.plan_file,
        profiles=", ".join(f'"{index}"' for index in range(len(target.profiles))),
        preferred_batch_sizes=textwrap.fill(sizes, 100, initial_indent=" " * 4, subsequent_indent=" " * 4),
        max_batch_tokens=target.batch.tokens,
        max_batch_pairs=target.batch.pairs,
        max_batch_padded_tokens=target.batch.padded_tokens,
    )


def write_engine_configs(repository: Path) -> None:
    """Write the config of every target into a model repository."""
    for target in TARGETS.values():
        path = repository / "ranker" / "configs" / f"{target.name}.pbtxt"
        path.write_text(engine_config(target), encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    write_engine_configs(parser.parse_args().repository)


if __name__ == "__main__":
    main()
