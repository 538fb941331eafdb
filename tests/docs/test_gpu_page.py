"""docs/gpu.md says what the target table says, and its commands exist."""

import re
import subprocess

from packrank_build.tensorrt.targets import REQUEST, TARGETS
from tests.checks.engine import memory_table
from tests.support.random_checkpoint import random_architecture
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")


def test_the_memory_is_what_the_arithmetic_says() -> None:
    assert "\n".join(memory_table(random_architecture("llama-3.2-1b"), list(TARGETS), "fp16")) in PAGE


def test_every_target_stands_with_its_plan_and_budgets() -> None:
    for target in TARGETS.values():
        budget = target.batch
        row = f"| `{target.name}` | {target.gpu} | {target.compute_capability} | `{target.plan_file}` "
        assert f"{row}| {budget.tokens:,} | {budget.pairs:,} | {budget.padded_tokens:,} |" in PAGE


def test_the_profiles_are_l4s() -> None:
    for profile in TARGETS["l4"].profiles:
        tokens, pairs = profile.tokens, profile.pairs
        row = f"| `{profile.name}` | {tokens[0]:,} to {tokens[2]:,} | {pairs[0]:,} to {pairs[2]:,} "
        assert f"{row}| {profile.max_len[2]:,} |" in PAGE


def test_the_limits_of_a_request_are_the_tokenizers() -> None:
    for limit in vars(REQUEST).values():
        assert f"{limit:,}" in PAGE
    for passages, longest in ((16, 8192), (128, 1024), (512, 256)):
        assert passages * longest == REQUEST.max_request_padded_tokens


def test_every_make_target_exists() -> None:
    targets = re.findall(r"^\$ make ([a-z-]+)((?: [A-Z_]+=\S+)*)", PAGE, re.MULTILINE)
    targets += re.findall(r"`make ([a-z-]+)((?: [A-Z_]+=[^\s`]+)*)", PAGE)
    assert {"model", "engine", "check-engine", "gpu-check", "precision", "serve"} <= {name for name, _ in targets}
    for name, variables in targets:
        command = ["make", "--dry-run", name, *variables.split()]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
