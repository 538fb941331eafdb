from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks import evaluation
from packrank_backend.tritonserver import ServerStartError


def test_an_embedder_that_does_not_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "E5_SERVER", Path(shutil.which("false") or ""))
    monkeypatch.setattr(evaluation, "E5_LOG", tmp_path / "e5.log")
    with pytest.raises(ServerStartError, match="false did not start: .*e5.log says why"):
        with evaluation.e5_server():
            pass
