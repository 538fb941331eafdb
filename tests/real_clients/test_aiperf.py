from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import MODEL, PASSAGES, QUERY

REQUESTS = 8


@pytest.mark.parametrize("kind", ["nim_rankings", "cohere_rankings", "hf_tei_rankings"])
def test_aiperf_measures_it(url: str, tmp_path: Path, kind: str) -> None:
    texts = [{"name": "query", "contents": [QUERY]}, {"name": "passages", "contents": PASSAGES}]
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"texts": texts}) + "\n")
    artifacts = tmp_path / "artifacts"
    command = [
        *(str(Path(sys.executable).with_name("aiperf")), "profile", "--model", MODEL, "--url", url),
        *("--endpoint-type", kind, "--tokenizer", os.environ["TOKENIZER"], "--ui", "none"),
        *("--input-file", str(questions), "--custom-dataset-type", "single_turn"),
        *("--request-count", str(REQUESTS), "--concurrency", "2", "--output-artifact-dir", str(artifacts)),
    ]
    # offline, it would look for the local directory in the hub's cache
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (report,) = artifacts.rglob("profile_export_aiperf.json")
    measured = json.loads(report.read_text())
    assert measured["request_count"]["avg"] == REQUESTS
    assert not measured.get("error_summary")
