"""What the container runs in its working directory, a volume: `serve`, `model` or `engine`.

`serve` builds what the volume lacks: the model, and for a GPU config its engine. It builds nothing twice. It refuses a
plan that does not suit server, GPU or model, and a build that has failed already; `model` and `engine` build again.
Other flags go to the command of `make serve`. The environment names the model: MODEL (hub id or directory),
MAX_PAIR_TOKENS, ENGINE_PRECISION.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from packrank_backend.build_record import RECORD_FILE
from packrank_gateway.serve import main as serve
from packrank_server.engine.engine_record import configured_plan
from packrank_server.engine.gpu import installed_gpus
from packrank_server.served_repository import compose_repository

CODE = Path(__file__).with_name("model_repository")
# What builds publish, in the volume. The served repository is composed of it elsewhere.
ARTEFACTS = Path("model_repository")


def run(module: str, *flags: str) -> None:
    """Run a module to its end. If it fails, or this process is told to stop, exit likewise."""
    with subprocess.Popen([sys.executable, "-m", module, *flags]) as process:
        try:
            code = process.wait()
        except SystemExit:
            process.send_signal(signal.SIGINT)  # which lets it remove partial files
            raise
    if code:
        sys.exit(code if code > 0 else 128 - code)


def model_command() -> list[str]:
    """Return the command that builds and gates the model that MODEL names."""
    if not os.environ.get("MODEL"):
        sys.exit("packrank: this volume holds no model: set MODEL to a hub id or a directory under /checkpoints.")
    tokens = os.environ.get("MAX_PAIR_TOKENS") or 2048
    flags = [f"--model={os.environ['MODEL']}", f"--repository={ARTEFACTS}", f"--max-pair-tokens={tokens}"]
    return ["packrank_build.make_model", *flags]


def engine_command(config: str) -> list[str]:
    """Return the command that builds and gates a config's engine on this container's GPU."""
    precision = os.environ.get("ENGINE_PRECISION") or "fp16"
    flags = [f"--target={config}", f"--precision={precision}", f"--repository={ARTEFACTS}"]
    return ["packrank_build.make_engine", *flags]


def build(kind: str, command: list[str], *, again: bool) -> None:
    """Run a build, and leave a marker if it fails.

    A restart policy would otherwise repeat a failing gate for ever. With the marker, the same build on the same GPUs is
    refused unless `again`.
    """
    marker = ARTEFACTS / f".{kind}-failed.json"
    asked = {"command": command, "gpus": [asdict(gpu) for gpu in installed_gpus()]}
    if not again and marker.is_file() and json.loads(marker.read_text(encoding="utf-8")) == asked:
        sys.exit(
            f"packrank: this {kind} build has failed before, with the same settings and GPUs; the log of that start "
            f"says why. To build again: docker compose run --rm {kind}"
        )
    ARTEFACTS.mkdir(exist_ok=True)
    marker.unlink(missing_ok=True)
    try:
        run(*command)
    except SystemExit as end:
        if isinstance(end.code, int) and end.code < 128:  # not stopped by a signal
            with contextlib.suppress(OSError):  # the build has said what is wrong with the volume
                marker.write_text(json.dumps(asked), encoding="utf-8")
        raise


def stop(number: int, _frame: FrameType | None) -> None:
    """Exit as a process ended by the signal does: without a handler a container's first process ignores it."""
    sys.exit(128 + number)


def main() -> int:
    """Command line of the container."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    parser = argparse.ArgumentParser(prog="packrank", description=__doc__)
    parser.add_argument("command", choices=("serve", "model", "engine"))
    parser.add_argument("--config", default="cpu", help="named config of the ranker")
    options, flags = parser.parse_known_args()
    if options.command == "model" or not (ARTEFACTS / "ranker" / "1" / RECORD_FILE).is_file():
        build("model", model_command(), again=options.command != "serve")
    plan = configured_plan(CODE, options.config)
    has_plan = plan is None or (ARTEFACTS / plan[1].relative_to(CODE)).is_file()
    if options.command == "engine" or (options.command == "serve" and not has_plan):
        build("engine", engine_command(options.config), again=options.command == "engine")
    if options.command != "serve":
        return 0
    with tempfile.TemporaryDirectory(prefix="packrank-") as private:
        repository = compose_repository(CODE, ARTEFACTS, Path(private, "model_repository"))
        # only the gateway: Triton listens on TRITON_HOST
        return serve([f"--repository={repository}", f"--config-name={options.config}", "--host=0.0.0.0", *flags])


if __name__ == "__main__":
    sys.exit(main())
