"""How every list of a request is validated: the first problem ends it, so nothing is built of millions of items."""

from __future__ import annotations

from pydantic import FailFast, Field

from packrank_gateway.settings import MAX_ITEMS


class FirstProblemOnly(FailFast):
    """pydantic's FailFast, hashable, so that a list can be optional."""

    __hash__ = object.__hash__


# Without FailFast pydantic builds an error of each invalid item: 1 MB of body became 1.3 GB of errors.
TEXT_LIMITS = (FirstProblemOnly(), Field(max_length=MAX_ITEMS))
LIST_LIMITS = (FirstProblemOnly(), Field(max_length=MAX_ITEMS, json_schema_extra={"minItems": 1}))
