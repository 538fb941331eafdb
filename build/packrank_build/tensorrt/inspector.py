"""What a built engine really computes, from the JSON of TensorRT's engine inspector.

The plan must be built with detailed profiling verbosity. A name that this file does not know counts as "not stated":
only what the inspector states can fail a build. No GPU has produced such a JSON for this project yet. Kernel names are
those of cuBLAS, CUTLASS and TensorRT: `xmma_gemm_f16f16_f16f32_f32` reads fp16 and adds in fp32, `h16816gemm` adds in
fp16 and `s16816gemm` in fp32, and the second letter of `nvjet_hsh` is the type of its sums.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from packrank_build.tensorrt.log import EngineError
from packrank_build.tensorrt.targets import EnginePrecision

_FUSED_ATTENTION = re.compile(r"f?mha|flash|attention", re.IGNORECASE)
_SOFTMAX = re.compile(r"softmax", re.IGNORECASE)
_PRODUCT = re.compile(r"gemm|matmul|fully_?connected|nvjet", re.IGNORECASE)
_FP8 = re.compile(r"fp8|e4m3|float8", re.IGNORECASE)
_FP16 = re.compile(r"half|fp16|float16|bf16|bfloat16", re.IGNORECASE)
# what a product adds in: a kernel's name -> "fp16" or "fp32"
_SUMS = (
    (re.compile(r"gemm_\w+?_\w*?f(16|32)_f\d+_"), {"16": "fp16", "32": "fp32"}),
    (re.compile(r"nvjet_[a-z](h|s)[a-z]"), {"h": "fp16", "s": "fp32"}),
    (re.compile(r"(?:^|_)(h|s)(?:1688|16816|16832)gemm"), {"h": "fp16", "s": "fp32"}),
)


@dataclass(frozen=True)
class EngineFacts:
    """Counts of layers. A product is a matrix product of 8 or 16 bit operands; the score head in fp32 is none."""

    fused_attention: int
    softmax: int
    products: int
    fp8_products: int
    fp32_sums: int
    fp16_sums: int

    def sentence(self) -> str:
        """Summarise the counts in one line."""
        unstated = self.products - self.fp32_sums - self.fp16_sums
        return (
            f"inspector: {self.fused_attention} fused attention kernels, {self.products} products, "
            f"{self.fp8_products} of them with FP8 operands; sums in fp32: {self.fp32_sums}, in fp16: "
            f"{self.fp16_sums}, not stated: {unstated}"
        )

    def broken(self, precision: EnginePrecision) -> list[str]:
        """Name what an engine of that precision must not do, and does."""
        broken = []
        if self.softmax and not self.fused_attention:
            broken.append("attention is not fused: softmax has a kernel of its own")
        if self.fp16_sums:
            broken.append(f"{self.fp16_sums} products add in fp16")
        if precision == "fp8" and (not self.fp8_products or self.fp8_products < self.products):
            broken.append(f"only {self.fp8_products} of {self.products} products have FP8 operands")
        return broken


def check_engine_facts(information: str, precision: EnginePrecision) -> EngineFacts:
    """Read the inspector's JSON. Raises EngineError where the engine does not compute what its precision promises."""
    facts = engine_facts(information)
    broken = facts.broken(precision)
    if broken:
        raise EngineError(f"the {precision} engine is not what it says: {'; '.join(broken)}. Nothing was published.")
    return facts


def engine_facts(information: str) -> EngineFacts:
    """Count the layers of each kind. Raises EngineError if the plan holds no details."""
    layers = json.loads(information).get("Layers", [])
    if not layers or not all(isinstance(layer, dict) for layer in layers):
        raise EngineError("the plan names no kernels: it was not built with detailed profiling verbosity.")
    attention = [layer for layer in layers if _FUSED_ATTENTION.search(_kernel(layer))]
    products = [layer for layer in layers if layer not in attention and _is_product(layer)]
    sums = [_sums(_kernel(layer)) for layer in products]
    return EngineFacts(
        fused_attention=len(attention),
        softmax=sum(bool(_SOFTMAX.search(_kernel(layer))) for layer in layers if layer not in attention),
        products=len(products),
        fp8_products=sum(all(_FP8.search(kind) for kind in _operands(layer)) for layer in products),
        fp32_sums=sums.count("fp32"),
        fp16_sums=sums.count("fp16"),
    )


def _kernel(layer: dict[str, Any]) -> str:
    return f"{layer.get('LayerType', '')} {layer.get('Name', '')} {layer.get('TacticName', '')}"


def _is_product(layer: dict[str, Any]) -> bool:
    return bool(_PRODUCT.search(_kernel(layer))) and any(_low(kind) for kind in _operands(layer))


def _operands(layer: dict[str, Any]) -> list[str]:
    """List the types of both operands: the first input, and the weights or the second input."""
    return list(_types(layer))[:2]


def _types(layer: dict[str, Any]) -> Iterator[str]:
    for tensor in layer.get("Inputs", []):
        yield str(tensor.get("Format/Datatype", ""))
    weights = layer.get("Weights")
    if isinstance(weights, dict):
        yield str(weights.get("Type", ""))


def _low(kind: str) -> bool:
    return bool(_FP8.search(kind) or _FP16.search(kind))


def _sums(kernel: str) -> str | None:
    for pattern, names in _SUMS:
        found = pattern.search(kernel)
        if found:
            return names[found[1]]
    return None
