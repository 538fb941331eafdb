import os
from pathlib import Path

import pytest

from packrank_client import RerankClient
from packrank_server.ports import free_ports
from packrank_server.served_repository import compose_repository
from packrank_server.tritonserver import TritonServer
from packrank_server.unmerged_config import LIBRARY_FILE
from tests.support.repository import copied_repository, empty_repository


@pytest.fixture
def artefacts(repository: Path, tmp_path: Path) -> Path:
    """What an earlier image left in a volume: built files, and its own code."""
    directory = copied_repository(repository, tmp_path / "volume")
    for code in directory.rglob("model.py"):
        code.write_text("raise SystemExit('code of an earlier version')\n")
    return directory


def image(directory: Path, repository: Path, comment: str) -> Path:
    """The code of one version of the image."""
    code = empty_repository(directory)
    (code / "ranker" / "1" / LIBRARY_FILE).write_bytes((repository / "ranker" / "1" / LIBRARY_FILE).read_bytes())
    for model in code.rglob("model.py"):
        model.write_text(f"{model.read_text()}\n# {comment}\n")
    return code


def state(directory: Path) -> dict[Path, tuple[int, int, int]]:
    files = [path for path in [directory, *directory.rglob("*")] if "__pycache__" not in path.parts]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_size) for path in files}


def test_two_versions_serve_one_set_of_artefacts_and_change_none(
    artefacts: Path, repository: Path, tmp_path: Path
) -> None:
    before = state(artefacts)
    composed = [
        compose_repository(image(tmp_path / f"image-{version}", repository, version), artefacts, tmp_path / version)
        for version in ("older", "newer")
    ]
    rankings = []
    for served in composed:
        with TritonServer(served, ports=free_ports(), log=tmp_path / "log") as server:
            with RerankClient(server.grpc_endpoint) as client:
                rankings.append([(result.index, result.logit) for result in client.rerank("why?", ["a", "b c", "d"])])
    assert rankings[0] == rankings[1]
    assert state(artefacts) == before
    assert [(served / "ranker" / "1" / "model.py").read_text().split()[-1] for served in composed] == ["older", "newer"]


def test_weights_are_linked_and_code_is_copied(artefacts: Path, repository: Path, tmp_path: Path) -> None:
    code = image(tmp_path / "image", repository, "newer")
    served = compose_repository(code, artefacts, tmp_path / "served")
    links = {str(path.relative_to(served)) for path in served.rglob("*") if path.is_symlink()}
    assert links == {
        *(f"ranker/1/{name}" for name in ("model.onnx", "model.onnx.data", "parity.json", "build.json")),
        *(f"tokenizer/1/{name}" for name in ("tokenizer.json", "build.json")),
    }
    assert not (served / "ranker" / "1" / "model.py").is_symlink()


def test_a_read_only_volume_will_do(artefacts: Path, repository: Path, tmp_path: Path) -> None:
    for path in [artefacts, *artefacts.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        served = compose_repository(image(tmp_path / "image", repository, "newer"), artefacts, tmp_path / "served")
        assert os.access(served / "ranker" / "configs", os.W_OK)
    finally:
        for path in [artefacts, *artefacts.rglob("*")]:
            path.chmod(0o755)
