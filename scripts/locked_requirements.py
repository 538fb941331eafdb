"""Print the part of requirements.lock that some of the project's extras and dependency groups need.

    python3 scripts/locked_requirements.py gateway build-backend > some.txt
    pip install --no-deps --require-hashes --only-binary=:all: -r some.txt

The lock holds all of them, and its `# via` comments say which package needs which. The name "packrank" selects the
project's own dependencies. An extra brings them too, a group does not.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def read_pyproject(root: Path) -> dict[str, Any]:
    """Parse `root`/pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text())


def declared_packages(pyproject: dict[str, Any], names: Iterable[str]) -> set[str]:
    """Return the packages that pyproject.toml asks for under `names`, with normalised names: "ir-datasets"."""
    project = pyproject["project"]
    extras: dict[str, list[str]] = {project["name"]: [], **project["optional-dependencies"]}
    packages: set[str] = set()
    for name in names:
        in_extra = name in extras
        for requirement in project["dependencies"] + extras[name] if in_extra else pyproject["dependency-groups"][name]:
            ((package, inner),) = re.findall(r"^([\w.-]+)(?:\[(.*)\])?", requirement)
            if package == project["name"]:  # "packrank[gateway,plots]"
                packages |= declared_packages(pyproject, re.findall(r"[\w-]+", inner))
            else:
                packages.add(re.sub(r"[-_.]+", "-", package).lower())
    return packages


def locked_requirements(root: Path, names: Iterable[str]) -> str:
    """Return the pinned and hashed lines of the packages that `names` need. Raises LookupError for one not locked."""
    entry = re.compile(r"^([\w.-]+)(==.*\n(?: +--hash.*\n)+)((?: +#.*\n)+)", re.MULTILINE)
    entries = entry.findall((root / "requirements.lock").read_text())
    needed = declared_packages(read_pyproject(root), names)
    missing = needed - {package for package, _, _ in entries}
    if missing:
        raise LookupError(f"requirements.lock lacks {', '.join(sorted(missing))}. Run `make lock`.")
    while True:
        more = {package for package, _, via in entries if needed & set(re.findall(r"[\w.-]+", via))} - needed
        if not more:
            return "".join(package + pin for package, pin, _ in entries if package in needed)
        needed |= more


if __name__ == "__main__":
    print(locked_requirements(ROOT, sys.argv[1:]), end="")
