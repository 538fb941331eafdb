"""Create the virtual environments that the Makefile's targets run in.

    python3 scripts/setup_environment.py [NAME ...]

Does nothing until requirements, Python or the project's place change. Works on a Debian whose Python comes without
pip, venv or libpython: `.venv/libpython/` then holds the libpython that Triton's Python backend loads. Keeps to the
syntax of Python 3.6, so that an old Python gets as far as the message of preflight.py.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import preflight
from debian_package import fetch
from locked_requirements import locked_requirements, read_pyproject
from pip_command import run_pip
from preflight import SetupError
from pytorch_build import announced_arguments

ROOT = Path(__file__).resolve().parent.parent
STAMP = "packrank-environment"
LOCKED = ("--no-deps", "--require-hashes", "--only-binary=:all:")


class Environment(NamedTuple):
    """What one virtual environment holds, besides the project itself."""

    directory: str
    needed_mb: int  # the environment and pip's cache, measured and rounded up
    locked: tuple[str, ...]  # extras and groups of pyproject.toml, from requirements.lock
    files: dict[str, tuple[str, ...]]  # other requirements files, with pip's options


SERVER = ("tritonserver-binary", "build-backend")
PEERS = "benchmarks/peers/requirements/"
ENVIRONMENTS = {
    "serve": Environment(".venv", 750, ("packrank", *SERVER), {}),
    "gateway": Environment(".venv", 800, ("gateway", *SERVER), {}),
    "engine": Environment(".venv", 850, ("gateway", "tensorrt", *SERVER), {}),
    # 2 GB with PyTorch for CPUs; its CUDA build takes 8.
    "torch-ranker": Environment(".venv", 2000, ("gateway", *SERVER), {"python_backend/requirements-torch.txt": ()}),
    "bench": Environment(".venv", 850, ("plots", *SERVER), {}),
    "gpu": Environment(".venv", 1650, ("test", "tensorrt", *SERVER), {}),
    "test": Environment(".venv", 1600, ("test", *SERVER), {}),
    "e5": Environment(".venv-e5", 300, ("e5", "build-backend"), {}),
    "clients": Environment(".venv-clients", 2000, (), {"tests/real_clients/requirements.lock": LOCKED}),
    # No hashes for torch: pip's own configuration decides which build is right.
    "torch": Environment(
        ".venv-torch",
        2000,
        ("gateway", "evaluate", "goldens", "build-backend"),
        {"tests/goldens/requirements.txt": (), "python_backend/requirements-openvino.txt": ()},
    ),
    "training": Environment(
        ".venv-training", 2000, ("evaluate", "e5", "build-backend"), {"demo_ranker/requirements.txt": ()}
    ),
    "peers-transformers": Environment(".venv-peers-transformers", 2000, (), {f"{PEERS}transformers.txt": ()}),
    # for `make check-gpu CONFIG=torch`: server, PyTorch and its peers
    "gpu-torch": Environment(".venv-gpu-torch", 3000, ("gateway", *SERVER), {f"{PEERS}transformers.txt": ()}),
    "peers-openvino": Environment(".venv-peers-openvino", 1000, (), {f"{PEERS}openvino.txt": ()}),
    "peers-infinity": Environment(".venv-peers-infinity", 2000, (), {f"{PEERS}infinity.txt": ()}),
    "peers-vllm": Environment(
        ".venv-peers-vllm", 4000, (), {f"{PEERS}vllm.txt": (), f"{PEERS}vllm-alone.txt": ("--no-deps",)}
    ),
}


def installations(environment: Environment, root: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the options and requirements of each pip install, in order."""
    if environment.locked:
        yield LOCKED, locked_requirements(root, environment.locked)
    for file, options in environment.files.items():
        yield options, (root / file).read_text()


def contents(environment: Environment, root: Path) -> str:
    """List all that the environment is made from, one item per line."""
    pyproject = read_pyproject(root)
    metadata = json.dumps([pyproject["build-system"], pyproject["project"]]).encode()
    # Editable installs and scripts hold the project's path; the libraries are built for one Python.
    state = "Python {}.{} in {}\n".format(*sys.version_info[:2], root)
    state += f"project {hashlib.sha256(metadata).hexdigest()}\n"
    return state + "".join(text for _, text in installations(environment, root))


def is_current(name: str, root: Path) -> bool:
    """Check that the environment holds all that it needs. One made for the tests also serves."""
    environment = ENVIRONMENTS[name]
    stamp = root / environment.directory / STAMP
    return stamp.exists() and set(contents(environment, root).splitlines()) <= set(stamp.read_text().splitlines())


def write_stamp(name: str, root: Path) -> None:
    """Mark the environment as complete: the last step of a set-up."""
    (root / ENVIRONMENTS[name].directory / STAMP).write_text(contents(ENVIRONMENTS[name], root))


