"""docs/triton.md matches the ensemble's config and the backend."""

from __future__ import annotations

import re

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from packrank_backend.errors import ErrorKind
from packrank_build.tensorrt.targets import REQUEST
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "triton.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_tensors_are_the_ensembles() -> None:
    config = model_config_pb2.ModelConfig()
    text_format.Parse((ROOT / "model_repository" / "reranker" / "config.pbtxt").read_text(), config)
    named = dict(re.findall(r"^\| (?:→ )?`(\w+)` \| ([A-Z]+\d*) \|", section("Tensors"), re.MULTILINE))
    types = {each.name: model_config_pb2.DataType.Name(each.data_type) for each in (*config.input, *config.output)}
    assert named == {name: kind.removeprefix("TYPE_").replace("STRING", "BYTES") for name, kind in types.items()}


def test_the_limits_are_the_tokenizers() -> None:
    for limit in vars(REQUEST).values():
        assert f"| {limit:,} |" in section("Limits") or f"up to {limit:,} |" in section("Limits")


def test_every_kind_of_error_is_described() -> None:
    rows = "\n".join(line.split("|")[1] for line in section("Errors").splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", rows)) == {kind.value for kind in ErrorKind}
