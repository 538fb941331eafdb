"""What a bf16 matrix product reaches in torch, which the bf16 peers run on. In .venv-peers-transformers."""

from __future__ import annotations

import argparse
import time

import torch

ROWS, REPEATS = 1024, 20  # as benchmarks/gemm_peak.py


def main() -> None:
    """Print the best of several products [1024, inputs] x [inputs, outputs]: 10^9 operations a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inputs", type=int)
    parser.add_argument("outputs", type=int)
    options = parser.parse_args()
    product = torch.nn.Linear(options.inputs, options.outputs, bias=False, dtype=torch.bfloat16)
    rows = torch.randn(ROWS, options.inputs, dtype=torch.bfloat16)
    seconds = []
    with torch.inference_mode():
        product(rows)
        for _ in range(REPEATS):
            start = time.perf_counter()
            product(rows)
            seconds.append(time.perf_counter() - start)
    print(2 * ROWS * options.inputs * options.outputs / min(seconds) / 1e9)


if __name__ == "__main__":
    main()
