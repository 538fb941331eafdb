"""What a machine must have before the environment can be made: each lack is one sentence with its remedy.

Runs on Python 3.6 and newer, so that someone with an old Python reads the sentence and not a SyntaxError.
"""

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from pathlib import Path

PYTHONS = (
    (3, 11),
    (3, 12),
    (3, 13),
)  # tritonserver's wheel has a stub, and every locked package a wheel, for each
OLDEST_GLIBC = (2, 35)  # the tritonserver wheel is tagged manylinux_2_35


def python_lack(version: "tuple[int, int]") -> str:
    """`version` is the running Python's (major, minor). Here and below, "" means that nothing lacks."""
    if version in PYTHONS:
        return ""
    return (
        f"Python {version[0]}.{version[1]} runs this, and packrank needs 3.11, 3.12 or 3.13: install "
        "one of them, and name it if it is not python3: `make PYTHON=python3.12 ...`."
    )


def machine_lack(system: str, machine: str) -> str:
    """`system` and `machine` as `platform` names them, e.g. Linux and x86_64."""
    if (system, machine) == ("Linux", "x86_64"):
        return ""
    return (
        f"This is {system} on {machine}, and tritonserver's wheel is for Linux on x86-64 only: use such "
        "a machine, a virtual machine or a container."
    )


def glibc_lack(libc: str) -> str:
    """`libc` as os.confstr("CS_GNU_LIBC_VERSION") gives it, e.g. "glibc 2.36"; "" where there is none."""
    name, _, release = libc.partition(" ")
    version = tuple(int(part) for part in release.split(".")[:2] if part.isdigit())
    if name == "glibc" and version >= OLDEST_GLIBC:
        return ""
    return (
        f"The C library is {libc or 'not glibc'}, and tritonserver's wheel needs glibc 2.35 or newer: use "
        "Debian 12 or 13, Ubuntu 24.04 or another system of 2022 or later."
    )


def disk_lack(directory: Path, free_mb: int, needed_mb: int) -> str:
    """Sizes in MB (10^6 bytes)."""
    if free_mb >= needed_mb:
        return ""
    return (
        f"The disk of {directory} has {free_mb} MB free, and the environment needs {needed_mb} MB: free "
        "some, or move the project to a larger disk."
    )


def write_lack(directory: Path) -> str:
    """Whether the user may create the environment in `directory`."""
    if os.access(str(directory), os.W_OK):
        return ""
    return f"You cannot write to {directory}: change its owner, or use a copy of your own."


def package_lack(lacking: "list[str]", has_apt: bool) -> str:
    """`lacking` names what this Python comes without; apt-get, where there is one, fetches it."""
    if has_apt or not lacking:
        return ""
    return (
        f"This Python comes without {' and '.join(lacking)}, and there is no apt-get to fetch it: install "
        "your distribution's packages with Python's venv module and its shared library."
    )


def libpython_name() -> str:
    """The running Python's shared library, which Triton's Python backend loads."""
    return f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"


def find_libpython() -> "Path | None":
    """Where that library is installed, if it is (Debian's python3 is linked statically and comes without)."""
    base = Path(sys.base_prefix) / "lib"
    for directory in (Path(sysconfig.get_config_var("LIBDIR") or base), base):
        if (directory / libpython_name()).exists():
            return directory / libpython_name()
    return None


def has_ensurepip() -> bool:
    """Whether the venv module can put pip into an environment (Debian moves that part to python3-venv)."""
    return importlib.util.find_spec("ensurepip") is not None


def free_mb(directory: Path) -> int:
    """Free space in MB (10^6 bytes) that the user may fill."""
    return shutil.disk_usage(str(directory)).free // 10**6


def lacks(root: Path, needed_mb: int) -> "list[str]":
    """Every reason why the running Python cannot make the environment under `root`; `needed_mb` of disk."""
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError):
        libc = ""
    lacking = [] if has_ensurepip() else ["pip"]
    lacking += [] if find_libpython() else [libpython_name()]
    found = [
        python_lack(sys.version_info[:2]),
        machine_lack(platform.system(), platform.machine()),
        glibc_lack(libc),
        disk_lack(root, free_mb(root), needed_mb),
        write_lack(root),
        package_lack(lacking, shutil.which("apt-get") is not None),
    ]
    return [lack for lack in found if lack]
