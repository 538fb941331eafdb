import pytest

from packrank_build.tensorrt.memory import MARGIN, RESERVED_BYTES, engine_bytes, fits, scratch_bytes, weight_bytes
from packrank_build.tensorrt.targets import REQUEST, TARGETS, EnginePrecision, Profile, Target
from tests.support.random_checkpoint import random_architecture

LLAMA = random_architecture("llama-3.2-1b")


@pytest.mark.parametrize("precision", ["fp16", "bf16", "fp8"])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_every_target_keeps_the_stated_margin_free(target: Target, precision: EnginePrecision) -> None:
    assert fits(target, engine_bytes(LLAMA, target, precision, REQUEST.max_pair_tokens))


def test_an_engine_that_fills_the_card_does_not_fit() -> None:
    target = TARGETS["l4"]
    assert fits(target, int((1 - MARGIN) * target.memory_bytes) - RESERVED_BYTES)
    assert not fits(target, int((1 - MARGIN) * target.memory_bytes) - RESERVED_BYTES + 1)
    assert not fits(target, 2 * engine_bytes(LLAMA, target, "fp16", 8192))


def test_weights_are_the_checkpoints_bytes() -> None:
    assert weight_bytes(LLAMA, "fp16", 8192) == pytest.approx(2.47e9, rel=0.01)
    assert weight_bytes(LLAMA, "bf16", 8192) == weight_bytes(LLAMA, "fp16", 8192)
    assert weight_bytes(LLAMA, "fp8", 8192) == pytest.approx(2.47e9 - 0.973e9, rel=0.01)


def test_scratch_grows_with_tokens_until_padded_tokens_outweigh_them() -> None:
    def scratch(tokens: int, pairs: int, longest: int) -> int:
        return scratch_bytes(LLAMA, Profile("", (1, 1, tokens), (1, 1, pairs), (1, 1, longest)))

    assert scratch(16384, 1, 1) == scratch(16384, 8, 1024) == 2 * scratch(8192, 1, 1)
    assert scratch(16384, 32, 8192) == scratch(16384, 256, 1024) > scratch(16384, 1, 1)
