"""Loads the checkpoint's `tokenizer.json` and checks what the prompt relies on."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer

from packrank_build.checkpoint.architecture import BIDIRECTIONAL, Architecture, UnsupportedCheckpoint


def tokenizer_from_checkpoint(directory: Path, architecture: Architecture) -> Tokenizer:
    """Load the tokenizer, without the truncation and padding that its file may ask for.

    Raises UnsupportedCheckpoint when it adds tokens after the text, since truncation would cut them off. It must not
    know ids that the embedding lacks. For NVIDIA's class it must put BOS first.
    """
    path = directory / "tokenizer.json"
    if not path.is_file():
        raise UnsupportedCheckpoint(f"{directory} has no tokenizer.json: save it with transformers' fast tokenizer.")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if tokenizer.get_vocab_size() > architecture.vocab_size:
        raise UnsupportedCheckpoint(
            f"{path} has {tokenizer.get_vocab_size()} tokens, the embedding only {architecture.vocab_size}."
        )
    text = tokenizer.encode("a")
    if text.special_tokens_mask[-1]:
        raise UnsupportedCheckpoint(f"{path} adds {text.tokens[-1]} after the text, which is not supported.")
    bos = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("bos_token_id")
    if architecture.class_name == BIDIRECTIONAL and text.ids[0] != bos:
        raise UnsupportedCheckpoint(f"{path} does not put BOS (bos_token_id {bos}) before the text.")
    return tokenizer
