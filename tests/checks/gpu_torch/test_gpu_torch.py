from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from packrank_build.checkpoint.checkpoint import Checkpoint
from tests.support.random_checkpoint import random_architecture

torch = pytest.importorskip("torch", reason="needs torch: `make check-goldens` runs it")

from packrank_backend.ranker import torch_model  # noqa: E402 (after the skip)
from packrank_backend.ranker.torch_model import TorchModel  # noqa: E402
from tests.checks.gpu_torch.attention_forms import masked_attention  # noqa: E402
from tests.checks.gpu_torch.ceilings import products  # noqa: E402
from tests.checks.gpu_torch.in_process import packed_logits  # noqa: E402
from tests.checks.gpu_torch.report import goal, markdown  # noqa: E402
from tests.checks.gpu_torch.study import Table  # noqa: E402
from tests.checks.gpu_torch.workloads import Workload, workloads  # noqa: E402


@pytest.fixture(scope="module")
def mixes(llama3_tokenizer: Path) -> dict[str, Workload]:
    return workloads(Tokenizer.from_file(str(llama3_tokenizer)), 64)


def test_the_products_are_the_models() -> None:
    assert products(random_architecture("llama-3.2-1b")) == {
        "query_key_value": (2048, 3072),
        "output": (2048, 2048),
        "gate_up": (2048, 16384),
        "down": (8192, 2048),
    }


def test_batches_hold_every_pair_once_and_keep_both_limits(mixes: dict[str, Workload]) -> None:
    for workload in mixes.values():
        batches = list(workload.batches(600, 1000))
        for batch in batches:
            pairs = len(batch.seq_lens)
            assert pairs == 1 or (len(batch.input_ids) <= 600 and pairs * batch.seq_lens.max() <= 1000)
        np.testing.assert_array_equal(np.concatenate([batch.input_ids for batch in batches]), workload.packed.input_ids)


def test_both_attention_forms_give_the_same_logits(
    mixes: dict[str, Workload], tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TorchModel(Checkpoint(tiny_checkpoint), torch.device("cpu"), "fp32", 1024)
    batches = list(mixes["5 % long (2k to 8k)"].batches(2000))
    expected = packed_logits(model, batches)
    monkeypatch.setattr(torch_model, "pairwise_attention", masked_attention)
    np.testing.assert_allclose(packed_logits(model, batches), expected, rtol=0, atol=1e-5)


def test_a_goal_is_reached_missed_or_not_run() -> None:
    assert [row["verdict"] for row in (goal("a", 2, 2.0), goal("b", 2, 1.9), goal("c", 2, None))] == [
        "reached",
        "missed",
        "not run",
    ]
    assert goal("d", 5, 6.0, at_most=True)["verdict"] == "missed"


def test_the_report_has_a_section_per_question_and_says_what_was_left_out() -> None:
    tables = {"one": Table("How fast?", [{"mix": "a", "tokens/s": 12345}, {"note": "out of memory"}], "A note.")}
    text = markdown(["# Title"], tables, {"served": "no time was left"})
    assert "## How fast?\n\n| mix | tokens/s | note |" in text
    assert "| a | 12,345 |  |" in text
    assert "A note." in text
    assert "- served: no time was left" in text
