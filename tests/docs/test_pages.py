"""On every page, links lead somewhere and make targets exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.repository import ROOT

PAGES = sorted(path for folder in (".", "docs", "client", "demo_ranker") for path in (ROOT / folder).glob("*.md"))
FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# A value with a placeholder or shell syntax in it is left out: make would read `$` as its own.
CALL = re.compile(r"\bmake ([a-z][a-z0-9-]*)((?: [A-Z_]+=[^\s`\"$]+)*)")


def make_calls(page: Path) -> set[tuple[str, str]]:
    """Target and variables of each `make` in inline code or in a line that starts with `$ `."""
    text = page.read_text(encoding="utf-8")
    commands = [line for block in FENCED.findall(text) for line in block.splitlines() if line.startswith("$ ")]
    return set(CALL.findall("\n".join([*commands, *re.findall(r"`([^`]+)`", FENCED.sub("", text))])))


def make_targets() -> set[str]:
    """Targets of the Makefile and of make/*.mk."""
    files = [ROOT / "Makefile", *sorted((ROOT / "make").glob("*.mk"))]
    return {name for path in files for name in re.findall(r"^([a-z][a-z0-9-]*):(?!=)", path.read_text(), re.MULTILINE)}


def anchors(page: Path) -> set[str]:
    """Anchors that GitHub gives the headings: lower case, hyphens for spaces, no other punctuation."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", FENCED.sub("", page.read_text(encoding="utf-8"))):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_exist(page: Path) -> None:
    missing = {name for name, _ in make_calls(page)} - make_targets()
    assert not missing, f"{page.name} names {sorted(missing)}"


@pytest.mark.parametrize(("name", "variables"), sorted({call for page in PAGES for call in make_calls(page)}))
def test_make_accepts_the_call(name: str, variables: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", name, *variables.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_readme_names_the_targets_to_start_with() -> None:
    named = {name for name, _ in make_calls(ROOT / "README.md")}
    assert {"run", "test", "model", "serve", "perf", "help", "check-full-size"} <= named


def test_gpu_page_names_its_targets() -> None:
    named = {name for name, _ in make_calls(ROOT / "docs" / "gpu.md")}
    assert {"model", "engine", "check-engine", "check-gpu", "bench-fidelity", "serve"} <= named


def test_readme_names_every_folder() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {path.partition("/")[0] for path in tracked.splitlines() if "/" in path and not path.startswith(".")}
    named = set(re.findall(r"`(\w+)/`", readme.partition("## Find your way")[2]))
    assert folders <= named
