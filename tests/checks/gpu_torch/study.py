"""What all parts of the run share: the device, the models, the clock, and the rows that they write down."""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from packrank_backend.ranker.torch_model import FLASH_ATTENTION, TorchModel
from packrank_backend.ranker.torch_ranker import FP8_PRODUCTS
from packrank_build.checkpoint.checkpoint import Checkpoint

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """One question and its answer: rows with the same columns."""

    question: str
    rows: list[Row]
    note: str = ""


@dataclass
class Study:
    """One run. `scale` divides the sizes of the workloads: 1 on a GPU, more in a rehearsal."""

    device: torch.device
    checkpoint: Path
    work: Path
    scale: int
    deadline: float
    tables: dict[str, Table] = field(default_factory=dict)
    models: dict[str, TorchModel] = field(default_factory=dict)

    @property
    def precisions(self) -> list[str]:
        """What this device computes in, beside fp32."""
        if self.device.type == "cpu":
            return ["bf16", "fp16"]
        capability = torch.cuda.get_device_capability(self.device)
        bf16 = ["bf16"] if capability >= FLASH_ATTENTION else []
        return [*bf16, "fp16", *(["fp8"] if capability >= FP8_PRODUCTS else [])]

    @property
    def precision(self) -> str:
        """What the ranker is measured in."""
        return self.precisions[0]

    def seconds_left(self) -> float:
        """Until the run must be over."""
        return self.deadline - time.monotonic()

    def model(self, precision: str, max_positions: int = 8192) -> TorchModel:
        """The checkpoint on the device; loaded once."""
        if precision not in self.models:
            self.models[precision] = TorchModel(Checkpoint(self.checkpoint), self.device, precision, max_positions)
        return self.models[precision]

    def forget(self, *precisions: str) -> None:
        """Give the memory of these models back."""
        for precision in precisions:
            self.models.pop(precision, None)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def add(self, name: str, table: Table) -> None:
        """Keep a table and print it, so that a run that is cut short has said what it found."""
        self.tables[name] = table
        print(f"\n{table.question}\n{json.dumps(table.rows)}", flush=True)

    def seconds(self, call: Callable[[], object], most_repeats: int = 20, enough_s: float = 1.0) -> float:
        """Median time of a call, after one that warms up; in a rehearsal of one call."""
        if self.scale > 1:
            most_repeats = 1
        call()
        self.wait()
        taken: list[float] = []
        while len(taken) < most_repeats and (len(taken) < 3 or sum(taken) < enough_s):
            start = time.perf_counter()
            call()
            self.wait()
            taken.append(time.perf_counter() - start)
        return statistics.median(taken)

    def wait(self) -> None:
        """Until the device has done all that was queued."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
