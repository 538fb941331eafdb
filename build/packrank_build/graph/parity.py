"""The gate between a build and the model repository: the built graph against the reference, pair by pair."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from tokenizers import Tokenizer

from packrank_backend.build_record import BuildRecord
from packrank_backend.packing import PackedPairs, pack, run_inputs
from packrank_backend.ranker.cpu_ranker import CpuRanker
from packrank_backend.ranker.onnxruntime_graph import OnnxRuntimeGraph
from packrank_backend.ranker.openvino_graph import OpenVinoGraph
from packrank_backend.text.pairs import encode_questions
from packrank_backend.text.question import PairLimits
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.parity_pairs import NamedQuestion, parity_questions
from packrank_build.graph.reference import final_hidden_states, reference_logits
from packrank_build.progress import Progress

# fp32: both sides compute in fp32 and differ by the order of their sums. Lower precisions: the largest difference
# allowed, as a share of the largest |reference logit|, taken as at least 1. fp16 keeps 11 significant bits, bf16 8 and
# int8 about 7.
FP32_TOLERANCE = 1e-4
RELATIVE_TOLERANCE = {"fp16": 5e-3, "bf16": 4e-2, "int8": 5e-2}


class ParityError(Exception):
    """The built graph does not compute the reference's logits; nothing may be published."""


@dataclass(frozen=True)
class ParityReport:
    """The gate's measurement: differences are |built logit - reference logit|."""

    precision: str
    pairs: int
    tokens: int
    longest_pair_tokens: int
    tolerance: float
    max_difference: float
    mean_difference: float
    kendall_tau: float
    worst: str
    last_token_reaches_first: bool

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    def sentence(self) -> str:
        """Summarise the report in one line."""
        return (
            f"parity: {self.pairs} pairs, {self.tokens} tokens, longest {self.longest_pair_tokens}: "
            f"max |difference| {self.max_difference:.2e} (allowed {self.tolerance:.2e}), "
            f"mean {self.mean_difference:.2e}, Kendall tau {self.kendall_tau:.4f}"
        )


def check_parity(
    checkpoint: Checkpoint,
    tokenizer: Tokenizer,
    model: Path,
    record: BuildRecord,
    progress: Progress,
    *,
    expected: NDArray[np.float32] | None = None,
    emulated: bool = False,
) -> ParityReport:
    """Score the parity questions with the reference and with the built graph in the file `model`.

    The graph runs through the CPU ranker, so it is packed, merged and cut into runs as in serving. The first questions
    then run once more, each alone. Raises ParityError when a logit is off by more than the tolerance, or when the
    graph attends in another direction than the checkpoint's class.

    `expected` is what `parity_reference` returned for this checkpoint; None computes it. `emulated` is CpuRanker's.
    """
    limit = record.max_pair_tokens
    questions = parity_questions()
    requests = parity_requests(tokenizer, questions, limit)
    names = [f"{q.name}, passages[{i}]" for q in questions for i in range(len(q.question.passages))]
    pairs = [pair for request in requests for pair in pairs_of(request)]
    # comes first: a wrong direction spoils every number below, and its message is clearer
    progress.step("direction of attention")
    reaches_first = _last_token_reaches_first(
        checkpoint, model, pairs[0], bf16=record.precision == "bf16" and not emulated
    )
    if expected is None:
        expected = parity_reference(checkpoint, tokenizer, limit, progress)
    progress.step("the same pairs through the packed graph")
    ranker = CpuRanker(model, record, threads=0, max_run_tokens=1024, max_attention_bytes=1 << 29, emulated=emulated)
    merged = np.concatenate(ranker.logits(requests))
    alone = np.concatenate([ranker.logits([request])[0] for request in requests[:4]])
    differences = np.abs(merged - expected)
    differences[: len(alone)] = np.maximum(differences[: len(alone)], np.abs(alone - expected[: len(alone)]))
    worst = int(np.argmax(np.nan_to_num(differences, nan=np.inf)))
    report = ParityReport(
        precision=record.precision,
        pairs=len(pairs),
        tokens=sum(map(len, pairs)),
        longest_pair_tokens=max(map(len, pairs)),
        tolerance=_tolerance(record.precision, expected),
        max_difference=float(differences[worst]),
        mean_difference=float(differences.mean()),
        kendall_tau=kendall_tau(expected, merged),
        worst=names[worst],
        last_token_reaches_first=reaches_first,
    )
    if not report.max_difference <= report.tolerance:  # also refuses NaN
        raise ParityError(f"{report.sentence()}; worst at {report.worst}. Nothing was published.")
    if reaches_first == checkpoint.architecture.causal:
        raise ParityError(
            f"changing the last token {'changes' if reaches_first else 'does not change'} the first hidden state, "
            f"which contradicts {checkpoint.architecture.class_name}. Nothing was published."
        )
    return report


