"""The PyTorch ranker on a CPU: `make check-goldens` runs this where torch is installed."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from packrank_backend.build_record import BuildRecord, StaleBuild, read_build_record
from packrank_backend.errors import InvalidRequest
from packrank_backend.packing import PackedPairs, pack
from packrank_backend.text.prompt import pair_text
from packrank_build.checkpoint.architecture import UnsupportedCheckpoint
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.tensorrt.parity import THRESHOLDS, compared
from tests.support.checkpoints import CHECKPOINTS, DIRECTORY, golden_questions
from tests.support.random_checkpoint import write_random_checkpoint

torch = pytest.importorskip("torch", reason="needs torch: `make check-goldens` runs it")

from packrank_backend.ranker import torch_model, torch_ranker  # noqa: E402 (after the skip)
from packrank_backend.ranker.torch_model import TorchModel  # noqa: E402
from packrank_backend.ranker.torch_ranker import (  # noqa: E402
    TorchRanker,
    UnsupportedDevice,
    packed_runs,
    published_ranker,
    supported_precision,
)

CPU = torch.device("cpu")
LIMIT = 1024
RECORD = BuildRecord("", "", "", {}, "fp32", 0, "", LIMIT, "", {}, {})


@pytest.fixture(scope="session", params=CHECKPOINTS)
def golden_checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, llama3_tokenizer: Path
) -> tuple[str, Checkpoint]:
    directory = tmp_path_factory.mktemp(request.param)
    write_random_checkpoint(directory, llama3_tokenizer, "tiny", **CHECKPOINTS[request.param])
    return request.param, Checkpoint(directory)


@pytest.fixture(scope="session")
def requests_(llama3_tokenizer: Path) -> list[PackedPairs]:
    tokenizer = Tokenizer.from_file(str(llama3_tokenizer))
    return [
        pack([tokenizer.encode(pair_text(question.query, passage)).ids for passage in question.passages])
        for question in golden_questions()
    ]


def ranker(checkpoint: Checkpoint, precision: str = "fp32", max_run_tokens: int = 1 << 20) -> TorchRanker:
    return TorchRanker(TorchModel(checkpoint, CPU, precision, LIMIT), RECORD, max_run_tokens=max_run_tokens)


def golden(name: str) -> list[list[float]]:
    logits: list[list[float]] = json.loads((DIRECTORY / f"{name}.json").read_text())["logits"]
    return logits


def test_fp32_is_hugging_faces(golden_checkpoint: tuple[str, Checkpoint], requests_: list[PackedPairs]) -> None:
    name, checkpoint = golden_checkpoint
    for scored, expected in zip(ranker(checkpoint).logits(requests_), golden(name), strict=True):
        assert scored.dtype == np.float32
        np.testing.assert_allclose(scored, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_passes_the_gate(
    precision: str, golden_checkpoint: tuple[str, Checkpoint], requests_: list[PackedPairs]
) -> None:
    name, checkpoint = golden_checkpoint
    parity = compared(np.concatenate(golden(name)).astype(np.float32), ranker(checkpoint, precision).logits(requests_))
    assert parity.broken(THRESHOLDS[precision]) == []
    assert parity.max_difference > 0, "it would be fp32"


@pytest.mark.parametrize("max_run_tokens", [1, 300, 1 << 20])
def test_neighbours_and_runs_do_not_change_a_score(
    max_run_tokens: int, golden_checkpoint: tuple[str, Checkpoint], requests_: list[PackedPairs]
) -> None:
    _, checkpoint = golden_checkpoint
    merged = ranker(checkpoint, max_run_tokens=max_run_tokens).logits(requests_)
    scorer = ranker(checkpoint)
    alone = [scorer.logits([request])[0] for request in requests_]
    for one, other in zip(merged, alone, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_the_last_token_reaches_the_first_unless_the_checkpoint_is_causal(
    golden_checkpoint: tuple[str, Checkpoint],
) -> None:
    name, checkpoint = golden_checkpoint
    query = torch.randn(5, 4, 16)
    changed = query.clone()
    changed[-1] += 1
    run = torch_model.Run([5], torch.tensor([5]), torch.tensor([0, 5]), query, query)
    causal = checkpoint.architecture.causal
    first, other = (torch_model.pairwise_attention(query, key, key, run, causal=causal)[0] for key in (query, changed))
    assert torch.equal(first, other) == (name == "plain_causal")


def attended_one_by_one(
    query: Any, key: Any, value: Any, cu_seq_q: Any, cu_seq_k: Any, max_q: int, max_k: int, causal: bool
) -> Any:
    """FlashAttention's stand-in, written from its documentation."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert query.stride(-1) == key.stride(-1) == value.stride(-1) == 1
    lengths = cu_seq_q.diff()
    assert max_q == max_k == int(lengths.max())
    attended = torch.empty_like(query)
    for start, end in zip(cu_seq_q[:-1].tolist(), cu_seq_q[1:].tolist(), strict=True):
        for head in range(query.shape[1]):
            group = head * key.shape[1] // query.shape[1]
            scores = query[start:end, head] @ key[start:end, group].T / query.shape[-1] ** 0.5
            if causal:
                scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), float("-inf"))
            attended[start:end, head] = scores.softmax(-1) @ value[start:end, group]
    return attended


