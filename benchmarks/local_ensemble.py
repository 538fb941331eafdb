"""The built model, served by a tritonserver of this process's own and loaded once more in the process itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tritonclient.grpc import InferenceServerClient

from benchmarks.machine import machine
from packrank_backend.build_record import read_build_record
from packrank_backend.cpu_ranker import CpuRanker, published_ranker
from packrank_backend.packing import PackedPairs, pack
from packrank_backend.pairs import PairLimits, Question, encode_questions
from packrank_backend.truncation import Truncate
from packrank_server.tritonserver import TritonServer, free_ports

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = ROOT / "model_repository"


@contextmanager
def served(repository: Path, name: str) -> Iterator[TritonServer]:
    """A tritonserver on free ports; its log goes to .cache/tritonserver-<name>.log."""
    log = ROOT / ".cache" / f"tritonserver-{name}.log"
    log.parent.mkdir(exist_ok=True)
    with TritonServer(repository, ports=free_ports(), log=log) as server:
        yield server


def linked_copy(repository: Path, directory: Path) -> Path:
    """A copy of a built repository that shares its files: unlink one before you write it."""
    shutil.copytree(repository, directory, copy_function=os.link, ignore=shutil.ignore_patterns("__pycache__"))
    return directory


def ranker_parameters(endpoint: str) -> dict[str, int]:
    """The parameters of the config that the served ranker runs with."""
    with InferenceServerClient(endpoint) as connection:
        parameters = connection.get_model_config("ranker").config.parameters
    return {name: int(value.string_value) for name, value in parameters.items()}


def bare_ranker(repository: Path, parameters: dict[str, int]) -> CpuRanker:
    """The ranker that Triton's model process holds, in this process."""
    names = ("threads", "max_run_tokens", "max_attention_bytes")
    settings: dict[str, Any] = {name: parameters[name] for name in names}
    return published_ranker(repository / "ranker" / "1", **settings)


def published_tokenizer(repository: Path) -> Tokenizer:
    """The tokenizer that Triton's model process holds."""
    return Tokenizer.from_file(str(repository / "tokenizer" / "1" / "tokenizer.json"))


def packed(tokenizer: Tokenizer, questions: Sequence[Question], max_pair_tokens: int) -> list[PackedPairs]:
    """Each question as the tensors that the tokenizer sends to the ranker, over-long pairs cut."""
    most = 512 * max_pair_tokens
    limits = PairLimits(max_pair_tokens, max_passages=512, max_request_tokens=most, max_request_padded_tokens=most)
    requests = []
    for question in questions:
        (encoded,) = encode_questions(tokenizer, [Question(question.query, question.passages, Truncate.END)], limits)
        if isinstance(encoded, Exception):
            raise encoded
        requests.append(pack(encoded.ids))
    return requests


def merged(requests: Sequence[PackedPairs], parameters: dict[str, int]) -> list[list[PackedPairs]]:
    """Requests in order, merged as long as batchstrategy.c lets them: what the ranker gets when its queue is full."""
    batches: list[list[PackedPairs]] = []
    for request in requests:
        joined = [*batches[-1], request] if batches else [request]
        pairs = sum(part.seq_lens.size for part in joined)
        if (
            len(joined) == 1
            or sum(part.input_ids.size for part in joined) > parameters["max_batch_tokens"]
            or pairs > parameters["max_batch_pairs"]
            or pairs * max(int(part.seq_lens.max()) for part in joined) > parameters["max_batch_padded_tokens"]
        ):
            batches.append([request])
        else:
            batches[-1] = joined
    return batches


def model_and_machine(repository: Path) -> str:
    """What was measured and where, in one line."""
    record = read_build_record(repository / "ranker" / "1")
    return f"Model: {record.source}, {record.precision}. Machine: {machine()}."
