from pathlib import Path

import pytest
from pytorch_build import CPU_BUILDS, installed_driver, pytorch_build


def test_a_machine_without_a_driver_gets_the_small_build() -> None:
    arguments, sentence = pytorch_build("", {})
    assert arguments == ("--extra-index-url", CPU_BUILDS)
    assert "for CPUs, a download of 0.2 GB" in sentence


def test_a_gpu_gets_cuda_and_is_told_how_large_it_is() -> None:
    assert pytorch_build("580.65.06", {}) == (
        (),
        "Installing PyTorch with the libraries of CUDA 13: a download of up to 3 GB.",
    )


def test_an_old_driver_is_told_what_to_do() -> None:
    _, sentence = pytorch_build("535.309.01", {})
    assert "Driver 535.309.01 is too old for CUDA 13" in sentence
    assert "update to 580 or newer" in sentence


def test_pips_own_settings_decide_first() -> None:
    arguments, sentence = pytorch_build("", {"PIP_FIND_LINKS": "wheels", "PIP_INDEX_URL": ""})
    assert arguments == ()
    assert "that PIP_FIND_LINKS names" in sentence


def test_without_nvidia_smi_there_is_no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installed_driver() == ""


def test_the_first_gpus_driver_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 580.65.06\necho 580.65.06\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installed_driver() == "580.65.06"