def varlen_2_10(q: Any, k: Any, v: Any, cq: Any, ck: Any, mq: int, mk: int, is_causal: bool = False) -> Any:
    assert q.shape[1] == k.shape[1] == v.shape[1]
    return attended_one_by_one(q, k, v, cq, ck, mq, mk, is_causal)


def varlen_2_11(
    q: Any, k: Any, v: Any, cq: Any, ck: Any, mq: int, mk: int, *, window_size: tuple[int, int] = (-1, -1)
) -> Any:
    assert q.shape[1] == k.shape[1] == v.shape[1]
    return attended_one_by_one(q, k, v, cq, ck, mq, mk, {(-1, -1): False, (-1, 0): True}[window_size])


def varlen_2_12(
    q: Any,
    k: Any,
    v: Any,
    cq: Any,
    ck: Any,
    mq: int,
    mk: int,
    *,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> Any:
    assert enable_gqa or q.shape[1] == k.shape[1]
    return attended_one_by_one(q, k, v, cq, ck, mq, mk, {(-1, -1): False, (-1, 0): True}[window_size])


@pytest.mark.parametrize("varlen", [varlen_2_10, varlen_2_11, varlen_2_12])
def test_flash_attention_is_called_as_each_release_documents_it(
    varlen: Callable[..., Any],
    golden_checkpoint: tuple[str, Checkpoint],
    requests_: list[PackedPairs],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, checkpoint = golden_checkpoint
    scorer = ranker(checkpoint)
    scorer._model.has_flash_attention = True
    monkeypatch.setattr(torch_model, "varlen_attn", varlen)
    for scored, expected in zip(scorer.logits(requests_[2:6]), golden(name)[2:6], strict=True):
        np.testing.assert_allclose(scored, expected, rtol=0, atol=1e-4)


def test_fp8_passes_the_gate_by_the_cpus_own_product(
    tiny_checkpoint: Path, requests_: list[PackedPairs], monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled_mm = torch._scaled_mm

    def checked(rows: Any, columns: Any, scale_a: Any, scale_b: Any, out_dtype: Any) -> Any:
        assert rows.dtype == columns.dtype == torch.float8_e4m3fn
        assert rows.is_contiguous()
        assert columns.T.is_contiguous(), "CUDA wants the second operand in column order"
        assert scale_a.shape == (rows.shape[0], 1)
        assert scale_b.shape == (1, columns.shape[1])
        assert scale_a.dtype == scale_b.dtype == torch.float32
        assert scale_a.is_contiguous()
        assert scale_b.is_contiguous()
        return scaled_mm(rows, columns, scale_a, scale_b, out_dtype=out_dtype)

    monkeypatch.setattr(torch, "_scaled_mm", checked)
    parity = compared(
        np.concatenate(golden("bidirectional")).astype(np.float32),
        ranker(Checkpoint(tiny_checkpoint), "fp8").logits(requests_),
    )
    assert {"max_share", "mean_share"}.isdisjoint(parity.broken(THRESHOLDS["fp8"])), parity.sentence()
    assert parity.max_difference > 0


def test_runs_keep_the_limit_and_every_pair() -> None:
    seq_lens = np.array([5, 5, 1, 30, 2, 2, 2], np.int32)
    runs = packed_runs(seq_lens, 10)
    assert [seq_lens[run].tolist() for run in runs] == [[5, 5], [1], [30], [2, 2, 2]]


def test_tensors_that_contradict_each_other_are_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(InvalidRequest, match="seq_lens sum to 3"):
        ranker(Checkpoint(tiny_checkpoint)).check(PackedPairs(np.zeros(2, np.int32), np.array([1, 2], np.int32)))


def test_the_published_model_is_the_checkpoint_it_was_built_from(repository: Path) -> None:
    published = published_ranker(repository / "ranker" / "1", precision="bf16", max_run_tokens=1024, gpu=None)
    published.warm_up()
    assert published.sentence() == f"no GPU here: PyTorch {torch.__version__} runs on the CPU in fp32."


def test_a_changed_checkpoint_is_refused(repository: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    changed, version = tmp_path / "checkpoint", tmp_path / "1"
    shutil.copytree(tiny_checkpoint, changed)
    version.mkdir()
    record = dataclasses.replace(read_build_record(repository / "ranker" / "1"), source=str(changed))
    record.write(version)
    published_ranker(version, precision="fp32", max_run_tokens=1024, gpu=None)
    config = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps(config | {"temperature": 2.0}))
    with pytest.raises(StaleBuild, match="has changed since build .* Run `make model` again"):
        published_ranker(version, precision="fp32", max_run_tokens=1024, gpu=None)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda weights: weights.pop("score.weight"), "missing weights: score.weight"),
        (lambda weights: weights.update({"score.bias": weights["score.weight"].clone()}), "unexpected.*: score.bias"),
        (lambda weights: weights.update({"score.weight": weights["score.weight"][:, :-1]}), "score.weight has shape"),
    ],
)
def test_weights_are_loaded_strictly(
    edit: Callable[[dict[str, Any]], Any], sentence: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file  # noqa: PLC0415 (needs torch)

    directory = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, directory)
    (directory / "model.safetensors.index.json").unlink()
    weights: dict[str, Any] = {}
    for file in sorted(directory.glob("model-*.safetensors")):
        weights |= load_file(file)
    edit(weights)
    save_file({name: weight.contiguous() for name, weight in weights.items()}, directory / "model.safetensors")
    with pytest.raises(UnsupportedCheckpoint, match=sentence):
        TorchModel(Checkpoint(directory), CPU, "fp32", LIMIT)


