"""docs/evaluation.md: its program that turns TechQA into a BEIR folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from packrank_client.evaluation.dataset import read_dataset
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
QUESTIONS = [
    {
        "QUESTION_ID": "Q1",
        "QUESTION_TITLE": "Stops?",
        "QUESTION_TEXT": "At start.",
        "DOCUMENT": "n1",
        "ANSWERABLE": "Y",
    },
    {"QUESTION_ID": "Q2", "QUESTION_TITLE": "Why?", "QUESTION_TEXT": "", "DOCUMENT": "-", "ANSWERABLE": "N"},
]
NOTES = {"n1": {"title": "A stop", "text": "Free its port."}, "n2": {"title": "", "text": "Install it."}}


def test_techqa_becomes_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tmp_path / "TechQA" / "training_and_dev"
    given.mkdir(parents=True)
    (given / "dev_Q_A.json").write_text(json.dumps(QUESTIONS))
    (given / "training_dev_technotes.json").write_text(json.dumps(NOTES))
    (program,) = re.findall(r"^```python\n(# techqa\.py\n.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "techqa.py", "exec"), {})  # noqa: S102
    dataset = read_dataset(tmp_path / "TechQA-dev")
    assert dataset.queries == {"Q1": "Stops? At start."}
    assert dataset.corpus == {"n1": "A stop Free its port.", "n2": "Install it."}
    assert dataset.qrels == {"Q1": {"n1": 1}}
