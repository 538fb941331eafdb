"""A written graph -> an ONNX file and its weights."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.graph.attention import AttentionForm
from packrank_build.graph.ops import Precision
from packrank_build.graph.packed_graph import packed_graph
from packrank_build.progress import Progress


def save_graph(graph: ir.Model, path: Path, progress: Progress) -> None:
    """Save the graph to `path` and its weights to `<path>.data`, one weight in memory at a time."""

    def announce(tensor: ir.TensorProtocol, place: ir.external_data.CallbackInfo) -> None:
        progress.detail(f"weight {place.index + 1} of {place.total}: {tensor.name}")

    # aligned to pages, so that the weights can be mapped into memory
    ir.save(graph, path, external_data=f"{path.name}.data", alignment=4096, callback=announce)


def export_graph(
    checkpoint: Checkpoint,
    precision: Precision,
    max_pair_tokens: int,
    path: Path,
    progress: Progress,
    *,
    emulate: bool = False,
    attention: AttentionForm = "lengths",
) -> None:
    """Write the packed graph of a checkpoint and save it to `path`."""
    graph = packed_graph(
        checkpoint.architecture, checkpoint.weight, precision, max_pair_tokens, emulate=emulate, attention=attention
    )
    save_graph(graph, path, progress)
