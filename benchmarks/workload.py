"""A seeded workload of mixed lengths: the same requests on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer

from packrank_backend.pairs import Question
from packrank_backend.prompt import pair_text
from packrank_build.graph.parity_pairs import declaration_articles

# Passages of search results: most are short, a few fill a page. Words of English text; a token is a little less.
MEDIAN_WORDS, SIGMA = 70, 0.8
SHORTEST_WORDS, LONGEST_WORDS = 8, 380
MOST_PASSAGES = 20


def mixed_questions(count: int, seed: int = 0) -> list[Question]:
    """`count` questions with 1 to 20 passages each, their lengths log-normal between 8 and 380 words."""
    random = np.random.default_rng(seed)
    words = " ".join(declaration_articles()["en"].values()).split()

    def text(length: int) -> str:
        start = int(random.integers(len(words)))
        return " ".join(words[(start + place) % len(words)] for place in range(length))

    questions = []
    for _ in range(count):
        lengths = random.lognormal(np.log(MEDIAN_WORDS), SIGMA, random.integers(1, MOST_PASSAGES + 1))
        passages = [text(int(length)) for length in lengths.clip(SHORTEST_WORDS, LONGEST_WORDS)]
        questions.append(Question(f"what does it say about {text(3)}?", passages))
    return questions


def uniform_questions(count: int, pair_tokens: int, request_tokens: int, tokenizer: Tokenizer) -> list[Question]:
    """`count` questions of pairs with `pair_tokens` tokens each, as many as `request_tokens` hold, at most 16."""
    query = "what is this about?"

    def tokens(words: int) -> int:
        return len(tokenizer.encode(pair_text(query, " word" * words)).ids)

    words = pair_tokens - tokens(1) + 1  # each further word is one token, but for tokenizers that merge them
    while tokens(words) > pair_tokens:
        words -= 1
    passages = max(1, min(16, request_tokens // pair_tokens))
    return [Question(query, [" word" * words] * passages) for _ in range(count)]


def perf_analyzer_data(questions: Sequence[Question]) -> dict[str, list[dict[str, object]]]:
    """The content of perf_analyzer's --input-data file: one step a request.

    https://github.com/triton-inference-server/perf_analyzer/blob/main/docs/input_data.md
    """
    return {
        "data": [
            {
                "query": [question.query],
                "passages": {"content": list(question.passages), "shape": [len(question.passages)]},
            }
            for question in questions
        ]
    }
