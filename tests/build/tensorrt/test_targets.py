"""The target table agrees with itself, with the committed configs, and with how Triton picks a profile."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc.model_config_pb2 import BatchInput, BatchOutput, DataType, ModelConfig, ModelInstanceGroup

from packrank_build.tensorrt.engine_configs import engine_config
from packrank_build.tensorrt.profile_choice import first_batch, profile_of_batch
from packrank_build.tensorrt.targets import MAX_REQUESTS, REQUEST, TARGETS, Profile, Target
from tests.support.repository import ROOT

RANKER = ROOT / "model_repository" / "ranker"
EACH_TARGET = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


def config(name: str) -> ModelConfig:
    return text_format.Parse((RANKER / "configs" / f"{name}.pbtxt").read_text(), ModelConfig())


def parameters(parsed: ModelConfig) -> dict[str, str]:
    return {name: parameter.string_value for name, parameter in parsed.parameters.items()}


@dataclass(frozen=True)
class Request:
    pairs: int
    longest: int
    tokens: int


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw any request that the tokenizer accepts, the limits included."""
    pairs = draw(st.integers(1, REQUEST.max_passages))
    longest = draw(st.integers(1, min(REQUEST.max_pair_tokens, REQUEST.max_request_padded_tokens // pairs)))
    least = longest + pairs - 1
    most = min(longest * pairs, REQUEST.max_request_tokens)
    if least > most:
        longest, least = 1, pairs
        most = pairs
    return Request(pairs, longest, draw(st.integers(least, most)))


def chosen_by_triton(target: Target, batch: list[Request]) -> Profile | None:
    index = profile_of_batch(
        target.profiles,
        sum(request.tokens for request in batch),
        sum(request.pairs for request in batch),
        sum(request.longest for request in batch),
    )
    return None if index is None else target.profiles[index]


@EACH_TARGET
@given(queue=st.lists(requests(), min_size=1, max_size=20))
def test_every_batch_fits_the_profile_that_triton_picks(target: Target, queue: list[Request]) -> None:
    sizes = [(request.tokens, request.pairs, request.longest) for request in queue]
    batch = queue[: first_batch(sizes, target.batch, MAX_REQUESTS)]
    profile = chosen_by_triton(target, batch)
    assert profile is not None, "Triton would take the first profile, and fail every request of the batch"
    assert max(request.longest for request in batch) <= profile.max_len[2]


@EACH_TARGET
def test_the_sums_that_let_a_batch_into_a_profile_bound_its_longest_pair(target: Target) -> None:
    padded_tokens = max(REQUEST.max_request_padded_tokens, target.batch.padded_tokens)
    for profile in target.profiles:
        possible = min(REQUEST.max_pair_tokens, profile.tokens[2], padded_tokens // profile.pairs[0])
        assert possible <= profile.max_len[2], profile.name


@EACH_TARGET
@pytest.mark.parametrize(
    "request_at_its_limit",
    [
        Request(pairs=1, longest=8192, tokens=8192),
        Request(pairs=2, longest=8192, tokens=16384),
        Request(pairs=16, longest=8192, tokens=16384),
        Request(pairs=32, longest=4096, tokens=16384),
        Request(pairs=33, longest=3971, tokens=16384),
        Request(pairs=128, longest=1024, tokens=16384),
        Request(pairs=129, longest=1016, tokens=16384),
        Request(pairs=512, longest=256, tokens=16384),
        Request(pairs=1, longest=1, tokens=1),
    ],
)
def test_every_limit_is_served_on_every_target(target: Target, request_at_its_limit: Request) -> None:
    profile = chosen_by_triton(target, [request_at_its_limit])
    assert profile is not None
    assert profile.max_len[2] >= request_at_its_limit.longest


@EACH_TARGET
def test_the_first_answer_to_a_single_question_has_a_profile_of_its_own(target: Target) -> None:
    profile = chosen_by_triton(target, [Request(pairs=10, longest=64, tokens=500)])
    assert profile is not None
    assert profile.name == "one_query"


@EACH_TARGET
def test_bounds_are_in_order_and_kernels_are_chosen_for_possible_shapes(target: Target) -> None:
    for profile in target.profiles:
        for least, typical, most in profile.shapes().values():
            assert 1 <= least <= typical <= most
        assert profile.pairs[1] <= profile.tokens[1] <= profile.pairs[1] * profile.max_len[1]


@EACH_TARGET
def test_a_batch_takes_a_tenth_of_a_second_at_most_at_the_ceiling(target: Target) -> None:
    ceiling = target.peak_fp16_flops / (2 * 0.973e9)  # tokens per second, without attention
    assert 0.02 <= target.batch.tokens / ceiling <= 0.12
    assert target.batch.padded_tokens == 4 * target.batch.tokens


def test_budgets_start_where_matrix_products_saturate() -> None:
    assert {name: target.batch.tokens for name, target in TARGETS.items()} == {
        "b200": 32768,
        "h200": 16384,
        "h100": 16384,
        "a100": 8192,
        "l40s": 8192,
        "l4": 4096,
        "a10g": 4096,
    }


@EACH_TARGET
def test_the_config_says_what_the_table_says(target: Target) -> None:
    parsed = config(target.name)
    assert parsed.platform == "tensorrt_plan"
    assert parsed.max_batch_size == MAX_REQUESTS
    assert dict(parsed.cc_model_filenames) == {target.compute_capability: target.plan_file}
    (group,) = parsed.instance_group
    assert group.kind == ModelInstanceGroup.KIND_GPU
    assert group.count == 1
    assert list(group.profile) == [str(index) for index in range(len(target.profiles))]
    assert parameters(parsed) == {
        "execution_context_allocation_strategy": "ON_PROFILE_CHANGE",
        "max_batch_tokens": str(target.batch.tokens),
        "max_batch_pairs": str(target.batch.pairs),
        "max_batch_padded_tokens": str(target.batch.padded_tokens),
    }
    assert not parsed.optimization.cuda.graphs


@pytest.mark.parametrize("name", [*TARGETS, "onnx"])
def test_configs_of_tritons_own_backends_hand_over_the_packed_tensors(name: str) -> None:
    """The requirements of tensorrt_backend and onnxruntime_backend for ragged models, read from their sources."""
    parsed = config(name)
    assert [(i.name, i.data_type, list(i.dims), i.allow_ragged_batch) for i in parsed.input] == [
        (name, DataType.TYPE_INT32, [-1], True) for name in ("input_ids", "seq_lens", "max_len_carrier")
    ]
    (max_len,) = parsed.batch_input
    assert max_len.kind == BatchInput.BATCH_MAX_ELEMENT_COUNT_AS_SHAPE
    assert (list(max_len.target_name), list(max_len.source_input)) == (["max_len"], ["max_len_carrier"])
    assert max_len.data_type == DataType.TYPE_INT32, "batch inputs are INT32 or FP32"
    assert [(o.name, o.data_type, list(o.dims)) for o in parsed.output] == [("logits", DataType.TYPE_FP32, [-1])]
    (scattered,) = parsed.batch_output
    assert scattered.kind == BatchOutput.BATCH_SCATTER_WITH_INPUT_SHAPE
    assert (list(scattered.target_name), list(scattered.source_input)) == (["logits"], ["seq_lens"])
    # without these a batch can outgrow its budgets after it was formed: see batchstrategy.c
    assert list(parsed.dynamic_batching.preferred_batch_size) == list(range(1, parsed.max_batch_size + 1))
    assert parsed.dynamic_batching.max_queue_delay_microseconds == 0
    assert parsed.dynamic_batching.default_queue_policy.max_queue_size == 0, "an overflow can hang an ensemble"
    assert parsed.dynamic_batching.default_queue_policy.default_timeout_microseconds == 30_000_000


@EACH_TARGET
def test_the_committed_config_is_the_generated_one(target: Target) -> None:
    committed = (RANKER / "configs" / f"{target.name}.pbtxt").read_text()
    assert committed == engine_config(target), "run `python -m packrank_build.tensorrt.engine_configs`"


def test_there_is_a_config_for_every_target_and_no_other() -> None:
    names = {path.stem for path in (RANKER / "configs").glob("*.pbtxt")}
    assert names == {*TARGETS, "cpu", "onnx", "torch"}


def test_without_a_config_name_the_ranker_is_the_one_that_runs_everywhere() -> None:
    assert (RANKER / "config.pbtxt").read_text() == (RANKER / "configs" / "cpu.pbtxt").read_text()


def test_the_tokenizer_refuses_what_no_profile_holds() -> None:
    tokenizer = text_format.Parse((ROOT / "model_repository/tokenizer/config.pbtxt").read_text(), ModelConfig())
    limits = vars(REQUEST) | {}
    del limits["max_pair_tokens"]  # comes from the build
    assert parameters(tokenizer).items() >= {name: str(limit) for name, limit in limits.items()}.items()
