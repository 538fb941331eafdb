"""Score padded batches with Hugging Face transformers, for `make check-gpu`. Runs in .venv-torch.

    python -m tests.checks.gpu.huggingface < request.json > answer.json

The request holds `checkpoint` (a directory), `batches` (lists of pairs of token ids) and `repeats`. The answer holds
`logits` in order and the `seconds` of each repeat. fp16 on a GPU, otherwise fp32, with torch's scaled dot-product
attention, as servers like CrossEncoder run it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
import transformers


def load(directory: Path, device: str, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    """Return the model and its config.json. Raises SystemExit when a weight is missing or left over."""
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    settings = {key: value for key, value in config.items() if key not in ("model_type", "temperature")}
    if is_nvidias(config):
        settings["is_causal"] = False  # transformers 5 then attends in both directions
    model, info = transformers.LlamaForSequenceClassification.from_pretrained(
        directory,
        config=transformers.LlamaConfig(**settings),
        dtype=dtype,
        attn_implementation="sdpa",
        output_loading_info=True,
    )
    if info["missing_keys"] or info["unexpected_keys"]:
        raise SystemExit(f"{directory}: {info}")
    return model.to(device).eval(), config


def is_nvidias(config: dict[str, Any]) -> bool:
    """Return whether the model attends in both directions, averages its tokens and divides by a temperature."""
    return bool(config["architectures"] != ["LlamaForSequenceClassification"])


def main() -> None:
    """Score every batch `repeats` + 1 times; the first round warms up."""
    request = json.load(sys.stdin)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, config = load(Path(request["checkpoint"]), device, torch.float16 if device == "cuda" else torch.float32)
    head = model.score.weight.float()

    def score(batch: list[list[int]]) -> list[float]:
        longest = max(map(len, batch))
        ids = torch.tensor([pair + [0] * (longest - len(pair)) for pair in batch], device=device)
        mask = torch.tensor([[1] * len(pair) + [0] * (longest - len(pair)) for pair in batch], device=device)
        hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        if is_nvidias(config):
            scores = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True) @ head.T / config["temperature"]
        else:
            scores = hidden[torch.arange(len(batch)), mask.sum(1) - 1] @ head.T
        return [float(each) for each in scores[:, 0]]

    seconds = []
    with torch.inference_mode():
        for _ in range(request["repeats"] + 1):
            start = time.perf_counter()
            logits = [logit for batch in request["batches"] for logit in score(batch)]
            seconds.append(time.perf_counter() - start)
    json.dump({"logits": logits, "seconds": seconds[1:]}, sys.stdout)


if __name__ == "__main__":
    main()
