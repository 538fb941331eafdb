"""What a TensorRT-RTX plan says about its matrix products and its attention.

The plan holds the compiled graph as text, which no GPU is needed to read. The format is private to TensorRT-RTX 1.7.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TENSOR = re.compile(rb'tensor=\{[^\n]*? name="([^"]+)"[^\n]*? type=(\w+) \}')
_PRODUCT = re.compile(
    rb'fully_connected=\{ name="([^"]+)" output=\{"[^"]+" \} input=\{"([^"]+)" "([^"]+)"[^\n]*?accumulation_type=(\d)'
)
# The builder's number for sums in fp32. Without a demand it writes 0: whatever the fastest kernel adds in.
FP32_SUMS = 2


@dataclass(frozen=True)
class Product:
    """One matrix product: the types of its operands, and the builder's number for the type of its sums."""

    operands: tuple[str, str]
    sums: int


def products(plan: bytes) -> list[Product]:
    """List the matrix products of a plan, in order; the score head is last."""
    types = {name: kind.decode() for name, kind in _TENSOR.findall(plan)}
    return [Product((types[first], types[second]), int(sums)) for _, first, second, sums in _PRODUCT.findall(plan)]


def fused_attention_kernels(plan: bytes) -> int:
    """Count the distinct fused attention kernels whose source the plan holds."""
    return len(set(re.findall(rb"_gemm_mha_v2_0x[0-9a-f]+", plan)))
