import numpy as np
import pytest

from packrank_build.precision import choose as choosing
from packrank_build.precision.choose import Measured, candidates, choose

RISING = [np.arange(10, dtype=np.float32)] * 20
FALLING = [-logits for logits in RISING]
ANSWERS = [9] * 20


def test_the_fastest_that_keeps_the_order_is_published() -> None:
    choice = choose([Measured("fp32", 100, RISING), Measured("bf16", 390, RISING)], ANSWERS, {"int8": "takes long"})
    assert choice.precision == "bf16"
    assert choice.table().splitlines() == [
        "| precision | tokens/s | x fp32 | Kendall tau | nDCG@10 lost | |",
        "|---|---:|---:|---|---|---|",
        "| fp32 | 100 | 1.00 |  |  | slower |",
        "| bf16 | 390 | 3.90 | 1.0000 (1.0000 to 1.0000) | +0.0000 (+0.0000 to +0.0000) | **published** |",
        "| int8 | | | | | not tried: takes long |",
        "",
        "20 labelled questions in 26 languages; tau is of the 20 whose answer fp32 puts first.",
    ]


def test_speed_does_not_buy_another_order() -> None:
    choice = choose([Measured("fp32", 100, RISING), Measured("bf16", 390, FALLING)], ANSWERS, {})
    assert choice.precision == "fp32"
    assert "| fp32 | 100 | 1.00 |  |  | **published** |" in choice.table()
    assert "too far from fp32's order: tau must be 0.985 or more" in choice.table()


def test_fp32_stays_where_it_is_the_fastest() -> None:
    choice = choose([Measured("fp32", 100, RISING), Measured("bf16", 90, RISING)], ANSWERS, {})
    assert choice.precision == "fp32"
    assert "| bf16 | 90 | 0.90 |" in choice.table()
    assert "slower |" in choice.table()


def test_without_bf16_only_fp32_is_built_and_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "why_not_bf16", lambda: "the package openvino is not installed")
    precisions, skipped = candidates()
    assert precisions == ["fp32"]
    assert skipped["bf16"] == "the package openvino is not installed"
    monkeypatch.setattr(choosing, "why_not_bf16", lambda: None)
    assert candidates()[0] == ["fp32", "bf16"]


def test_a_checkpoint_that_answers_nothing_stays_in_fp32() -> None:
    choice = choose([Measured("fp32", 100, RISING), Measured("bf16", 390, RISING)], [0] * 20, {})
    assert choice.precision == "fp32"
    assert "fp32 itself answers too few of the labelled questions to compare" in choice.table()
    assert not choice.is_certain