@pytest.mark.parametrize(
    ("capability", "asked", "computed"),
    [((7, 5), "bf16", "fp16"), ((7, 5), "fp32", "fp32"), ((8, 0), "bf16", "bf16"), ((8, 9), "fp8", "fp8")],
)
def test_a_gpu_computes_in_what_it_has(
    capability: tuple[int, int], asked: str, computed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert supported_precision(asked, torch.device("cuda", 0)) == computed


def test_fp8_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA A100")
    with pytest.raises(UnsupportedDevice, match="NVIDIA A100 has no fp8.*bf16"):
        supported_precision("fp8", torch.device("cuda", 0))


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UnsupportedDevice, match="precision is int4: use fp32, bf16, fp16, fp8"):
        supported_precision("int4", CPU)


def test_the_warm_up_halves_the_run_until_it_fits() -> None:
    class SmallGpu:
        device = torch.device("cuda", 0)

        def logits(self, input_ids: Any, seq_lens: Any) -> Any:
            if len(input_ids) > 4096:
                raise torch.cuda.OutOfMemoryError
            return torch.zeros(len(seq_lens))

    small: Any = SmallGpu()
    scorer = TorchRanker(small, RECORD, max_run_tokens=16384)
    scorer.warm_up()
    assert scorer.max_run_tokens == 4096
    tiny = TorchRanker(small, dataclasses.replace(RECORD, max_pair_tokens=8192), max_run_tokens=16384)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        tiny.warm_up()


def test_each_instance_runs_on_the_gpu_that_triton_gave_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = []

    def model(_checkpoint: Any, device: Any, precision: str, _positions: int) -> Any:
        devices.append((device.index, precision))

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch_ranker, "TorchModel", model)
    for gpu in range(2):
        published_ranker(repository / "ranker" / "1", precision="bf16", max_run_tokens=1024, gpu=gpu)
    assert devices == [(0, "bf16"), (1, "bf16")]


def test_a_gpu_that_pytorch_cannot_use_is_not_replaced_by_the_cpu(repository: Path) -> None:
    with pytest.raises(UnsupportedDevice, match="Triton sees GPU 0, but PyTorch .* sees none: install"):
        published_ranker(repository / "ranker" / "1", precision="bf16", max_run_tokens=1024, gpu=0)
