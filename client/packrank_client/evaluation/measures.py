"""Ranking measures from ir-measures (trec_eval's code)."""

from __future__ import annotations

from collections.abc import Mapping

import ir_measures
import numpy as np
from numpy.typing import NDArray

from packrank_client.evaluation.trec_run import Run

# NVIDIA's model card reports Recall@5; nDCG@10 and MRR@10 are BEIR's and MS MARCO's.
MEASURES = {"Recall@5": ir_measures.R @ 5, "nDCG@10": ir_measures.nDCG @ 10, "MRR@10": ir_measures.RR @ 10}

Values = dict[str, NDArray[np.float64]]
"""Values by measure, one per query: FP64 [queries]."""


def measure(qrels: Mapping[str, Mapping[str, int]], run: Run) -> Values:
    """Compute every measure of every judged query, in the order of `qrels`; a query without hits counts as 0.

    Ranks replace the scores, so that ties keep the order of the run; trec_eval would sort them by id.
    """
    ranked = {query: {hit.document: -float(rank) for rank, hit in enumerate(hits)} for query, hits in run.items()}
    judged = {query: dict(grades) for query, grades in qrels.items()}
    places = {query: place for place, query in enumerate(qrels)}
    values = {name: np.zeros(len(places)) for name in MEASURES}
    names = {measured: name for name, measured in MEASURES.items()}
    for result in ir_measures.iter_calc(list(MEASURES.values()), judged, ranked):
        values[names[result.measure]][places[result.query_id]] = result.value
    return values
