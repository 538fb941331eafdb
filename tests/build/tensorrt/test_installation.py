"""What `make engine` asks of the machine, with stand-ins for TensorRT's library and NVIDIA's driver."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from packrank_build.tensorrt.installation import (
    driver_cuda,
    driver_release,
    loaded_version,
    require_driver,
    tensorrt_module,
)
from packrank_build.tensorrt.log import EngineError
from tests.checks.engine import tensorrt_rtx


def test_an_import_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "half_installed.py"
    broken.write_text("raise ImportError('libnvonnxparser.so.11: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineError, match=r"half_installed: libnvonnxparser.so.11: cannot open.*absent: No module"):
        tensorrt_module(("half_installed", "absent"))
    monkeypatch.delitem(sys.modules, "half_installed", raising=False)


def test_the_first_module_that_imports_is_taken() -> None:
    assert tensorrt_module(("absent", "json")).__name__ == "json"


def test_the_loaded_library_is_asked_and_not_the_wheels_constant() -> None:
    trt = tensorrt_rtx()
    assert loaded_version("libtensorrt_rtx.so") == trt.__version__
    assert loaded_version("libnvinfer.so") is None


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler to make a library")
def test_another_library_than_the_wheels_answers_for_itself(tmp_path: Path) -> None:
    versions = {"Major": 11, "Minor": 2, "Patch": 1, "Build": 2}
    source = tmp_path / "nvinfer.c"
    source.write_text("".join(f"int getInferLib{part}Version() {{ return {n}; }}\n" for part, n in versions.items()))
    library = tmp_path / "libnvinfer.so.11"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    maps = tmp_path / "maps"
    maps.write_text(f"7f00-7f01 r-xp 00000000 08:01 42   /lib/libc.so.6\n7f01-7f02 r-xp 0 08:01 43   {library}\n")
    assert loaded_version(maps=maps) == "11.2.1.2"


class Libcuda:
    """libcuda's one function that works without a device."""

    def __init__(self, version: int, error: int = 0) -> None:
        self.version = version
        self.error = error

    def cuDriverGetVersion(self, answer: Any) -> int:  # noqa: N802 - CUDA's name
        ctypes.cast(answer, ctypes.POINTER(ctypes.c_int))[0] = self.version
        return self.error


def test_libcuda_says_which_cuda_it_supports() -> None:
    assert driver_cuda(lambda _: Libcuda(12080)) == (12, 8)
    assert driver_cuda(lambda _: Libcuda(13010)) == (13, 1)
    assert driver_cuda(lambda _: Libcuda(0, error=803)) is None

    def missing(name: str) -> Any:
        raise OSError(name)

    assert driver_cuda(missing) is None


def test_a_driver_that_is_too_old_is_named_with_the_one_to_install() -> None:
    with pytest.raises(EngineError, match=r"driver here is 570.86.15 and supports CUDA 12.8. .*needs CUDA 13.*R580"):
        require_driver("11.2.1.2", (12, 8), "570.86.15")
    with pytest.raises(EngineError, match=r"unknown and has no CUDA library.*R525"):
        require_driver("10.11.0.33", None, "unknown")


def test_a_new_driver_or_a_compatibility_package_is_accepted() -> None:
    require_driver("11.2.1.2", (13, 0), "580.65.06")
    require_driver("11.2.1.2", (13, 4), "570.86.15")


def test_nvidia_smi_states_the_drivers_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert driver_release() == "unknown"
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 580.65.06\necho 580.65.06\n")
    smi.chmod(0o755)
    assert driver_release() == "580.65.06"
