"""The tables of docs/gpu.md match the targets."""

from benchmarks.scaling import engine_padding_rows
from packrank_build.tensorrt.targets import REQUEST, TARGETS
from tests.checks.engine import memory_table
from tests.support.random_checkpoint import random_architecture
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")


def test_the_memory_table_matches_the_arithmetic() -> None:
    assert "\n".join(memory_table(random_architecture("llama-3.2-1b"), list(TARGETS), "fp16")) in PAGE


def test_every_target_is_listed_with_its_plan_and_budgets() -> None:
    for target in TARGETS.values():
        budget = target.batch
        row = f"| `{target.name}` | {target.gpu} | {target.compute_capability} | `{target.plan_file}` "
        assert f"{row}| {budget.tokens:,} | {budget.pairs:,} | {budget.padded_tokens:,} |" in PAGE


def test_the_padding_table_matches_the_arithmetic() -> None:
    for row in engine_padding_rows(TARGETS["l40s"]):
        assert f"| {row['mix']} | {row['merged']:.2f} | {row['alone']:.2f} |" in PAGE


def test_the_profile_table_matches_l4() -> None:
    for profile in TARGETS["l4"].profiles:
        tokens, pairs = profile.tokens, profile.pairs
        row = f"| `{profile.name}` | {tokens[0]:,} to {tokens[2]:,} | {pairs[0]:,} to {pairs[2]:,} "
        assert f"{row}| {profile.max_len[2]:,} |" in PAGE


def test_the_request_limits_match_the_tokenizer() -> None:
    for limit in vars(REQUEST).values():
        assert f"{limit:,}" in PAGE
    for passages, longest in ((16, 8192), (128, 1024), (512, 256)):
        assert passages * longest == REQUEST.max_request_padded_tokens
