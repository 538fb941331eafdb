"""Who is compared, in which environment, and which settings are tried for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.peers.mixes import Mix
from benchmarks.peers.running import (
    ROOT,
    Running,
    running_ensemble,
    running_http_server,
    running_worker,
)
from packrank_server.tritonserver import free_ports

Precision = Literal["fp32", "bf16", "int8"]
Kind = Literal["ensemble", "packed", "openvino", "cross_encoder", "padded_huggingface", "vllm", "infinity"]
Settings = dict[str, int]

CACHE = ROOT / ".cache" / "peers"
PEER_CHECKPOINT = CACHE / "checkpoint"
DEFAULT_BATCH_SIZE = 32  # of CrossEncoder.predict and of infinity
TORCH_DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
ENVIRONMENTS = {
    "ensemble": ".venv",
    "packed": ".venv",
    "openvino": ".venv-peers-openvino",
    "cross_encoder": ".venv-peers-transformers",
    "padded_huggingface": ".venv-peers-transformers",
    "vllm": ".venv-peers-vllm",
    "infinity": ".venv-peers-infinity",
}
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}
# the larger ones are left out where pairs are long: a batch that is padded to 8,192 tokens takes minutes
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
BATCH_SIZES_LONG = (1, 2, 4)


@dataclass(frozen=True)
class Contestant:
    """One row of the report. `tuned` False: it runs with its defaults, whatever is faster."""

    name: str
    label: str
    kind: Kind
    precision: Precision
    tuned: bool = True

    @property
    def is_packrank(self) -> bool:
        """Whether it is what is shipped."""
        return self.kind in ("ensemble", "packed")

    @property
    def is_peer(self) -> bool:
        """Whether it is somebody else's server or library, and not packrank's graph in another runtime."""
        return not self.is_packrank and self.kind != "openvino"

    def obstacle(self, cpuinfo: str) -> str | None:
        """Why it cannot take part on the processor of this /proc/cpuinfo; None when it can."""
        if self.precision == "bf16" and BF16_FLAGS.isdisjoint(cpuinfo.split()):
            return "the processor has no products of bf16 numbers: peers emulate them, slower than fp32"
        return None

    @property
    def reached(self) -> str:
        """How a caller reaches it."""
        return {"ensemble": "gRPC", "vllm": "HTTP", "infinity": "HTTP"}.get(self.kind, "in process")

    def candidates(self, mix: Mix) -> list[Settings]:
        """The settings that are tried on a mix; none where the contestant does not take part."""
        is_long = mix.is_long
        if not self.tuned:
            return [] if is_long else [{"batch_size": DEFAULT_BATCH_SIZE}]
        if self.kind == "ensemble":
            return [{}]  # as it is shipped
        if self.kind in ("packed", "openvino"):
            return [{"max_run_tokens": tokens} for tokens in (512, 1024, 2048, 4096)]
        if self.kind == "vllm":
            budgets = (8192, 16384) if is_long else (2048, 8192)
            return [
                {"max_num_batched_tokens": tokens, "enforce_eager": eager} for tokens in budgets for eager in (0, 1)
            ]
        return [{"batch_size": size} for size in (BATCH_SIZES_LONG if is_long else BATCH_SIZES)]

    @contextmanager
    def running(self, settings: Settings, mix: Mix) -> Iterator[Running]:
        """Start it, ready to score. Raises ContestantFailed or ServerStartError."""
        logs = CACHE / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        log = logs / f"{self.name}.log"
        python = ROOT / ENVIRONMENTS[self.kind] / "bin" / "python"
        if self.kind == "ensemble":
            with running_ensemble(repository(self.precision, mix.max_pair_tokens), log) as ensemble:
                yield ensemble
        elif self.kind == "packed":
            arguments = [
                str(repository(self.precision, mix.max_pair_tokens)),
                "--max-run-tokens",
                str(settings["max_run_tokens"]),
            ]
            with running_worker(python, "packed", arguments, log) as worker:
                yield worker
        elif self.kind == "openvino":
            directory = openvino_graphs(mix.max_pair_tokens)
            arguments = [str(directory), "--precision", self.precision]
            arguments += ["--max-run-tokens", str(settings["max_run_tokens"])]
            with running_worker(python, "openvino_packed", arguments, log) as worker:
                yield worker
        elif self.kind in ("cross_encoder", "padded_huggingface"):
            arguments = [str(PEER_CHECKPOINT), "--dtype", TORCH_DTYPES[self.precision]]
            arguments += ["--batch-size", str(settings["batch_size"])]
            with running_worker(python, self.kind, arguments, log) as worker:
                yield worker
        else:
            port = free_ports().http
            cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
            arguments = _vllm(settings, mix) if self.kind == "vllm" else _infinity(settings)
            with running_http_server(
                [str(python), *arguments, "--dtype", TORCH_DTYPES[self.precision], "--port", str(port)],
                port=port,
                path="/v1/rerank" if self.kind == "vllm" else "/rerank",
                request={"model": "ranker"} | ({"raw_scores": True} if self.kind == "infinity" else {}),
                raw_scores=self.kind == "infinity",
                environment={"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": cores},
                log=log,
            ) as server:
                yield server


def repository(precision: Precision, max_pair_tokens: int) -> Path:
    """Where packrank's model repository of that precision and limit is built."""
    return CACHE / f"model_repository-{precision}-{max_pair_tokens}"


