"""Creates the environment of `make run` (.venv), with more of it for other targets, and those apart.

    python3 scripts/setup_environment.py [--gateway] [--torch-ranker] [--bench] [--test] [--clients] [--torch]
        [--training] [--e5] [--peers]

A second call does nothing until a lock, a pyproject.toml, the Python or the project's place changes.
Afterwards .venv/libpython/ holds the libpython that Triton's Python backend loads.

Runs on Python 3.6 and newer as far as the preflight's message, so it holds no newer syntax.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import preflight
from debian_package import DebianPackageError, fetch
from pip_command import PipError, run_pip
from pytorch_build import announced_arguments

ROOT = Path(__file__).resolve().parent.parent
STAMP = "packrank-environment"
PROJECTS = ("pyproject.toml", "client/pyproject.toml")


class Kind:
    """One kind of environment. A kind includes another when whoever has it needs no set-up for the other."""

    def __init__(
        self,
        directory: str,
        locks: "list[str]",
        unhashed: "list[str]",
        includes: "list[str]",
        needed_mb: int,
        alone: "tuple[str, ...]" = (),
    ) -> None:
        self.directory = directory
        self.locks = locks
        self.unhashed = unhashed
        self.alone = alone  # installed last and with --no-deps
        self.includes = includes
        self.needed_mb = needed_mb  # the environment and pip's cache, measured and rounded up


KINDS = {
    "serve": Kind(".venv", ["serve.lock", "tritonserver.lock"], [], ["serve"], 750),
    "gateway": Kind(".venv", ["gateway.lock", "tritonserver.lock"], [], ["serve", "gateway"], 800),
    "torch-ranker": Kind(
        ".venv", ["gateway.lock", "tritonserver.lock"], ["torch-ranker.txt"], ["serve", "gateway", "torch-ranker"], 2000
    ),
    "bench": Kind(".venv", ["bench.lock", "tritonserver.lock"], [], ["serve", "bench"], 850),
    "test": Kind(
        ".venv",
        ["test.lock", "tritonserver.lock", "tensorrt-rtx.lock"],
        [],
        ["serve", "gateway", "bench", "test"],
        1600,
    ),
    "clients": Kind(".venv-clients", ["clients.lock"], [], ["clients"], 2000),
    "torch": Kind(".venv-torch", ["test.lock"], ["torch.txt"], ["torch"], 2000),
    "e5": Kind(".venv-e5", ["e5.lock"], [], ["e5"], 300),
    "training": Kind(".venv-training", ["serve.lock"], ["training.txt"], ["training"], 2000),
    "peers-transformers": Kind(
        ".venv-peers-transformers", [], ["peers-transformers.txt"], ["peers-transformers"], 2000
    ),
    "peers-openvino": Kind(".venv-peers-openvino", [], ["peers-openvino.txt"], ["peers-openvino"], 1000),
    "peers-infinity": Kind(".venv-peers-infinity", [], ["peers-infinity.txt"], ["peers-infinity"], 2000),
    "peers-vllm": Kind(
        ".venv-peers-vllm", [], ["peers-vllm.txt"], ["peers-vllm"], 4000, alone=("peers-vllm-alone.txt",)
    ),
}
PEERS = [name[len("peers-") :] for name in KINDS if name.startswith("peers-")]


class SetupError(Exception):
    """The environment could not be made; the message says why and what to do."""


def digest(kind: Kind, root: Path) -> str:
    """Changes with everything that the installed environment depends on. SHA-256, hexadecimal."""
    # Editable installs and scripts hold the project's path; the libraries are built for one Python.
    state = hashlib.sha256(f"{sys.version_info[:2]} {root}".encode())
    for file in [f"requirements/{name}" for name in [*kind.locks, *kind.unhashed, *kind.alone]] + list(PROJECTS):
        state.update(file.encode() + (root / file).read_bytes())
    return state.hexdigest()


def is_current(name: str, root: Path) -> bool:
    """Whether the environment of that kind is installed in full and nothing it depends on has changed."""
    kind = KINDS[name]
    try:
        stamp = (root / kind.directory / STAMP).read_text().splitlines()
    except FileNotFoundError:
        return False
    return f"{name} {digest(kind, root)}" in stamp


def write_stamp(name: str, root: Path) -> None:
    """Marks the environment, and those that it includes, as current: the last act of a set-up."""
    kind = KINDS[name]
    lines = [f"{included} {digest(KINDS[included], root)}\n" for included in kind.includes]
    draft = root / kind.directory / (STAMP + ".draft")
    draft.write_text("".join(lines))
    draft.replace(root / kind.directory / STAMP)


def fetch_debian(package: str, into: Path) -> None:
    """Fetches the Debian package that has what the running Python comes without."""
    try:
        fetch([package], into)
    except DebianPackageError as error:
        version = "{}.{}".format(*sys.version_info[:2])
        packages = f"python{version}-venv libpython{version}"
        raise SetupError(
            f"{error} Or have them installed, `sudo apt-get install {packages}`, or name another Python that "
            "has them: `make PYTHON=/usr/bin/python3 ...`."
        ) from error


def is_usable(venv: Path) -> bool:
    """Whether an earlier run left an environment with pip of the running Python."""
    ask = [str(venv / "bin/python"), "-c", "import sys, pip; print(sys.version_info[:2])"]
    try:
        answer = subprocess.check_output(ask, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.decode().strip() == str(sys.version_info[:2])


def create_venv(venv: Path) -> None:
    """Creates an environment with pip, also where Debian's python3-venv is not installed."""
    command = [sys.executable, "-m", "venv", "--clear", str(venv)]
    if preflight.has_ensurepip():
        subprocess.run(command, check=True)
        return
    subprocess.run([*command, "--without-pip"], check=True)
    with tempfile.TemporaryDirectory() as unpacked:
        fetch_debian("python3-pip-whl", Path(unpacked))
        (wheel,) = Path(unpacked).glob("usr/share/python-wheels/pip-*.whl")
        # pip runs from its own wheel and installs that very wheel.
        pip = [str(venv / "bin/python"), str(wheel / "pip")]
        subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)], check=True)


