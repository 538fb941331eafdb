"""Which build of PyTorch suits this machine, and what installing it downloads."""

import os
import subprocess

# pip's own settings that name where packages come from: who sets them has chosen a build.
PLACES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")
CPU_BUILDS = "https://download.pytorch.org/whl/cpu"
OLDEST_DRIVER = 580  # of CUDA 13, which the builds on PyPI are made for


def installed_driver() -> str:
    """Version of NVIDIA's driver, like 580.65.06; "" where none is installed."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.check_output(command, stderr=subprocess.DEVNULL, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (answer.decode().splitlines() or [""])[0].strip()


def pytorch_build(driver: str, environment: "dict[str, str]") -> "tuple[tuple[str, ...], str]":
    """pip's arguments that choose the build, and a sentence that says what will be downloaded."""
    chosen = [name for name in PLACES if environment.get(name)]
    if chosen:
        return (), f"Installing the PyTorch that {chosen[0]} names: 0.2 GB for CPUs, up to 3 GB with CUDA."
    if not driver:
        sentence = "No NVIDIA driver here: installing PyTorch for CPUs, a download of 0.2 GB."
        return ("--extra-index-url", CPU_BUILDS), sentence
    sentence = "Installing PyTorch with the libraries of CUDA 13: a download of up to 3 GB."
    if int(driver.partition(".")[0]) < OLDEST_DRIVER:
        sentence += (
            f" Driver {driver} is too old for CUDA 13, so it would run on the CPU: update to {OLDEST_DRIVER} or newer, "
            "or let PIP_EXTRA_INDEX_URL name PyTorch's builds for an older CUDA."
        )
    return (), sentence


def announced_arguments() -> "tuple[str, ...]":
    """Say what will be downloaded; pip's arguments for this machine."""
    arguments, sentence = pytorch_build(installed_driver(), dict(os.environ))
    print(sentence, flush=True)
    return arguments
