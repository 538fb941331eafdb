"""The command line of tritonserver."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from packrank_server.engine.gpu import Gpu
from packrank_server.installation import Installation
from packrank_server.ports import Ports
from packrank_server.ranker_config import read_ranker_config, runs_on_gpu

# After SIGTERM, Triton waits this long for requests in flight.
EXIT_TIMEOUT_S = 30

# Neither gateway nor client uses these. With shared memory a caller can read the passages of others; the rest change
# what the server does or writes.
RESTRICTED_APIS = ("shared-memory", "model-repository", "trace", "logging")

# rate=0: trace only requests whose caller traces them
_TRACE_FLAGS = ("--trace-config=mode=opentelemetry", "--trace-config=level=TIMESTAMPS", "--trace-config=rate=0")


def tritonserver_command(
    installation: Installation,
    repository: Path,
    *,
    config_name: str,
    host: str,
    ports: Ports,
    gpus: Sequence[Gpu] = (),
    traces: bool = False,
) -> list[str]:
    """Return the command that serves `repository` on `host`. `gpus` are this machine's."""
    return [
        str(installation.binary),
        f"--model-repository={repository}",
        f"--model-config-name={config_name}",
        *([f"--backend-directory={installation.backends}"] if installation.backends else []),
        f"--http-address={host}",
        f"--grpc-address={host}",
        f"--metrics-address={host}",
        f"--http-port={ports.http}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-port={ports.metrics}",
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        # every config is written out; a guessed one would hide a mistake
        "--disable-auto-complete-config",
        *restriction_flags(),
        *device_memory_flags(repository, config_name, gpus),
        *(_TRACE_FLAGS if traces else ()),
    ]


def restriction_flags() -> list[str]:
    """Close Triton's administrative APIs, over HTTP and gRPC, to callers without a key that is new at every start.

    The syntax is that of Triton's "Limit Endpoint Access": APIs, colon, name of a header, equals sign, its value. The
    key stands in the server's command line, so users of the same machine can read it; nothing else can.
    """
    group = f"{','.join(RESTRICTED_APIS)}:packrank-admin-key={secrets.token_hex(32)}"
    return [f"--http-restricted-api={group}", f"--grpc-restricted-protocol={group}"]


def device_memory_flags(repository: Path, config_name: str, gpus: Sequence[Gpu]) -> list[str]:
    """Turn Triton's pool of GPU memory off for a ranker that runs on a GPU: a reply must not wait for the next batch.

    With a pool, the TensorRT backend leaves the logits in GPU memory. The postprocessor runs on the CPU and has no
    CUDA stream, so Triton copies them to the host on the legacy default stream. That stream waits for all blocking
    streams of the process, and the engine's next batch is already queued on one. With a pool of 0 bytes Triton falls
    back to pinned host memory for the logits, and the backend copies them on its own stream.

    GPUs that the server cannot see are ignored by Triton.
    """
    if not gpus or not runs_on_gpu(read_ranker_config(repository, config_name)):
        return []
    return [f"--cuda-memory-pool-byte-size={number}:0" for number in range(len(gpus))]
