from __future__ import annotations

import json

import numpy as np

from packrank_client.evaluation.measures import MEASURES, Values
from packrank_client.evaluation.report import compare, compare_by_language, markdown, record


def values(*numbers: float) -> Values:
    return {name: np.array(numbers) for name in MEASURES}


def test_a_sure_gain_is_marked_and_chance_is_not() -> None:
    sure = compare("sure", values(*[0.0] * 30), values(*[1.0] * 30))
    chance = compare("chance", values(*[0.0, 1.0] * 15), values(*[1.0, 0.0] * 15))
    few = compare("few", values(*[0.0] * 9), values(*[1.0] * 9))
    table = markdown([sure, chance, few], "bm25", "reranked")
    rows = [line for line in table.splitlines() if line.startswith(("| sure", "| chance", "| few"))]
    assert "| 30 | 0.000 (0.000 to 0.000) | 1.000 (1.000 to 1.000) | +1.000 (+1.000 to +1.000) * |" in rows[0]
    assert rows[1].endswith("| +0.000 (-0.333 to +0.333) |")
    assert rows[2].endswith("| +1.000 (+1.000 to +1.000) |")


def test_a_table_a_measure() -> None:
    table = markdown([compare("x", values(0), values(1))], "bm25", "demo")
    assert [line for line in table.splitlines() if line.startswith("| ") and "queries" in line] == [
        f"| {name} | queries | bm25 | demo | gain |" for name in MEASURES
    ]


def test_languages_are_compared_apart_where_there_are_several() -> None:
    queries, languages = ["a", "b", "c"], {"a": "de", "b": "en", "c": "de"}
    found = compare_by_language("faq", queries, languages, values(0, 0, 0), values(1, 0, 1))
    assert [(each.title, each.queries, each.gain["MRR@10"].mean) for each in found] == [
        ("faq [de]", 2, 1.0),
        ("faq [en]", 1, 0.0),
    ]
    assert compare_by_language("faq", queries, dict.fromkeys(queries, "en"), values(0, 0, 0), values(0, 0, 0)) == []


def test_a_language_of_which_no_query_was_asked_has_no_row() -> None:
    languages = {"a": "de", "b": "en", "c": "fr"}
    found = compare_by_language("faq", ["a", "c"], languages, values(0, 0), values(1, 0))
    assert [each.title for each in found] == ["faq [de]", "faq [fr]"]


def test_the_record_is_json() -> None:
    found = record([compare("x", values(0), values(1))], {"depth": 20})
    assert json.loads(json.dumps(found))["results"][0]["gain"]["MRR@10"]["mean"] == 1
