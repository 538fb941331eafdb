"""How far each precision is from fp32 on the gate's pairs, judged by the gate's own thresholds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from packrank_backend.ranker.torch_model import TorchModel
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.parity import parity_requests
from packrank_build.graph.parity_pairs import parity_questions
from packrank_build.tensorrt.parity import THRESHOLDS, compared
from tests.checks.gpu_torch.study import Row, Study, Table


def measure_numerics(study: Study, demo_ranker: Path) -> None:
    """One row for each precision and checkpoint."""
    rows = _rows("random weights", study.checkpoint, study.model, study)
    note = "The demo ranker was not there."
    if (demo_ranker / "config.json").is_file():
        note = ""
        checkpoint = Checkpoint(demo_ranker)
        rows += _rows(
            "demo ranker", demo_ranker, lambda precision: TorchModel(checkpoint, study.device, precision, 8192), study
        )
    study.add("numerics", Table("Does each precision pass the gate?", rows, note))


def _rows(name: str, checkpoint: Path, load: Callable[[str], TorchModel], study: Study) -> list[Row]:
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    requests = parity_requests(tokenizer, parity_questions(), 2048 if study.scale == 1 else 512)

    def scored(precision: str) -> list[NDArray[np.float32]]:
        model = load(precision)
        return [model.logits(request.input_ids, request.seq_lens).cpu().numpy() for request in requests]

    expected = np.concatenate(scored("fp32"))
    rows = []
    for precision in study.precisions:
        parity = compared(expected, scored(precision))
        broken = parity.broken(THRESHOLDS[precision])
        rows.append(
            {
                "weights": name,
                "precision": precision,
                "pairs": parity.pairs,
                "max |logit|": round(parity.scale, 2),
                "max difference": round(parity.max_difference, 4),
                "mean difference": round(parity.mean_difference, 5),
                "Kendall tau": round(parity.kendall_tau, 4),
                "first 5 in common": round(parity.top_overlap, 3),
                "gate": "passes" if not broken else f"fails: {', '.join(broken)}",
            }
        )
    return rows
