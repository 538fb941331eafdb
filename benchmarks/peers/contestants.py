"""Who is compared, in which environment, and which settings are tried."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.peers.mixes import Mix
from benchmarks.peers.running import Score, running_ensemble, running_http_peer, running_worker
from benchmarks.peers.worker import TORCH_DTYPES
from benchmarks.processes import ROOT
from packrank_backend.ranker.processor import BF16_FLAGS
from packrank_server.ports import free_ports

Precision = Literal["fp32", "bf16", "int8"]
Kind = Literal["ensemble", "packed", "openvino", "cross_encoder", "huggingface", "vllm", "infinity"]
Settings = dict[str, int]

CACHE = ROOT / ".cache" / "peers"
PEER_CHECKPOINT = CACHE / "checkpoint"
DEFAULT_BATCH_SIZE = 32  # of CrossEncoder.predict and of infinity
ENVIRONMENTS = {
    "ensemble": ".venv",
    "packed": ".venv",
    "openvino": ".venv-peers-openvino",
    "cross_encoder": ".venv-peers-transformers",
    "huggingface": ".venv-peers-transformers",
    "vllm": ".venv-peers-vllm",
    "infinity": ".venv-peers-infinity",
}


@dataclass(frozen=True)
class Contestant:
    """One row of the report. With `tuned` False it runs with its defaults."""

    name: str
    label: str
    kind: Kind
    precision: Precision
    tuned: bool = True

    @property
    def is_peer(self) -> bool:
        """Whether it is another project's code, and not packrank's graph."""
        return self.kind not in ("ensemble", "packed", "openvino")

    @property
    def reached(self) -> str:
        """How a caller reaches it."""
        return {"ensemble": "gRPC", "vllm": "HTTP", "infinity": "HTTP"}.get(self.kind, "in process")

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ROOT / ENVIRONMENTS[self.kind] / "bin" / "python"

    def obstacle(self, cpuinfo: str) -> str | None:
        """Return why it cannot take part on the processor of this /proc/cpuinfo, or None."""
        if self.precision == "bf16" and BF16_FLAGS.isdisjoint(cpuinfo.split()):
            return "the processor has no bf16 products, and emulating them is slower than fp32"
        return None if self.python.exists() else f"{ENVIRONMENTS[self.kind]} is not installed"

    def candidates(self, mix: Mix) -> list[Settings]:
        """Return the settings to try on a mix; none if the contestant does not take part."""
        if not self.tuned:
            return [] if mix.is_long else [{"batch": DEFAULT_BATCH_SIZE}]
        if self.kind == "ensemble":
            return [{}]  # as it is shipped
        if self.kind in ("packed", "openvino"):
            return [{"batch": tokens} for tokens in (512, 1024, 2048, 4096)]
        if self.kind == "vllm":
            budgets = (8192, 16384) if mix.is_long else (2048, 8192)
            return [{"batch": tokens, "eager": eager} for tokens in budgets for eager in (0, 1)]
        # a large batch that is padded to 8,192 tokens takes minutes
        return [{"batch": size} for size in ((1, 2, 4) if mix.is_long else (1, 2, 4, 8, 16, 32))]

    def running(self, settings: Settings, mix: Mix) -> AbstractContextManager[Score]:
        """Start it, ready to score. Raises BenchmarkError or ServerStartError."""
        log = CACHE / f"{self.name}.log"
        limit = mix.max_pair_tokens
        if self.kind == "ensemble":
            return running_ensemble(repository(self.precision, limit), f"peers-{self.name}")
        if self.kind in ("vllm", "infinity"):
            url = f"http://127.0.0.1:{free_ports().http}"
            is_vllm = self.kind == "vllm"
            flags = _vllm(settings, limit) if is_vllm else _infinity(settings)
            cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
            return running_http_peer(
                [str(self.python), *flags, "--dtype", TORCH_DTYPES[self.precision], "--port", url.rpartition(":")[2]],
                url,
                "/v1/rerank" if is_vllm else "/rerank",
                {"model": "ranker"} if is_vllm else {"model": "ranker", "raw_scores": True},
                {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": cores},
                log,
            )
        sources = {"packed": repository(self.precision, limit), "openvino": openvino_graphs(limit)}
        source = sources.get(self.kind, PEER_CHECKPOINT)
        return running_worker(self.python, self.kind, source, self.precision, settings["batch"], log)


def repository(precision: Precision, max_pair_tokens: int) -> Path:
    """Return where packrank's model repository of that precision and limit is built."""
    return CACHE / f"model_repository-{precision}-{max_pair_tokens}"


def openvino_graphs(max_pair_tokens: int) -> Path:
    """Return where the packed graph is written for OpenVINO."""
    return CACHE / f"openvino-{max_pair_tokens}"


def _vllm(settings: Settings, max_pair_tokens: int) -> list[str]:
    # vllm's own command needs parts that the CPU wheel lacks
    return [
        *("-m", "vllm.entrypoints.openai.api_server", "--model", str(PEER_CHECKPOINT), "--served-model-name", "ranker"),
        *("--runner", "pooling", "--trust-remote-code", "--host", "127.0.0.1"),
        *("--max-model-len", str(max_pair_tokens), "--max-num-batched-tokens", str(settings["batch"])),
        *("--no-enable-prefix-caching", *(["--enforce-eager"] if settings["eager"] else [])),
    ]


def _infinity(settings: Settings) -> list[str]:
    return [
        *("-c", "from infinity_emb.cli import cli; cli()", "v2"),
        *("--model-id", str(PEER_CHECKPOINT), "--served-model-name", "ranker", "--no-vector-disk-cache"),
        *("--engine", "torch", "--device", "cpu", "--trust-remote-code", "--no-compile", "--no-model-warmup"),
        *("--no-bettertransformer", "--batch-size", str(settings["batch"]), "--host", "127.0.0.1"),
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
        Contestant("huggingface-fp32", "Hugging Face, padded", "huggingface", "fp32"),
    )
}
