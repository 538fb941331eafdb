import json
from pathlib import Path

import numpy as np
import pytest

from packrank_backend.text.prompt import pair_text
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.checkpoint.tokenizer import tokenizer_from_checkpoint
from packrank_build.graph.reference import final_hidden_states, reference_logits
from tests.support.checkpoints import CHECKPOINTS, DIRECTORY, golden_questions
from tests.support.random_checkpoint import write_random_checkpoint


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_reference_computes_what_hugging_face_computes(name: str, tmp_path: Path, llama3_tokenizer: Path) -> None:
    write_random_checkpoint(tmp_path, llama3_tokenizer, "tiny", **CHECKPOINTS[name])
    checkpoint = Checkpoint(tmp_path)
    tokenizer = tokenizer_from_checkpoint(tmp_path, checkpoint.architecture)
    golden = json.loads((DIRECTORY / f"{name}.json").read_text())
    pairs = [
        tokenizer.encode(pair_text(question.query, passage)).ids
        for question in golden_questions()
        for passage in question.passages
    ]
    assert [len(pair) for pair in pairs] == [count for counts in golden["token_counts"] for count in counts]
    expected = np.array([logit for logits in golden["logits"] for logit in logits])
    np.testing.assert_allclose(reference_logits(checkpoint, pairs), expected, rtol=0, atol=1e-5)
    assert expected.std() > 1, "logits so alike would agree by accident"


@pytest.mark.parametrize(
    ("name", "reaches"), [("bidirectional", True), ("plain_causal", False), ("plain_bidirectional", True)]
)
def test_the_last_token_reaches_the_first_only_without_a_causal_mask(
    name: str, reaches: bool, tmp_path: Path, llama3_tokenizer: Path
) -> None:
    write_random_checkpoint(tmp_path, llama3_tokenizer, "tiny", **CHECKPOINTS[name])
    one, other = final_hidden_states(Checkpoint(tmp_path), [[128000, 5, 6], [128000, 5, 7]])
    assert np.array_equal(one[0], other[0]) is not reaches
