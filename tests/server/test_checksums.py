import hashlib
import json
from pathlib import Path

import pytest

from packrank_backend.build_record import StaleBuild
from packrank_server.checksums import require_intact_files
from packrank_server.errors import ServerStartError
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer
from tests.support.repository import copied_repository

GRAPH = ("ranker/1/model.onnx", "ranker/1/model.onnx.data")


@pytest.fixture
def built(repository: Path, tmp_path: Path) -> Path:
    return copied_repository(repository, tmp_path / "built")


def flip(path: Path, count: int = 4096) -> None:
    """Invert bytes in the middle of a file."""
    content = bytearray(path.read_bytes())
    start = max(len(content) // 2 - count, 0)
    content[start : start + count] = bytes(byte ^ 0xFF for byte in content[start : start + count])
    path.write_bytes(content)


def test_what_was_built_is_served(built: Path) -> None:
    require_intact_files(built, "cpu")


@pytest.mark.parametrize("name", [*GRAPH, "tokenizer/1/tokenizer.json"])
def test_a_changed_file_is_refused_by_name_and_remedy(name: str, built: Path) -> None:
    flip(built / name)
    with pytest.raises(StaleBuild, match=rf"{name} has changed since it was built: its SHA-256 is .*Run `make model`"):
        require_intact_files(built, "cpu")


@pytest.mark.parametrize("name", [*GRAPH, "tokenizer/1/tokenizer.json"])
def test_a_missing_file_is_refused_by_name_and_remedy(name: str, built: Path) -> None:
    (built / name).unlink()
    with pytest.raises(StaleBuild, match=rf"{name} does not exist, but its build recorded it. Run `make model`"):
        require_intact_files(built, "cpu")


def test_a_second_version_is_checked_too(built: Path) -> None:
    for model in ("tokenizer", "ranker"):
        copied_repository(built / model / "1", built / model / "2")
    require_intact_files(built, "cpu")
    flip(built / "ranker" / "2" / "model.onnx.data")
    with pytest.raises(StaleBuild, match="ranker/2/model.onnx.data has changed.*Run `make model VERSION=2` again"):
        require_intact_files(built, "cpu")


def test_a_config_of_a_plan_checks_the_plan_and_not_the_graph(built: Path) -> None:
    plan = built / "ranker" / "1" / "l4.sm89.plan"
    plan.write_bytes(b"an engine")
    record = {
        **dict.fromkeys(("build_id", "revision", "target", "gpu", "compute_capability", "tensorrt", "precision"), ""),
        **{"max_pair_tokens": 8192, "profiles": {}, "parity": {}, "onnx_sha256": "", "format": 1},
        "plan_sha256": hashlib.sha256(b"an engine").hexdigest(),
    }
    plan.with_suffix(".json").write_text(json.dumps(record))
    flip(built / "ranker" / "1" / "model.onnx.data")
    require_intact_files(built, "l4")
    plan.write_bytes(b"another")
    with pytest.raises(StaleBuild, match="l4.sm89.plan has changed.*Run `make engine TARGET=l4` again"):
        require_intact_files(built, "l4")


def test_damaged_weights_are_never_served(built: Path) -> None:
    flip(built / "ranker" / "1" / "model.onnx.data")
    server = TritonServer(built, ports=free_ports())
    with pytest.raises(ServerStartError, match="model.onnx.data has changed since it was built"), server:
        pass
