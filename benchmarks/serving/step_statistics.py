"""Read what Triton counts for each step of the ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STEPS = ("tokenizer", "ranker", "postprocessor")


@dataclass(frozen=True)
class StepStatistics:
    """Totals of one model since the server started. Times are nanoseconds, summed over requests."""

    requests: int
    executions: int
    queue_ns: int
    compute_ns: int

    def since(self, earlier: StepStatistics) -> StepStatistics:
        """Return the difference of two readings."""
        return StepStatistics(
            self.requests - earlier.requests,
            self.executions - earlier.executions,
            self.queue_ns - earlier.queue_ns,
            self.compute_ns - earlier.compute_ns,
        )

    @property
    def queue_ms(self) -> float:
        """Mean queue time per request."""
        return self.queue_ns / self.requests / 1e6

    @property
    def compute_ms(self) -> float:
        """Mean compute time per request: the whole time of the merged batch that held it."""
        return self.compute_ns / self.requests / 1e6

    @property
    def requests_per_execution(self) -> float:
        """Mean number of requests that dynamic batching merged."""
        return self.requests / self.executions


def read_statistics(connection: Any) -> dict[str, StepStatistics]:
    """Read all steps through a tritonclient connection."""
    found = {}
    for step in STEPS:
        model = connection.get_inference_statistics(step).model_stats[0]
        times = model.inference_stats
        compute_ns = times.compute_input.ns + times.compute_infer.ns + times.compute_output.ns
        found[step] = StepStatistics(
            int(model.inference_count), int(model.execution_count), int(times.queue.ns), int(compute_ns)
        )
    return found
