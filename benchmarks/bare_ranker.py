"""Load the published ranker into this process, with the batches that the server would give it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tritonclient.grpc import InferenceServerClient

from packrank_backend.packing import PackedPairs, pack
from packrank_backend.ranker.cpu_ranker import CpuRanker, published_ranker
from packrank_backend.text.prompt import pair_text
from packrank_backend.text.question import Question
from packrank_build.tensorrt.profile_choice import first_batch
from packrank_build.tensorrt.targets import BatchBudget


def ranker_parameters(endpoint: str) -> dict[str, int]:
    """Return the parameters of the config that the served ranker runs with."""
    with InferenceServerClient(endpoint) as connection:
        parameters = connection.get_model_config("ranker").config.parameters
    return {name: int(value.string_value) for name, value in parameters.items()}


def bare_ranker(repository: Path, parameters: dict[str, int]) -> CpuRanker:
    """Load the ranker that Triton's model process holds. Raises StaleBuild."""
    names = ("threads", "max_run_tokens", "max_attention_bytes")
    settings: dict[str, Any] = {name: parameters[name] for name in names}
    return published_ranker(repository / "ranker" / "1", **settings)


def published_tokenizer(repository: Path) -> Tokenizer:
    """Load the tokenizer that Triton's model process holds."""
    return Tokenizer.from_file(str(repository / "tokenizer" / "1" / "tokenizer.json"))


def packed_requests(tokenizer: Tokenizer, questions: Sequence[Question], max_pair_tokens: int) -> list[PackedPairs]:
    """Pack each question as the server does; cut pairs at `max_pair_tokens`."""
    return [
        pack([tokenizer.encode(pair_text(q.query, passage)).ids[:max_pair_tokens] for passage in q.passages])
        for q in questions
    ]


def merged(requests: Sequence[PackedPairs], parameters: dict[str, int]) -> list[list[PackedPairs]]:
    """Merge requests in order within batchstrategy.c's limits: the ranker's batches when its queue is full."""
    budget = BatchBudget(*(parameters[f"max_batch_{unit}"] for unit in ("tokens", "pairs", "padded_tokens")))
    waiting = list(requests)
    batches: list[list[PackedPairs]] = []
    while waiting:
        sizes = [(len(request.input_ids), len(request.seq_lens), request.max_len) for request in waiting]
        count = first_batch(sizes, budget, len(waiting))
        batches.append(waiting[:count])
        waiting = waiting[count:]
    return batches
