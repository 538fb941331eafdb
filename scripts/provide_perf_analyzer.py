"""Puts a perf_analyzer that starts on this machine into .cache/perf_analyzer, and prints its path.

    .venv/bin/python scripts/provide_perf_analyzer.py

One that is on PATH, as in NVIDIA's SDK image, is preferred. Otherwise the binary comes from the wheel that
requirements/perf-analyzer.lock pins, libb64 from the distribution, and the CUDA runtime, which it is linked against
but does not use here, from tritonserver's wheel.
"""

import shutil
import site
import sys
import tempfile
import zipfile
from pathlib import Path

from debian_package import DebianPackageError, fetch
from fetch_package import PACKAGES, ROOT, fetch_package
from pip_command import PipError

DIRECTORY = ROOT / ".cache" / "perf_analyzer"
LOCK = ROOT / "requirements" / "perf-analyzer.lock"


def provide(directory: Path) -> Path:
    """The binary, whose libraries lie beside it.

    Raises:
        PipError: the wheel could not be downloaded.
        DebianPackageError: libb64 could not be downloaded.
    """
    binary = directory / "perf_analyzer"
    if binary.exists():  # it is put there last
        return binary
    wheel = fetch_package(LOCK, PACKAGES)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as work:
        fetch(["libb64-0d"], Path(work))
        (library,) = Path(work).glob("usr/lib/*/libb64.so.0d")
        shutil.copy(library, directory)
        runtime = directory / "libcudart.so.12"
        runtime.unlink(missing_ok=True)
        (bundled,) = Path(site.getsitepackages()[0]).glob("nvidia_pytriton.libs/libcudart-*.so.12*")
        runtime.symlink_to(bundled)
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/bin/perf_analyzer"))
            unpacked = Path(archive.extract(name, work))
        unpacked.chmod(0o755)
        unpacked.replace(binary)
    return binary


def main() -> None:
    """Command line."""
    try:
        print(shutil.which("perf_analyzer") or provide(DIRECTORY))
    except (DebianPackageError, PipError) as error:
        sys.exit(f"\nperf_analyzer: {error}")


if __name__ == "__main__":
    main()
