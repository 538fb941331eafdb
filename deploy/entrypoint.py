"""What the container runs, in the volume that is its working directory: `serve`, `model` or `engine`.

`serve` builds what the volume lacks: the model, and for a config of a GPU its engine. What is there is not built again:
a plan that does not suit server, GPU or model any more is refused with the reason, and `engine` builds it anew. Flags
that are not listed go to `make serve`'s command. The environment names the model: MODEL (hub id or directory),
MAX_PAIR_TOKENS, ENGINE_PRECISION.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from packrank_backend.build_record import RECORD_FILE
from packrank_gateway.serve import main as serve
from packrank_server.engine_record import configured_plan

CODE = Path(__file__).with_name("model_repository")
REPOSITORY = Path("model_repository")


def install_code() -> None:
    """Bring configs, model.py files and the batching strategy of this image into the volume's repository.

    By renaming: a server that runs from the same volume has the library mapped.
    """
    for source in filter(Path.is_file, CODE.rglob("*")):
        target = REPOSITORY / source.relative_to(CODE)
        if target.is_file() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.draft")
        shutil.copyfile(source, draft)
        draft.replace(target)


def run(module: str, *flags: str) -> None:
    """Run a module to its end; if it fails, or this process is told to stop, end with it."""
    with subprocess.Popen([sys.executable, "-m", module, *flags]) as process:
        try:
            code = process.wait()
        except SystemExit:
            process.send_signal(signal.SIGINT)  # which lets it remove what it has written in part
            raise
    if code:
        sys.exit(code if code > 0 else 128 - code)


def build_model() -> None:
    """Build and gate the model that MODEL names."""
    if not os.environ.get("MODEL"):
        sys.exit("packrank: this volume holds no model: set MODEL to a hub id or a directory under /checkpoints.")
    flags = [f"--model={os.environ['MODEL']}", f"--repository={REPOSITORY}"]
    run("packrank_build.make_model", *flags, f"--max-pair-tokens={os.environ.get('MAX_PAIR_TOKENS') or 2048}")


def build_engine(config: str) -> None:
    """Build and gate the engine of a config on this container's GPU."""
    precision = os.environ.get("ENGINE_PRECISION") or "fp16"
    flags = [f"--target={config}", f"--precision={precision}", f"--repository={REPOSITORY}"]
    run("packrank_build.make_engine", *flags)


def stop(number: int, _frame: FrameType | None) -> None:
    """End as a process that the signal ended: without a handler the first process of a container ignores it."""
    sys.exit(128 + number)


def main() -> int:
    """Command line of the container."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    parser = argparse.ArgumentParser(prog="packrank", description=__doc__)
    parser.add_argument("command", choices=("serve", "model", "engine"))
    parser.add_argument("--config", default="cpu", help="named config of the ranker")
    options, flags = parser.parse_known_args()
    install_code()
    if options.command == "model" or not (REPOSITORY / "ranker" / "1" / RECORD_FILE).is_file():
        build_model()
    asked = configured_plan(REPOSITORY, options.config)
    if options.command == "engine" or (options.command == "serve" and asked and not asked[1].is_file()):
        build_engine(options.config)
    if options.command != "serve":
        return 0
    return serve([f"--repository={REPOSITORY}", f"--config-name={options.config}", "--host=0.0.0.0", *flags])


if __name__ == "__main__":
    sys.exit(main())
