"""Which requests Triton merges, and which of an engine's profiles it runs the batch with."""

from __future__ import annotations

from collections.abc import Sequence

from packrank_build.tensorrt.targets import BatchBudget, Profile


def profile_of_batch(profiles: Sequence[Profile], tokens: int, pairs: int, max_lens: int) -> int | None:
    """Pick the profile for a batch with these sums over its requests; returns its index, None when none fits.

    `max_lens` is the sum of the requests' longest pairs: the elements of max_len_carrier. The rule is
    GetMostOptimizedProfile's in tensorrt_backend's instance_state.cc. It looks at the profiles that hold every sum. It
    takes the one with the nearest typical shape, by the sum of absolute differences, and the first of equals. Batch
    inputs like max_len do not count. Where this returns None, Triton takes the first profile and fails every request.
    """
    sums = {"input_ids": tokens, "seq_lens": pairs, "max_len_carrier": max_lens}
    distances = {}
    for index, profile in enumerate(profiles):
        shapes = profile.shapes()
        if all(shapes[name][0] <= total <= shapes[name][2] for name, total in sums.items()):
            distances[index] = sum(abs(shapes[name][1] - total) for name, total in sums.items())
    return min(distances, key=distances.__getitem__, default=None)


def first_batch(requests: Sequence[tuple[int, int, int]], budget: BatchBudget, max_requests: int) -> int:
    """Count the waiting requests that the batching strategy merges; the first one always joins.

    Each request is its tokens, pairs and longest pair. The same rule as batchstrategy.c.
    """
    tokens = pairs = longest = 0
    for count, (more_tokens, more_pairs, its_longest) in enumerate(requests[:max_requests]):
        tokens, pairs, longest = tokens + more_tokens, pairs + more_pairs, max(longest, its_longest)
        if count and (tokens > budget.tokens or pairs > budget.pairs or pairs * longest > budget.padded_tokens):
            return count
    return min(len(requests), max_requests)
