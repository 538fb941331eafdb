"""The prompt: query and passage in the words that the model was trained with."""

from __future__ import annotations

# From NVIDIA's model card of llama-3.2-nv-rerankqa-1b-v2: no space after the colons, and space, newline, space,
# newline, space before "passage:". Other spacing gives other tokens and other scores.
_QUERY_LABEL = "question:"
_PASSAGE_LABEL = " \n \n passage:"
PROMPT = _QUERY_LABEL + "{query}" + _PASSAGE_LABEL + "{passage}"


def pair_text(query: str, passage: str) -> str:
    """Return the text of a pair. Braces in query or passage stay as they are."""
    return _QUERY_LABEL + query + _PASSAGE_LABEL + passage
