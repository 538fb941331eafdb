"""The packed ONNX graph -> a serialised engine: with TensorRT for this GPU, or with TensorRT-RTX for any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from packrank_build.checkpoint.architecture import Architecture
from packrank_build.tensorrt.log import BuildMessages, EngineError, trt_logger
from packrank_build.tensorrt.network import check_attention, check_tensors, network_from_onnx, ranker_config
from packrank_build.tensorrt.targets import Profile, Target

# The most thorough of 0 to 5: an engine is built once, and serves for months.
OPTIMISATION_LEVEL = 5


def engine_from_onnx(
    trt: Any,
    onnx: Path,
    architecture: Architecture,
    target: Target,
    repository: Path,
    messages: BuildMessages,
    *,
    profiles: Sequence[Profile] | None = None,
    cross_build: bool = False,
    timing_cache: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Any:
    """Build an engine of the graph in `onnx` for `target`; returns TensorRT's buffer.

    `trt` is the module `tensorrt`, which builds for this machine's GPU. With `cross_build` it is TensorRT-RTX's, which
    builds for the target without a GPU. `profiles` are the target's unless given. The parser makes attention
    undecomposable, so the build fails where no fused kernel exists. Raises EngineError, also for an engine that
    TensorRT would build but that would not compute the graph.
    """
    builder = trt.Builder(trt_logger(trt, messages))
    network, parser = network_from_onnx(trt, builder, onnx, messages)
    check_attention(network, architecture)
    config = ranker_config(repository, target.name)
    check_tensors(network, config)
    options = builder.create_builder_config()
    for profile in target.profiles if profiles is None else profiles:
        _add_profile(builder, options, profile)
    cache = _read_timing_cache(options, timing_cache)
    sm = target.sm if cross_build else None
    engine = build_with_profiles(trt, builder, network, options, messages, sm=sm, progress=progress)
    del parser
    check_tensors(network, config)  # again: TensorRT chooses its shape tensors while it builds
    if timing_cache is not None and cache is not None:
        timing_cache.parent.mkdir(parents=True, exist_ok=True)
        timing_cache.write_bytes(options.get_timing_cache().serialize())
    return engine


def build_with_profiles(
    trt: Any,
    builder: Any,
    network: Any,
    options: Any,
    messages: BuildMessages,
    *,
    sm: str | None,
    progress: Callable[[str], None],
) -> Any:
    """Build with the profiles of `options`: for this machine's GPU, or for `sm` with TensorRT-RTX.

    The engine keeps the names of its kernels, which inspector.py reads.
    Raises EngineError, also when TensorRT does not use an input.
    """
    options.builder_optimization_level = OPTIMISATION_LEVEL
    options.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if sm is not None:
        options.num_compute_capabilities = 1
        options.set_compute_capability(getattr(trt.ComputeCapability, sm), 0)
    options.progress_monitor = monitor = _progress_monitor(trt, progress)
    engine = builder.build_serialized_network(network, options)
    del monitor
    messages.refuse_unused_inputs()
    if engine is None:
        raise EngineError(f"TensorRT built no engine{f' for {sm}' if sm else ''}: {messages.reason()}")
    return engine


def _add_profile(builder: Any, options: Any, profile: Profile) -> None:
    added = builder.create_optimization_profile()
    for name, (least, typical, most) in profile.shapes().items():
        added.set_shape(name, (least,), (typical,), (most,))
    if options.add_optimization_profile(added) < 0:
        raise EngineError(f"TensorRT refuses the profile {profile.name}: {profile.shapes()}")


def _read_timing_cache(options: Any, path: Path | None) -> Any:
    """Read the cache of kernel timings, which makes a second build much faster; another GPU's cache is discarded."""
    if path is None:
        return None
    cache = options.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if not options.set_timing_cache(cache, ignore_mismatch=False):
        cache = options.create_timing_cache(b"")
        options.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _progress_monitor(trt: Any, progress: Callable[[str], None]) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, _parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            progress(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress(f"{phase_name}: {step + 1} of {self._steps[phase_name]}")
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()