def openvino_graphs(max_pair_tokens: int) -> Path:
    """Where the packed graph lies in the form that OpenVINO reads."""
    return CACHE / f"openvino-{max_pair_tokens}"


def _vllm(settings: Settings, mix: Mix) -> list[str]:
    # vllm's own command needs parts that the CPU wheel lacks
    return [
        *("-m", "vllm.entrypoints.openai.api_server", "--model", str(PEER_CHECKPOINT), "--served-model-name", "ranker"),
        *("--runner", "pooling", "--trust-remote-code", "--host", "127.0.0.1"),
        *("--max-model-len", str(mix.max_pair_tokens)),
        *("--max-num-batched-tokens", str(settings["max_num_batched_tokens"]), "--no-enable-prefix-caching"),
        *(["--enforce-eager"] if settings["enforce_eager"] else []),
    ]


def _infinity(settings: Settings) -> list[str]:
    return [
        *("-c", "from infinity_emb.cli import cli; cli()", "v2"),
        *("--model-id", str(PEER_CHECKPOINT), "--served-model-name", "ranker", "--no-vector-disk-cache"),
        *("--engine", "torch", "--device", "cpu", "--trust-remote-code", "--no-compile", "--no-model-warmup"),
        *("--no-bettertransformer", "--batch-size", str(settings["batch_size"]), "--host", "127.0.0.1"),
    ]


CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant("packrank-fp32", "packrank", "ensemble", "fp32"),
        Contestant("packrank-int8", "packrank", "ensemble", "int8"),
        Contestant("packed-fp32", "packrank", "packed", "fp32"),
        Contestant("packed-int8", "packrank", "packed", "int8"),
        Contestant("openvino-fp32", "packrank's graph in OpenVINO", "openvino", "fp32"),
        Contestant("openvino-bf16", "packrank's graph in OpenVINO", "openvino", "bf16"),
        Contestant("openvino-int8", "packrank's graph in OpenVINO", "openvino", "int8"),
        Contestant("vllm-bf16", "vLLM", "vllm", "bf16"),
        Contestant("vllm-fp32", "vLLM", "vllm", "fp32"),
        Contestant("cross-encoder-bf16", "CrossEncoder", "cross_encoder", "bf16"),
        Contestant("cross-encoder-fp32", "CrossEncoder", "cross_encoder", "fp32"),
        Contestant("cross-encoder-fp32-default", "CrossEncoder, defaults", "cross_encoder", "fp32", tuned=False),
        Contestant("infinity-bf16", "infinity", "infinity", "bf16"),
        Contestant("infinity-fp32", "infinity", "infinity", "fp32"),
        Contestant("huggingface-fp32", "Hugging Face, padded", "padded_huggingface", "fp32"),
    )
}