def provide_libpython(venv: Path) -> None:
    """Puts the running Python's shared library into `venv`/libpython, fetched where it is not installed."""
    directory = venv / "libpython"
    directory.mkdir(exist_ok=True)
    library = directory / preflight.libpython_name()
    if library.exists():
        return
    installed = preflight.find_libpython()
    if installed:
        library.symlink_to(installed)
        return
    package = "libpython{}.{}".format(*sys.version_info[:2])
    with tempfile.TemporaryDirectory() as unpacked:
        fetch_debian(package, Path(unpacked))
        (fetched,) = Path(unpacked).glob(f"usr/lib/*/{library.name}")
        draft = directory / "draft"
        shutil.copy(str(fetched), str(draft))
        draft.replace(library)


def replace_bundled_libpython(venv: Path) -> None:
    """Makes the libpython of tritonserver's wheel, which it has for Python 3.13 only, a link to the real one.

    The bundled one looks for modules where its builder had them and so cannot import math, and the stub
    prefers it to whatever LD_LIBRARY_PATH has.
    """
    bundled = f"nvidia_pytriton.libs/libpython3-*.{sys.version_info.minor}.so.1.0"
    for stand_in in venv.glob("lib/python*/site-packages/" + bundled):
        stand_in.unlink()
        stand_in.symlink_to(venv / "libpython" / preflight.libpython_name())


def set_up(name: str, root: Path) -> None:
    """Brings the environment of that kind up to date.

    Raises:
        SetupError: the machine lacks something.
        PipError: a package could not be installed.
    """
    kind = KINDS[name]
    venv = root / kind.directory
    fresh = not is_usable(venv)
    lacks = preflight.lacks(root, kind.needed_mb if fresh else 0)
    if lacks:
        raise SetupError("\n".join(["packrank cannot be set up here:", *[f"- {lack}" for lack in lacks]]))
    if (venv / STAMP).exists():
        (venv / STAMP).unlink()
    if fresh:
        print("Creating {} with Python {}.{}".format(kind.directory, *sys.version_info[:2]), flush=True)
        create_venv(venv)
    with_tritonserver = "tritonserver.lock" in kind.locks
    if with_tritonserver:
        provide_libpython(venv)
    python = venv / "bin/python"
    locks = [argument for lock in kind.locks for argument in ("-r", f"requirements/{lock}")]
    # A lock names all it needs, so --no-deps; tritonserver's wheel must not bring its Python API's pins.
    install = ["install", "--no-compile"]
    if locks:
        run_pip(python, [*install, "--no-deps", "--require-hashes", "--only-binary=:all:", *locks], root)
    for file in kind.unhashed:
        build = announced_arguments() if file == "torch-ranker.txt" else []
        run_pip(python, [*install, *build, "-r", f"requirements/{file}"], root)
    for file in kind.alone:
        run_pip(python, [*install, "--no-deps", "-r", f"requirements/{file}"], root)
    projects = ["-e", ".", "-e", "./client"]
    run_pip(python, [*install, "--quiet", "--no-deps", "--no-build-isolation", *projects], root)
    if with_tritonserver:
        replace_bundled_libpython(venv)
    print("Compiling what was installed", flush=True)  # on all cores, where pip would use one
    subprocess.run([str(python), "-m", "compileall", "-qq", "-j", "0", str(venv / "lib")], check=False)
    write_stamp(name, root)
    print(f"{kind.directory} is ready", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", action="store_true", help="with what the HTTP gateway needs, in .venv")
    parser.add_argument("--torch-ranker", action="store_true", help="with PyTorch for the config torch, in .venv")
    parser.add_argument("--bench", action="store_true", help="with what plots need, in .venv")
    parser.add_argument("--test", action="store_true", help="with what the tests and checks need, in .venv")
    parser.add_argument("--clients", action="store_true", help="other people's clients, in .venv-clients")
    parser.add_argument("--torch", action="store_true", help="with torch, in .venv-torch: up to several GB")
    parser.add_argument("--training", action="store_true", help="with torch and e5, in .venv-training")
    parser.add_argument("--e5", action="store_true", help="with a small embedding model and its server, in .venv-e5")
    parser.add_argument(
        "--peers", nargs="+", choices=PEERS, default=[], help="rerankers to compare with, each in .venv-peers-<name>"
    )
    arguments = parser.parse_args()
    kinds = ("gateway", "torch-ranker", "bench", "test", "clients", "torch", "training", "e5")
    wanted = [name for name in kinds if vars(arguments)[name.replace("-", "_")]] + [
        f"peers-{name}" for name in arguments.peers
    ]
    wanted = wanted or ["serve"]
    try:
        for name in wanted:
            if not is_current(name, ROOT):
                set_up(name, ROOT)
    except (SetupError, PipError) as error:
        sys.exit(f"\n{error}")
    except (OSError, subprocess.CalledProcessError) as error:
        free = f"{preflight.free_mb(ROOT)} MB are free in {ROOT}"
        sys.exit(f"\nThe environment could not be created ({free}): {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped before the environment was complete. Run the same again to complete it.")


if __name__ == "__main__":
    main()
