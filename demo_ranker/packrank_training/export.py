"""Write trained weights small enough for git: adapters in fp16, norms and score head in fp32.

python -m packrank_training.export .cache/training/best.safetensors demo_ranker/adapters.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path)
    parser.add_argument("adapters", type=Path)
    arguments = parser.parse_args()
    with safe_open(arguments.trained, framework="numpy") as trained:
        weights = {name: trained.get_tensor(name) for name in trained.keys()}  # noqa: SIM118  (not a dict)
        metadata = trained.metadata()
    small = {
        name: weight.astype(np.float16 if name.endswith((".up", ".down")) else np.float32)
        for name, weight in weights.items()
    }
    arguments.adapters.parent.mkdir(parents=True, exist_ok=True)
    save_file(small, arguments.adapters, metadata=metadata)
    print(f"{arguments.adapters}: step {metadata['step']}, {arguments.adapters.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
