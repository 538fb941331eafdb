"""Packed attention against gathering into padded rows with a mask, which is what an engine does (docs/gpu.md)."""

from __future__ import annotations

from functools import partial
from unittest import mock

import torch
from torch.nn import functional

from packrank_backend.ranker import torch_model
from packrank_backend.ranker.torch_model import Run
from tests.checks.gpu_torch.in_process import MAX_BATCH_TOKENS, packed_logits
from tests.checks.gpu_torch.study import Row, Study, Table
from tests.checks.gpu_torch.workloads import Workload

MAX_PADDED_TOKENS = 131072  # an engine's limit of pairs x longest pair in a batch, kept for both forms


def masked_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, run: Run, *, causal: bool
) -> torch.Tensor:
    """Attention on rows as long as the longest pair, with a mask: [tokens, heads, head_dim]."""
    if causal:
        raise NotImplementedError("the mask reads in both directions, as an engine's does")
    pairs, longest, tokens = len(run.seq_lens), max(run.seq_lens), len(query)
    pair = torch.repeat_interleave(torch.arange(pairs, device=query.device), run.lengths, output_size=tokens)
    pad_index = torch.arange(tokens, device=query.device) + pair * longest - run.ends[pair]
    shared = query.shape[1] // key.shape[1]
    rows = []
    for part in (query, key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)):
        row = part.new_zeros(pairs * longest, *part.shape[1:])
        row[pad_index] = part
        rows.append(row.view(pairs, longest, *part.shape[1:]).transpose(1, 2))
    mask = torch.arange(longest, device=query.device) < run.lengths[:, None]
    mask = mask[:, None, None, :].expand(-1, 1, longest, -1)
    attended = functional.scaled_dot_product_attention(rows[0], rows[1], rows[2], attn_mask=mask)
    return attended.transpose(1, 2).reshape(pairs * longest, *query.shape[1:])[pad_index]


def measure_attention_forms(study: Study, mixes: dict[str, Workload]) -> None:
    """Tokens/s of the whole model with either attention."""
    model, rows = study.model(study.precision), []
    packed = "flash_attention" if model.has_flash_attention else "pairwise_attention"
    for name, workload in mixes.items():
        batches = list(workload.batches(MAX_BATCH_TOKENS // study.scale, MAX_PADDED_TOKENS // study.scale))
        tokens = [len(batch.input_ids) for batch in batches]
        padded = [len(batch.seq_lens) * int(batch.seq_lens.max()) for batch in batches]
        row: Row = {"mix": name, "padded / real tokens": round(sum(padded) / sum(tokens), 2)}
        seconds = study.seconds(partial(packed_logits, model, batches))
        row["packed tokens/s"] = round(sum(tokens) / seconds)
        expected = packed_logits(model, batches)
        with mock.patch.object(torch_model, packed, masked_attention):
            try:
                seconds = study.seconds(partial(packed_logits, model, batches))
            except torch.cuda.OutOfMemoryError:
                torch.cuda.empty_cache()
                row["masked tokens/s"] = "out of memory"
            else:
                row["masked tokens/s"] = round(sum(tokens) / seconds)
                row["packed is faster"] = round(row["packed tokens/s"] / row["masked tokens/s"], 2)
                row["max difference"] = round(float(abs(packed_logits(model, batches) - expected).max()), 4)
        rows.append(row)
    study.add("attention", Table("What does packed attention gain over gathering and a mask?", rows))
