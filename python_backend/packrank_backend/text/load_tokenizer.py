"""The published tokenizer, with the switch for special tokens that a text spells."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer

SWITCH = "split_special_tokens"


def load_tokenizer(file: Path, model_config: str) -> Tokenizer:
    """Load tokenizer.json as the parameter `split_special_tokens` of `config.pbtxt` says.

    The name and the default, false, are Hugging Face's: `<|end_of_text|>` in a passage becomes that one token. With
    true it stays ordinary text, so that a passage cannot end itself for the model. The prompt's own special tokens are
    added either way.

    Raises ValueError for any other value, which stops the server's start.
    """
    tokenizer = Tokenizer.from_file(str(file))
    parameters = json.loads(model_config)["parameters"]
    value = parameters.get(SWITCH, {}).get("string_value", "false")
    if value not in {"true", "false"}:
        raise ValueError(
            f"{SWITCH} in {json.loads(model_config)['name']}/config.pbtxt is {value!r}; write true or false."
        )
    tokenizer.encode_special_tokens = value == "true"
    return tokenizer
