from pathlib import Path

import pytest

from packrank_server.engine.gpu import Gpu, installed_gpus


def nvidia_smi(directory: Path, script: str) -> None:
    command = directory / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)


def test_gpus_are_what_the_driver_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path, 'echo "NVIDIA L4, 8.9, 23034"; echo "NVIDIA H100 80GB HBM3, 9.0, 81559"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert installed_gpus() == [
        Gpu("NVIDIA L4", "8.9", 23034 * 2**20),
        Gpu("NVIDIA H100 80GB HBM3", "9.0", 81559 * 2**20),
    ]


def test_a_driver_that_does_not_answer_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path, 'echo "NVIDIA-SMI has failed because it could not communicate with the driver."; exit 9')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert installed_gpus() == []


def test_no_driver_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installed_gpus() == []