def parity_reference(
    checkpoint: Checkpoint, tokenizer: Tokenizer, max_pair_tokens: int, progress: Progress
) -> NDArray[np.float32]:
    """The reference's logits of the parity questions: FP32 [pairs]."""
    requests = parity_requests(tokenizer, parity_questions(), max_pair_tokens)
    pairs = [pair for request in requests for pair in pairs_of(request)]
    progress.step(f"reference: {len(pairs)} pairs, {sum(map(len, pairs))} tokens, one pair at a time in fp32")
    return reference_logits(checkpoint, pairs, progress.detail)


def kendall_tau(reference: NDArray[np.float32], built: NDArray[np.float32]) -> float:
    """Compute Kendall's rank correlation over the pairs of logits that differ in the reference.

    1 means the same order. It is also the answer where the reference orders nothing.
    """
    upper = np.triu_indices(len(reference), 1)
    order = np.sign((reference[:, None] - reference)[upper])
    agreement = order * np.sign((built[:, None] - built)[upper])
    return float(agreement[order != 0].mean()) if order.any() else 1.0


def _tolerance(precision: str, expected: NDArray[np.float32]) -> float:
    if precision == "fp32":
        return FP32_TOLERANCE
    return RELATIVE_TOLERANCE[precision] * max(1.0, float(np.abs(expected).max()))


def parity_requests(tokenizer: Tokenizer, questions: Sequence[NamedQuestion], limit: int) -> list[PackedPairs]:
    """Encode the questions as the tokenizer sends them to the ranker; no pair is longer than `limit` tokens."""
    limits = PairLimits(limit, max_passages=512, max_request_tokens=limit * 32, max_request_padded_tokens=limit * 32)
    requests = []
    for encoded in encode_questions(tokenizer, [named.question for named in questions], limits):
        if isinstance(encoded, Exception):
            raise ParityError(f"max_pair_tokens={limit} is too small for the parity questions: {encoded}")
        requests.append(pack(encoded.ids))
    return requests


def pairs_of(request: PackedPairs) -> list[NDArray[np.int32]]:
    """Split a request into the token ids of each pair."""
    return np.split(request.input_ids, np.cumsum(request.seq_lens)[:-1])


def _last_token_reaches_first(checkpoint: Checkpoint, model: Path, pair: NDArray[np.int32], *, bf16: bool) -> bool:
    """Whether the first token's last hidden state depends on the last token, in reference and graph alike."""
    changed = pair.copy()
    changed[-1] = changed[0]
    states = final_hidden_states(checkpoint, [pair, changed])
    graph = OpenVinoGraph(model, 0, outputs=("last_hidden",)) if bf16 else _graph_with_hidden_states(model)
    first_states = [graph.run("last_hidden", run_inputs([pack([ids])]))[0] for ids in (pair, changed)]
    reference = not np.array_equal(states[0][0], states[1][0])
    built = not np.array_equal(*first_states)
    if reference != built:
        raise ParityError("reference and packed graph attend in different directions. Nothing was published.")
    return built


def _graph_with_hidden_states(model: Path) -> OnnxRuntimeGraph:
    """Open the same graph with a second output: the residual stream after the last layer."""
    proto = onnx.load(model, load_external_data=False)
    proto.graph.output.append(onnx.helper.make_tensor_value_info("last_hidden", onnx.TensorProto.FLOAT, None))
    probe = model.with_name("probe.onnx")
    onnx.save(proto, probe)
    try:
        return OnnxRuntimeGraph(probe, 0)
    finally:
        probe.unlink()
