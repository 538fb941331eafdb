"""Print the path of a perf_analyzer that starts on this machine.

    .venv/bin/python scripts/provide_perf_analyzer.py

Prefer one on PATH, as in NVIDIA's SDK image. Otherwise fill .cache/perf_analyzer. The binary comes from tritonclient's
wheel, and libb64 from the distribution. The binary also links the CUDA runtime, which it does not use here:
tritonserver's copy will do.
"""

import shutil
import site
import sys
import tempfile
import zipfile
from pathlib import Path

import debian_package
from fetch_package import PACKAGES, ROOT, WHEELS, fetch_package
from preflight import SetupError


def provide(directory: Path) -> Path:
    """Return the binary in `directory`, with its libraries beside it. Raises SetupError."""
    binary = directory / "perf_analyzer"
    if binary.exists():  # the last file to be put there
        return binary
    wheel = fetch_package(WHEELS["perf-analyzer"], PACKAGES)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as work:
        debian_package.fetch(["libb64-0d"], Path(work))
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


if __name__ == "__main__":
    try:
        print(shutil.which("perf_analyzer") or provide(ROOT / ".cache" / "perf_analyzer"))
    except SetupError as error:
        sys.exit(f"\nperf_analyzer: {error}")
