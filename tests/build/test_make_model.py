import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from packrank_backend.build_record import StaleBuild, read_build_record, require_same_build
from packrank_backend.text.prompt import PROMPT
from packrank_build.checkpoint.architecture import UnsupportedCheckpoint
from packrank_build.checkpoint.checkpoint import Checkpoint
from packrank_build.checkpoint.tokenizer import tokenizer_from_checkpoint
from packrank_build.graph import parity as parity_gate
from packrank_build.graph.packed_graph import packed_graph
from packrank_build.graph.parity import ParityError, check_parity, kendall_tau
from packrank_build.make_model import ModelPrecision, make_model
from packrank_build.progress import Progress
from tests.conftest import MAX_PAIR_TOKENS
from tests.support.repository import empty_repository


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_a_build_leaves_model_record_and_report(repository: Path) -> None:
    record = read_build_record(repository / "ranker" / "1")
    assert record == read_build_record(repository / "tokenizer" / "1")
    assert record.precision == "fp32"
    assert record.prompt == PROMPT
    assert record.max_pair_tokens == 1024
    assert set(record.files) == {"model.onnx", "model.onnx.data", "tokenizer.json"}
    report = json.loads((repository / "ranker" / "1" / "parity.json").read_text())
    assert report["max_difference"] <= report["tolerance"] == 1e-4
    assert report["longest_pair_tokens"] == 1024
    assert report["last_token_reaches_first"] is True
    assert not list(repository.glob(".staging*"))


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_lower_precisions_pass_their_own_tolerance(
    precision: ModelPrecision, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    report = make_model(str(tiny_checkpoint), empty_repository(tmp_path / "r"), precision=precision)
    assert 1e-5 < report.max_difference < report.tolerance
    assert report.kendall_tau > 0.98
    assert read_build_record(tmp_path / "r" / "ranker" / "1").precision == precision


def test_kendall_tau_counts_pairs_in_order_and_is_1_where_there_is_no_order() -> None:
    logits = np.array([3.0, 2.0, 1.0], np.float32)
    assert kendall_tau(logits, logits * 2) == 1
    assert kendall_tau(logits, -logits) == -1
    assert kendall_tau(logits, logits[[0, 2, 1]]) == pytest.approx(1 / 3)
    assert kendall_tau(logits[:1], logits[:1]) == kendall_tau(np.ones(3, np.float32), logits) == 1


def test_nothing_is_published_when_the_graph_is_wrong(
    repository: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity_gate, "FP32_TOLERANCE", 1e-9)
    before = contents(repository)
    with pytest.raises(ParityError, match=r"worst at .*Nothing was published"):
        make_model(str(tiny_checkpoint), repository)
    assert contents(repository) == before


def test_a_causal_graph_of_a_bidirectional_checkpoint_is_refused(
    repository: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    checkpoint = Checkpoint(tiny_checkpoint)
    causal = dataclasses.replace(checkpoint.architecture, causal=True)
    graph = packed_graph(causal, checkpoint.weight, "fp32", MAX_PAIR_TOKENS)
    ir.save(graph, tmp_path / "causal.onnx", external_data="causal.onnx.data")
    tokenizer = tokenizer_from_checkpoint(tiny_checkpoint, checkpoint.architecture)
    record = read_build_record(repository / "ranker" / "1")
    with pytest.raises(ParityError, match="different directions"):
        check_parity(checkpoint, tokenizer, tmp_path / "causal.onnx", record, Progress())


def test_limits_beyond_the_checkpoint_are_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedCheckpoint, match="MAX_PAIR_TOKENS is 8193; this checkpoint allows 1 to 8192"):
        make_model(str(tiny_checkpoint), empty_repository(tmp_path / "r"), max_pair_tokens=8193)


def test_the_command_line_reports_a_mistake_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "packrank_build.make_model", "--model", "no-such-model"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "make model: no-such-model is neither a directory nor a hub id like owner/name.\n"


def test_a_mixture_of_two_builds_is_refused(repository: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    other = empty_repository(tmp_path / "r")
    make_model(str(tiny_checkpoint), other, max_pair_tokens=512)
    record = read_build_record(repository / "ranker" / "1")
    require_same_build(record, repository / "tokenizer" / "1")
    with pytest.raises(StaleBuild, match="Run `make model` again"):
        require_same_build(record, other / "tokenizer" / "1")


def test_an_older_format_is_refused_with_the_remedy(repository: Path, tmp_path: Path) -> None:
    record = json.loads((repository / "ranker" / "1" / "build.json").read_text())
    (tmp_path / "build.json").write_text(json.dumps(record | {"format": 0}))
    with pytest.raises(StaleBuild, match="has format 0.*built by another version, from .*Run `make model` again"):
        read_build_record(tmp_path)
    with pytest.raises(StaleBuild, match="no model has been built"):
        read_build_record(tmp_path / "empty")
