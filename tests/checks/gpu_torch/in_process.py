"""The ranker in one process, without a server: tokens/s of each mix, its share of the ceiling, and its peers'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from packrank_backend.packing import PackedPairs
from packrank_backend.ranker.torch_model import TorchModel
from tests.checks.gpu_torch.study import Row, Study, Table
from tests.checks.gpu_torch.workloads import Workload

MAX_BATCH_TOKENS = 16384  # as in the config torch
RUNS = (1024, 2048, 4096, 8192, 16384, 32768)
PARTS = {"gemm": "products", "nvjet": "products", "cutlass": "products", "flash": "attention", "fmha": "attention"}


def packed_logits(model: TorchModel, batches: Sequence[PackedPairs]) -> NDArray[np.float32]:
    """Logits of all batches, queued one after another as the ranker does it."""
    queued = [model.logits(batch.input_ids, batch.seq_lens) for batch in batches]
    logits: NDArray[np.float32] = torch.cat(queued).cpu().numpy()
    return logits


def measure_ranker(study: Study, mixes: dict[str, Workload], ceilings: dict[str, float]) -> dict[str, float]:
    """Tokens/s of each mix in the precision that is served, and in the others; the former are returned."""
    rows: list[Row] = []
    served: dict[str, float] = {}
    for precision in study.precisions:
        model = study.model(precision)
        for name, workload in mixes.items():
            batches = list(workload.batches(MAX_BATCH_TOKENS // study.scale))
            seconds = study.seconds(partial(packed_logits, model, batches))
            row = _row(name, f"packrank {precision}", workload, seconds)
            row["share of ceiling"] = round(row["tokens/s"] / ceilings[precision], 3)
            rows.append(row)
            if precision == study.precision:
                served[name] = row["tokens/s"]
    note = "The ceiling is the best of the card's products in the same precision; attention is not part of it."
    study.add("ranker", Table("How many tokens/s does the ranker score, and how near the ceiling?", rows, note))
    return served


def measure_run_sizes(study: Study, workload: Workload) -> None:
    """Tokens/s and time of one batch against its size: what `max_batch_tokens` should be."""
    model, rows = study.model(study.precision), []
    for size in RUNS:
        batches = list(workload.batches(max(512, size // study.scale)))
        seconds = study.seconds(partial(packed_logits, model, batches), enough_s=0.5)
        row: Row = {"tokens per batch": size, "tokens/s": round(workload.tokens / seconds)}
        rows.append(row | {"ms per batch": round(1000 * seconds / len(batches), 2)})
    study.add("run sizes", Table("How large must a batch be? Log-normal mix.", rows))


def measure_parts(study: Study, mixes: dict[str, Workload]) -> None:
    """Which kernels the time goes to."""
    rows: list[Row] = []
    activity = torch.profiler.ProfilerActivity
    on_gpu = study.device.type == "cuda"
    model = study.model(study.precision)
    for name, workload in mixes.items():
        batches = list(workload.batches(MAX_BATCH_TOKENS // study.scale))
        packed_logits(model, batches)
        with torch.profiler.profile(activities=[activity.CUDA if on_gpu else activity.CPU]) as profile:
            packed_logits(model, batches)
        times = dict.fromkeys(("products", "attention", "the rest"), 0.0)
        for event in profile.key_averages():
            spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            part = next((part for sign, part in PARTS.items() if sign in event.key.lower()), "the rest")
            times[part] += spent
        whole = sum(times.values()) or 1.0
        rows.append({"mix": name} | {part: round(spent / whole, 3) for part, spent in times.items()})
    study.add("parts", Table("Where does the time go? Shares of all kernels' time.", rows))


def measure_peers(study: Study, mixes: dict[str, Workload], served: dict[str, float]) -> dict[tuple[str, str], float]:
    """Tokens/s of the peers on the same pairs; returns how many times faster the ranker is."""
    # Imported here: what the peers lack must not keep the ranker from being measured.
    from tests.checks.gpu_torch.peers import cross_encoder, padded_hugging_face  # noqa: PLC0415

    rows: list[Row] = []
    faster: dict[tuple[str, str], float] = {}
    limit = MAX_BATCH_TOKENS // study.scale
    loads: dict[str, Callable[[], Callable[[Workload], list[float]]]] = {
        "Hugging Face, padded, sorted": lambda: padded_hugging_face(
            study.checkpoint, study.device, study.precision, limit
        ),
        "CrossEncoder, its default": lambda: cross_encoder(study.checkpoint, study.device, study.precision, study.work),
    }
    for peer, load in loads.items():
        logits = load()
        for name, workload in mixes.items():
            if study.seconds_left() < 0:
                break
            try:
                seconds = study.seconds(partial(logits, workload), most_repeats=5)
            except torch.cuda.OutOfMemoryError:
                torch.cuda.empty_cache()
                rows.append({"mix": name, "by": peer, "tokens/s": 0, "note": "out of memory"})
                continue
            row = _row(name, f"{peer} {study.precision}", workload, seconds)
            ours = packed_logits(study.model(study.precision), list(workload.batches(limit)))
            row["max difference"] = round(float(np.abs(np.array(logits(workload)) - ours).max()), 4)
            row["packrank is faster"] = round(served[name] / row["tokens/s"], 2)
            faster[peer, name] = row["packrank is faster"]
            rows.append(row)
        del logits
        study.forget()
    note = "Tokens/s count real tokens, no padding. CrossEncoder also tokenises; the others are given token ids."
    study.add("peers", Table("How much faster is packed than padded?", rows, note))
    return faster


def _row(name: str, by: str, workload: Workload, seconds: float) -> Row:
    return {
        "mix": name,
        "by": by,
        "tokens/s": round(workload.tokens / seconds),
        "pairs/s": round(len(workload.pairs) / seconds, 1),
    }
