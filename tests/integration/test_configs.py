from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient import grpc
from tritonclient.grpc.model_config_pb2 import ModelConfig

from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer
from tests.support.repository import ROOT

CONFIGS = sorted((ROOT / "model_repository").glob("*/config.pbtxt")) + sorted(
    (ROOT / "model_repository").glob("*/configs/*.pbtxt")
)


def parse(path: Path) -> ModelConfig:
    return text_format.Parse(path.read_text(), ModelConfig())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_is_tritons(path: Path) -> None:
    config = parse(path)
    assert config.name == path.relative_to(ROOT / "model_repository").parts[0]
    # NIM's own tensors have no batch dimension
    assert (config.max_batch_size == 0) == config.name.startswith(("nim_", "nvidia_"))
    assert config.input
    assert config.output


def test_the_steps_fit_together() -> None:
    repository = ROOT / "model_repository"
    models = {
        "tokenizer": parse(repository / "tokenizer/config.pbtxt"),
        "ranker": parse(repository / "ranker/configs/cpu.pbtxt"),
        "postprocessor": parse(repository / "postprocessor/config.pbtxt"),
    }
    ensemble = parse(repository / "reranker/config.pbtxt")
    types = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        model = models[step.model_name]
        for tensor in model.input:
            assert types[step.input_map[tensor.name]] == (tensor.data_type, list(tensor.dims))
            assert tensor.allow_ragged_batch or -1 not in tensor.dims, f"{tensor.name} would only merge equal shapes"
        types |= {step.output_map[t.name]: (t.data_type, list(t.dims)) for t in model.output}
        assert model.HasField("dynamic_batching")
    assert {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in ensemble.output}.items() <= types.items()


def test_the_server_runs_the_cpu_config(server: TritonServer) -> None:
    with grpc.InferenceServerClient(server.grpc_endpoint) as client:
        served = client.get_model_config("ranker").config
    assert served.backend == "python"
    assert served.parameters["max_run_tokens"].string_value == "1024"


def test_without_a_named_config_the_same_model_is_served(repository: Path, tmp_path: Path) -> None:
    with TritonServer(repository, config_name="unknown", ports=free_ports(), log=tmp_path / "log") as server:
        with grpc.InferenceServerClient(server.grpc_endpoint) as client:
            assert client.get_model_config("ranker").config.backend == "python"


def test_both_tokenizers_have_the_same_limits() -> None:
    repository = ROOT / "model_repository"
    ours, nims = parse(repository / "tokenizer/config.pbtxt"), parse(repository / "nim_tokenizer/config.pbtxt")
    assert dict(ours.parameters) == dict(nims.parameters)
