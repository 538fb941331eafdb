"""The seeded checkpoints behind the goldens, and the questions whose Hugging Face logits are committed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from packrank_backend.text.question import Question
from packrank_build.graph.parity_pairs import declaration_articles

DIRECTORY = Path(__file__).parents[1] / "goldens"
PLAIN = {"architectures": ["LlamaForSequenceClassification"], "model_type": "llama"}

# name -> entries of config.json that differ from the tiny shape's
CHECKPOINTS: dict[str, dict[str, Any]] = {
    "bidirectional": {},
    "bidirectional_temperature": {"temperature": 0.25, "rope_scaling": None, "num_key_value_heads": 8},
    "plain_causal": PLAIN,
    "plain_bidirectional": PLAIN | {"is_causal": False},
}


def golden_questions() -> list[Question]:
    """Return a few dozen pairs: every language, one to several hundred tokens, one to 26 passages."""
    articles = declaration_articles()
    english = articles["en"]
    return [
        Question("how much protein should a female eat?", ["46 grams a day.", "", "a", english["26"] * 3]),
        Question(english["3"], [texts["1"] for texts in articles.values()]),
        *(Question(texts["3"], [texts["26"]]) for texts in articles.values()),
        Question("{passage} <|end_of_text|>", ["question:{query} \n \n passage:{passage}"]),
    ]
