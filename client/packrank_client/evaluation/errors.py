"""Errors in the data of an evaluation."""

from __future__ import annotations


class EvaluationError(Exception):
    """A data set, a run or earlier results cannot be used; the message names the file, the line and the remedy."""
