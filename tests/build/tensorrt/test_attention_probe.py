import pytest

from packrank_build.tensorrt import attention_probe
from packrank_build.tensorrt.attention_probe import attention_form, refusal
from tests.checks.engine import tensorrt_rtx
from tests.support.random_checkpoint import random_architecture

LLAMA = random_architecture("llama-3.2-1b")


@pytest.mark.parametrize("sm", ["SM80", "SM86", "SM89"])
def test_attention_with_lengths_has_a_kernel_and_packed_attention_is_reported(sm: str) -> None:
    chosen, sentence = attention_form(tensorrt_rtx(), LLAMA, sm=sm)
    assert chosen == "kv_lengths"
    assert sentence.startswith("attention is built with kv_lengths (kv_lengths: has a fused kernel; packed: ")
    # Once this fails, build engines with it: packed attention needs no padding.
    assert "no fused kernel is available on this target" in str(refusal(tensorrt_rtx(), "packed", LLAMA, sm=sm))


def test_a_gpu_without_kernels_for_lengths_gets_the_row_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_probe, "refusal", lambda *_, **__: "no kernel")
    assert attention_form(None, LLAMA)[0] == "row_mask"
