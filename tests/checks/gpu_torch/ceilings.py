"""What the card itself reaches: the model's four matrix products in each precision, and a copy."""

from __future__ import annotations

import torch

from packrank_backend.ranker.torch_model import COMPUTE_DTYPES, Weight, fp8_weight, product
from packrank_build.checkpoint.architecture import Architecture
from tests.checks.gpu_torch.study import Row, Study, Table

ROWS = (512, 2048, 4096, 8192, 16384, 32768)


def products(architecture: Architecture) -> dict[str, tuple[int, int]]:
    """The products of one layer: name -> inputs, outputs."""
    width, inner = architecture.hidden_size, architecture.intermediate_size
    attended = architecture.heads * architecture.head_dim
    projected = (architecture.heads + 2 * architecture.kv_heads) * architecture.head_dim
    return {
        "query_key_value": (width, projected),
        "output": (attended, width),
        "gate_up": (width, 2 * inner),
        "down": (inner, width),
    }


def measure_ceilings(study: Study) -> dict[str, float]:
    """Tokens/s of a whole model in which nothing but the products takes time: the best of all rows, per precision."""
    architecture = study.model(study.precision).architecture
    shapes = products(architecture)
    operations = 2 * sum(inputs * outputs for inputs, outputs in shapes.values())
    best: dict[str, float] = {}
    rows: list[Row] = []
    for precision in ("fp32", *study.precisions):
        for count in ROWS:
            row: Row = {"precision": precision, "rows": max(64, count // study.scale)}
            if study.seconds_left() < 0:
                break
            total_s = 0.0
            for name, (inputs, outputs) in shapes.items():
                seconds = _seconds(study, precision, row["rows"], inputs, outputs)
                row[f"{name} TFLOP/s"] = round(2 * row["rows"] * inputs * outputs / seconds / 1e12, 2)
                total_s += seconds
            row["all TFLOP/s"] = round(operations * row["rows"] / total_s / 1e12, 2)
            tokens_per_s = row["rows"] / total_s / architecture.layers
            row["ceiling tokens/s"] = round(tokens_per_s)
            best[precision] = max(best.get(precision, 0), tokens_per_s)
            rows.append(row)
    note = f"A copy on the device moves {_copy_gb_per_s(study):,.0f} GB/s, bytes read and written. "
    note += "fp8 includes rounding the rows to E4M3, as the ranker does it."
    study.add("ceilings", Table("How fast are the model's matrix products on this card?", rows, note))
    return best


def _seconds(study: Study, precision: str, rows: int, inputs: int, outputs: int) -> float:
    dtype = COMPUTE_DTYPES[precision]
    generator = torch.Generator(study.device).manual_seed(0)
    operand = torch.randn(rows, inputs, generator=generator, device=study.device).to(dtype)
    matrix = torch.randn(outputs, inputs, generator=generator, device=study.device).to(dtype)
    weight = fp8_weight(matrix) if precision == "fp8" else Weight(matrix)
    repeats = 10 if study.scale == 1 else 1  # queued together: the launch of one hides behind the one before

    def repeated() -> None:
        for _ in range(repeats):
            product(operand, weight)

    with torch.inference_mode():
        return study.seconds(repeated, most_repeats=5, enough_s=0.1) / repeats


def _copy_gb_per_s(study: Study) -> float:
    source = torch.randint(0, 255, ((1 << 30) // study.scale,), dtype=torch.uint8, device=study.device)
    target = torch.empty_like(source)
    copied = 2 * (1 << 30) // study.scale  # bytes read and written
    return copied / study.seconds(lambda: target.copy_(source), enough_s=0.2) / 1e9
