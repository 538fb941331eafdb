"""Check that this machine has what an environment needs. Each lack is one sentence with its remedy.

Python 3.6 must be able to run this file: an old Python should print the sentence, not a SyntaxError.
"""

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

PYTHONS = ((3, 11), (3, 12), (3, 13))  # tritonserver has a stub for each, every locked package a wheel
OLDEST_GLIBC = (2, 35)  # tritonserver's wheel is tagged manylinux_2_35


class SetupError(Exception):
    """Set-up cannot go on. The message says why and what to do."""


class Machine(NamedTuple):
    """The facts that decide whether an environment can be made in `directory`."""

    directory: Path
    writable: bool
    free_mb: int  # MB are 10^6 bytes
    python: "tuple[int, ...]"  # (major, minor)
    platform: str  # "Linux on x86_64"
    libc: str  # "glibc 2.36"
    missing: "list[str]"  # parts that this Python comes without
    has_apt: bool  # apt-get can fetch those parts


def libpython_name() -> str:
    """Name the running Python's shared library, which Triton's Python backend loads."""
    return "libpython{}.{}.so.1.0".format(*sys.version_info[:2])


def find_libpython() -> "Path | None":
    """Find that library. Debian links python3 statically and packages the library separately."""
    base = Path(sys.base_prefix) / "lib"
    for directory in (Path(sysconfig.get_config_var("LIBDIR") or base), base):
        if (directory / libpython_name()).exists():
            return directory / libpython_name()
    return None


def has_ensurepip() -> bool:
    """Check that the venv module can install pip. Debian moves that part to python3-venv."""
    return importlib.util.find_spec("ensurepip") is not None


def free_mb(directory: Path) -> int:
    """Return the free space that the user may fill, in MB (10^6 bytes)."""
    return shutil.disk_usage(str(directory)).free // 10**6


def this_machine(directory: Path) -> Machine:
    """Collect the facts about this machine."""
    return Machine(
        directory=directory,
        writable=os.access(str(directory), os.W_OK),
        free_mb=free_mb(directory),
        python=sys.version_info[:2],
        platform=f"{platform.system()} on {platform.machine()}",
        libc=(os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else "") or "",
        missing=([] if has_ensurepip() else ["pip"]) + ([] if find_libpython() else [libpython_name()]),
        has_apt=shutil.which("apt-get") is not None,
    )


def lacks(machine: Machine, needed_mb: int) -> "list[str]":
    """List every reason why `machine` cannot hold an environment of `needed_mb`."""
    found = []
    if machine.python not in PYTHONS:
        found += ["This is Python {}.{}, and packrank needs 3.11, 3.12 or 3.13. ".format(*machine.python)]
        found[-1] += "Install one of them and name it: `make PYTHON=python3.12 ...`."
    if machine.platform != "Linux on x86_64":
        found += [f"This is {machine.platform}, and tritonserver's wheel needs Linux on x86-64. Use a container."]
    name, _, release = machine.libc.partition(" ")
    glibc = tuple(int(part) for part in release.split(".")[:2] if part.isdigit()) if name == "glibc" else ()
    if glibc < OLDEST_GLIBC:
        found += [
            f"The C library is {machine.libc or 'not glibc'}, and tritonserver's wheel needs glibc 2.35 or newer. "
        ]
        found[-1] += "Use Debian 12 or 13, Ubuntu 24.04 or another system of 2022 or later."
    if machine.free_mb < needed_mb:
        found += [f"The disk of {machine.directory} has {machine.free_mb} MB free, "]
        found[-1] += f"and the environment needs {needed_mb} MB. Free some space."
    if not machine.writable:
        found += [f"You cannot write to {machine.directory}. Change its owner, or use a copy of your own."]
    if machine.missing and not machine.has_apt:
        found += [f"This Python comes without {' and '.join(machine.missing)}, and there is no apt-get to fetch it. "]
        found[-1] += "Install your distribution's packages for Python's venv module and shared library."
    return found


if sys.version_info[:2] not in PYTHONS:  # the scripts that import this have newer syntax
    sys.exit("\n" + lacks(this_machine(Path.cwd()), 0)[0])
