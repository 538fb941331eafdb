import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, processors

from packrank_build.checkpoint.architecture import UnsupportedCheckpoint, architecture_from_config
from packrank_build.checkpoint.tokenizer import tokenizer_from_checkpoint
from tests.support.random_checkpoint import write_random_checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path, llama3_tokenizer: Path) -> Path:
    write_random_checkpoint(tmp_path, llama3_tokenizer, "tiny")
    return tmp_path


def edit(checkpoint: Path, processor: processors.PostProcessor) -> None:
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.post_processor = processor
    tokenizer.save(str(checkpoint / "tokenizer.json"))


def test_truncation_and_padding_of_the_file_are_dropped(checkpoint: Path) -> None:
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(checkpoint / "tokenizer.json"))
    loaded = tokenizer_from_checkpoint(checkpoint, architecture_from_config(checkpoint))
    assert len(loaded.encode("one two three four five six seven eight nine").ids) == 10


def test_a_tokenizer_without_bos_is_refused(checkpoint: Path) -> None:
    edit(checkpoint, processors.ByteLevel())
    with pytest.raises(UnsupportedCheckpoint, match="does not put BOS"):
        tokenizer_from_checkpoint(checkpoint, architecture_from_config(checkpoint))


def test_a_tokenizer_that_ends_the_text_is_refused(checkpoint: Path) -> None:
    special = [("<|begin_of_text|>", 128000), ("<|end_of_text|>", 128001)]
    edit(checkpoint, processors.TemplateProcessing("<|begin_of_text|> $A <|end_of_text|>", special_tokens=special))
    with pytest.raises(UnsupportedCheckpoint, match=r"adds <\|end_of_text\|> after the text"):
        tokenizer_from_checkpoint(checkpoint, architecture_from_config(checkpoint))


def test_ids_beyond_the_embedding_are_refused(checkpoint: Path) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": 128000}))
    with pytest.raises(UnsupportedCheckpoint, match="128256 tokens, the embedding only 128000"):
        tokenizer_from_checkpoint(checkpoint, architecture_from_config(checkpoint))
