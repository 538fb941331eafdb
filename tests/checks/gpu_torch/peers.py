"""What people run today, on the same card, weights and pairs: padded Hugging Face, and CrossEncoder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.peers.checkpoint import write_peer_checkpoint
from packrank_backend.ranker.torch_model import COMPUTE_DTYPES
from tests.checks.gpu_torch.workloads import Workload

Logits = Callable[[Workload], list[float]]
CROSS_ENCODER_BATCH = 32  # its own default


def padded_hugging_face(checkpoint: Path, device: torch.device, precision: str, max_batch_tokens: int) -> Logits:
    """transformers' Llama, both directions, on batches of pairs sorted by length: the best that padding can do."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    settings = {key: value for key, value in config.items() if key not in ("model_type", "temperature")}
    model: Any = transformers.LlamaForSequenceClassification.from_pretrained(
        checkpoint,
        config=transformers.LlamaConfig(**settings | {"is_causal": False, "num_labels": 1}),
        dtype=COMPUTE_DTYPES[precision],
        attn_implementation="sdpa",
    )
    model = model.to(device).eval()
    head = model.score.weight.float()[0]

    def logits(workload: Workload) -> list[float]:
        pairs = workload.pairs
        order = sorted(range(len(pairs)), key=lambda index: len(pairs[index]))
        scored = [0.0] * len(pairs)
        queued = []
        with torch.inference_mode():
            for batch in _padded_batches(order, pairs, max_batch_tokens):
                longest = len(pairs[batch[-1]])
                ids = torch.tensor([pairs[i] + [0] * (longest - len(pairs[i])) for i in batch], device=device)
                lengths = torch.tensor([len(pairs[i]) for i in batch], device=device)
                mask = torch.arange(longest, device=device) < lengths[:, None]
                hidden = model.model(input_ids=ids, attention_mask=mask.long(), use_cache=False).last_hidden_state
                queued.append(((hidden.float() * mask[..., None]).sum(1) / lengths[:, None]) @ head)
            for index, logit in zip(order, torch.cat(queued).tolist(), strict=True):
                scored[index] = logit
        return scored

    return logits


def cross_encoder(checkpoint: Path, device: torch.device, precision: str, work: Path) -> Logits:
    """sentence-transformers' CrossEncoder as one calls it: texts in, its own batch size, the same weights and dtype."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from sentence_transformers import CrossEncoder  # noqa: PLC0415 (slow, and one part of the run)

    write_peer_checkpoint(checkpoint, work / "peer")
    model = CrossEncoder(
        str(work / "peer"),
        device=str(device),
        trust_remote_code=True,
        activation_fn=torch.nn.Identity(),
        model_kwargs={"dtype": COMPUTE_DTYPES[precision]},
    )

    def logits(workload: Workload) -> list[float]:
        scores = model.predict(workload.halves(), batch_size=CROSS_ENCODER_BATCH, show_progress_bar=False)
        return [float(score) for score in scores]

    return logits


def _padded_batches(order: list[int], pairs: list[list[int]], max_batch_tokens: int) -> list[list[int]]:
    """Batches in the given order, shortest pairs first, of at most `max_batch_tokens` with their padding."""
    batches: list[list[int]] = [[]]
    for index in order:
        if batches[-1] and (len(batches[-1]) + 1) * len(pairs[index]) > max_batch_tokens:
            batches.append([])
        batches[-1].append(index)
    return batches