def is_usable(venv: Path) -> bool:
    """Check that `venv` has pip and the running Python's version."""
    ask = [str(venv / "bin/python"), "-c", "import sys, pip; print(sys.version_info[:2])"]
    try:
        return subprocess.check_output(ask, stderr=subprocess.DEVNULL, text=True).strip() == str(sys.version_info[:2])
    except (OSError, subprocess.CalledProcessError):
        return False


def fetch_debian(package: str, into: Path) -> None:
    """Fetch the Debian package that holds what the running Python comes without."""
    try:
        fetch([package], into)
    except SetupError as error:
        packages = "python{0}.{1}-venv libpython{0}.{1}".format(*sys.version_info[:2])
        raise SetupError(
            f"{error} Or install it, `sudo apt-get install {packages}`, or name a Python that has it: "
            "`make PYTHON=/usr/bin/python3 ...`."
        ) from error


def create_venv(venv: Path) -> None:
    """Create an environment with pip, even where Debian's python3-venv is not installed."""
    command = [sys.executable, "-m", "venv", "--clear", str(venv)]
    if preflight.has_ensurepip():
        subprocess.run(command, check=True)
        return
    subprocess.run([*command, "--without-pip"], check=True)
    with tempfile.TemporaryDirectory() as unpacked:
        fetch_debian("python3-pip-whl", Path(unpacked))
        (wheel,) = Path(unpacked).glob("usr/share/python-wheels/pip-*.whl")
        # pip runs from its own wheel and installs that wheel.
        pip = [str(venv / "bin/python"), str(wheel / "pip")]
        subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)], check=True)


def provide_libpython(venv: Path) -> None:
    """Put the running Python's shared library into `venv`/libpython. Fetch it if it is not installed."""
    library = venv / "libpython" / preflight.libpython_name()
    installed = preflight.find_libpython()
    library.parent.mkdir(exist_ok=True)
    if library.exists():
        return
    if installed:
        library.symlink_to(installed)
        return
    with tempfile.TemporaryDirectory() as unpacked:
        fetch_debian("libpython{}.{}".format(*sys.version_info[:2]), Path(unpacked))
        (fetched,) = Path(unpacked).glob(f"usr/lib/*/{library.name}")
        shutil.copy(fetched, library.with_name("draft"))
    library.with_name("draft").replace(library)


def replace_bundled_libpython(venv: Path) -> None:
    """Link the libpython 3.13 inside tritonserver's wheel to the real one.

    The stub prefers the bundled library, which looks for modules where its builder had them and cannot import math.
    """
    bundled = f"nvidia_pytriton.libs/libpython3-*.{sys.version_info.minor}.so.1.0"
    for stand_in in venv.glob(f"lib/python*/site-packages/{bundled}"):
        stand_in.unlink()
        stand_in.symlink_to(venv / "libpython" / preflight.libpython_name())


def set_up(name: str, root: Path) -> None:
    """Bring an environment up to date.

    Raises:
        SetupError: the machine lacks something, or pip failed.
    """
    environment = ENVIRONMENTS[name]
    venv = root / environment.directory
    fresh = not is_usable(venv)
    lacks = preflight.lacks(preflight.this_machine(root), environment.needed_mb if fresh else 0)
    if lacks:
        raise SetupError("\n".join(["packrank cannot be set up here:", *[f"- {lack}" for lack in lacks]]))
    (venv / STAMP).unlink(missing_ok=True)
    if fresh:
        print("Creating {} with Python {}.{}".format(environment.directory, *sys.version_info[:2]), flush=True)
        create_venv(venv)
    if "tritonserver-binary" in environment.locked:
        provide_libpython(venv)
    python = venv / "bin/python"
    for options, requirements in installations(environment, root):
        if name == "torch-ranker" and options != LOCKED:
            options = announced_arguments()  # noqa: PLW2901 (which build suits this machine)
        (venv / "requirements.txt").write_text(requirements)
        run_pip(python, ["install", "--no-compile", *options, "-r", str(venv / "requirements.txt")], root)
    run_pip(python, ["install", "--no-compile", "--quiet", "--no-deps", "--no-build-isolation", "-e", "."], root)
    replace_bundled_libpython(venv)
    print("Compiling what was installed", flush=True)  # on all cores, where pip would use one
    subprocess.run([str(python), "-m", "compileall", "-qq", "-j", "0", str(venv / "lib")], check=False)
    write_stamp(name, root)
    print(f"{environment.directory} is ready", flush=True)


def main() -> None:
    """Set up the environments that are named, or the one of `make run`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=["serve"], help=", ".join(ENVIRONMENTS))
    try:
        for name in parser.parse_args().names:
            if not is_current(name, ROOT):
                set_up(name, ROOT)
    except (SetupError, LookupError) as error:
        sys.exit(f"\n{error}")
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"\nThe environment could not be created ({preflight.free_mb(ROOT)} MB are free in {ROOT}): {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped before the environment was complete. Run the same command again to complete it.")


if __name__ == "__main__":
    main()
