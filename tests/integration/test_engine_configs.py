"""Triton's core reads the configs whose backends only NVIDIA's image has: it may only miss the backend."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from packrank_build.tensorrt.targets import TARGETS
from packrank_server.installation import find_installation
from packrank_server.ports import free_ports
from tests.support.repository import BUILT, ROOT


def core_log(ranker: Path, config_name: str) -> str:
    """Start tritonserver with the ranker alone; returns its log."""
    installation, ports = find_installation(), free_ports()
    command = [
        str(installation.binary),
        f"--model-repository={ranker.parent}",
        f"--model-config-name={config_name}",
        f"--backend-directory={installation.backends}",
        *(f"--{kind}-port={port}" for kind, port in vars(ports).items()),
        "--disable-auto-complete-config",
    ]
    environment = os.environ | installation.environment
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    return done.stdout + done.stderr


@pytest.fixture
def ranker(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "model_repository" / "ranker", tmp_path / "ranker", ignore=BUILT))


@pytest.mark.parametrize(
    ("name", "backend"), [*((name, "tensorrt") for name in TARGETS), ("onnx", "onnxruntime")], ids=[*TARGETS, "onnx"]
)
def test_only_the_backend_is_missing(name: str, backend: str, ranker: Path) -> None:
    assert f"unable to find backend library for backend '{backend}'" in core_log(ranker, name)


def test_the_core_does_find_what_is_wrong(ranker: Path) -> None:
    config = ranker / "configs" / "l4.pbtxt"
    config.write_text(config.read_text().replace('source_input: "max_len_carrier"', 'source_input: "nothing"'))
    assert "unknown source input name 'nothing' for ranker" in core_log(ranker, "l4")
