"""How every list of a request is validated: the first problem ends it, so nothing is built of millions of items."""

from __future__ import annotations

from pydantic import FailFast, Field

from packrank_gateway.settings import MAX_ITEMS

# Without FailFast pydantic builds an error of each invalid item: 1 MB of body became 1.3 GB of errors.
LIST_LIMITS = (FailFast(), Field(max_length=MAX_ITEMS, json_schema_extra={"minItems": 1}))
