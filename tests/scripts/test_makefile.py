import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILES = [ROOT / "Makefile", *sorted((ROOT / "make").glob("*.mk"))]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
VERBS = ["help", "run", "serve", "model", "engine", "test", "check", "perf", "evaluate", "batching", "lock", "clean"]
OTHERS = [
    name for file in MAKEFILES[1:] for name in re.findall(r"^([a-z-]+):.*## ", file.read_text(), flags=re.MULTILINE)
]


def make(*arguments: str) -> str:
    done = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def listed(output: str) -> list[str]:
    return re.findall(r"^  make (\S+) +\S", output, re.MULTILINE)


def test_help_lists_the_twelve_verbs_and_help_all_the_rest() -> None:
    assert listed(make("help")) == VERBS
    assert listed(make("help-all")) == VERBS + OTHERS


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_targets_say_what_kind_they_are(name: str) -> None:
    assert re.match("(check|bench|eval|train)-", name)


@pytest.mark.parametrize("name", [*VERBS, *OTHERS, "engine-check"])
def test_every_target_can_be_planned(name: str) -> None:
    assert make("--dry-run", name)


@pytest.mark.parametrize("file", MAKEFILES, ids=lambda file: file.name)
def test_no_line_is_longer_than_120_characters(file: Path) -> None:
    assert [line for line in file.read_text().splitlines() if len(line) > 120] == []


def test_contributing_names_targets_and_files_that_exist() -> None:
    for name in re.findall(r"(?:^\$ |`)make ([a-z-]+)", CONTRIBUTING, re.MULTILINE):
        make("--dry-run", name)
    paths = re.findall(r"`((?:\w+/)+[\w.]*|[\w./]+\.(?:py|md|toml|lock))`", CONTRIBUTING)
    assert len(paths) > 10
    for path in paths:
        assert (ROOT / path).exists() or list(ROOT.glob(f"*/*/{path}")), path
