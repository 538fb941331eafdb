import pytest

from packrank_build.tensorrt.log import BuildMessages, EngineError


def test_the_carrier_may_be_unused() -> None:
    messages = BuildMessages()
    messages.add("WARNING", "Unused Input: max_len_carrier")
    messages.add("WARNING", "[RemoveDeadLayers] Input Tensor max_len is unused or used only at compile-time, but ...")
    messages.refuse_unused_inputs()


@pytest.mark.parametrize("name", ["seq_lens", "max_len", "input_ids"])
def test_any_other_unused_input_is_refused(name: str) -> None:
    messages = BuildMessages()
    messages.add("WARNING", "Unused Input: max_len_carrier")
    messages.add("WARNING", f"Unused Input: {name}")
    with pytest.raises(EngineError, match=f"ignores the inputs {name}: .*docs/gpu.md"):
        messages.refuse_unused_inputs()


def test_errors_are_shown_and_the_last_is_the_reason() -> None:
    shown: list[str] = []
    messages = BuildMessages(shown.append)
    assert messages.reason() == "TensorRT gave no reason"
    for severity, text in (("ERROR", "first"), ("INFO", "chatter"), ("INTERNAL_ERROR", "second")):
        messages.add(severity, text)
    assert messages.reason() == "second"
    assert shown == ["TensorRT: first", "TensorRT: second"]


def test_scratch_memory_is_read_and_its_absence_is_an_error() -> None:
    messages = BuildMessages()
    with pytest.raises(EngineError, match="scratch memory"):
        _ = messages.scratch_bytes
    messages.add("INFO", "Max Scratch Memory: 2824881152 bytes")
    assert messages.scratch_bytes == 2824881152
