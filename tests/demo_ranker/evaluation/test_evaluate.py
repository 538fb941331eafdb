from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from packrank_server.errors import ServerStartError
from packrank_training.evaluation import evaluate
from tests.support.repository import ROOT


def test_an_embedder_that_does_not_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "E5_SERVER", Path(shutil.which("false") or ""))
    monkeypatch.setattr(evaluate, "E5_LOG", tmp_path / "e5.log")
    with pytest.raises(ServerStartError, match="false did not start: read .*e5.log"):
        with evaluate.e5_server():
            pass


def test_data_sets_a_line_each_are_one_command() -> None:
    command = ["make", "--dry-run", "evaluate", "DATA=first\nsecond", "URL=localhost:1", "EVALUATION=--queries 3"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    printed = printed.replace("\\\n\t", "")  # the recipe's continued lines
    assert '-m packrank_training.evaluation.evaluate --url "localhost:1"  first second -- --queries 3\n' in printed
