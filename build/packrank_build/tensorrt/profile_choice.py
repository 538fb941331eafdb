"""Which of an engine's profiles Triton runs a merged batch with."""

from __future__ import annotations

from collections.abc import Sequence

from packrank_build.tensorrt.targets import BatchBudget, Profile


def profile_of_batch(profiles: Sequence[Profile], tokens: int, pairs: int, carried: int) -> int | None:
    """Index of the profile for a batch with these sums over its requests; None when none fits.

    `carried` is the sum of the requests' longest pairs. As GetMostOptimizedProfile of tensorrt_backend's
    instance_state.cc chooses: of the profiles that hold every sum, the one whose typical shape is nearest by the sum of
    absolute differences, the first of equals. Batch inputs, hence the longest pair, do not count. Where None is
    returned, Triton takes the first profile, which then fails every request of the batch.
    """
    sums = {"input_ids": tokens, "seq_lens": pairs, "longest": carried}
    distances = {}
    for index, profile in enumerate(profiles):
        shapes = profile.shapes()
        if all(shapes[name][0] <= total <= shapes[name][2] for name, total in sums.items()):
            distances[index] = sum(abs(shapes[name][1] - total) for name, total in sums.items())
    return min(distances, key=distances.__getitem__, default=None)


def first_batch(requests: Sequence[tuple[int, int, int]], budget: BatchBudget, max_requests: int) -> int:
    """How many of the waiting requests the batching strategy merges; the first one always.

    Each request is its tokens, pairs and longest pair. The same rule as batchstrategy.c.
    """
    tokens = pairs = longest = 0
    for count, (more_tokens, more_pairs, its_longest) in enumerate(requests[:max_requests]):
        tokens, pairs, longest = tokens + more_tokens, pairs + more_pairs, max(longest, its_longest)
        if count and (tokens > budget.tokens or pairs > budget.pairs or pairs * longest > budget.frames):
            return count
    return min(len(requests), max_requests)
