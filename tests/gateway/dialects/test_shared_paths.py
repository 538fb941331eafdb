from __future__ import annotations

from typing import Any

import pytest

from packrank_gateway.dialects.shared_paths import form_of
from tests.support.running_gateway import RunningGateway

BODIES: dict[str, dict[str, Any]] = {
    "tei": {"query": "q", "texts": ["a", "b"]},
    "vllm": {"query": "q", "documents": ["a", "b"]},
    "weaviate": {"query": "q", "documents": ["a", "b"], "property": ""},
    "nim": {"query": {"text": "q"}, "passages": [{"text": "a"}, {"text": "b"}]},
    "predict": {"inputs": [["q", "a"], ["q", "b"]]},
    "score": {"text_1": "q", "text_2": ["a", "b"]},
}
# where each form has its two scores
PLACES = {"vllm": "results", "weaviate": "scores", "nim": "rankings", "score": "data"}


@pytest.mark.parametrize("form", BODIES)
@pytest.mark.parametrize("path", ["/invocations", "/"])
def test_every_form_gets_its_own_answer(gateway: RunningGateway, path: str, form: str) -> None:
    body = gateway.http.post(path, json=BODIES[form]).json()
    assert len(body[PLACES[form]] if form in PLACES else body) == 2


@pytest.mark.parametrize("form", BODIES)
def test_every_form_is_refused_in_its_own_words(gateway: RunningGateway, form: str) -> None:
    emptied = {name: [] if isinstance(value, list) else value for name, value in BODIES[form].items()}
    answer = gateway.http.post("/invocations", json=emptied)
    body = answer.json()
    own = {
        "nim": body.get("object") == "error",
        "vllm": "code" in body.get("error", ""),
        "score": "code" in body.get("error", ""),
    }
    assert answer.status_code in {400, 422}
    assert own.get(form, isinstance(body.get("error"), str))


@pytest.mark.parametrize("body", [{}, [], None, 1, {"query": "q"}])
def test_a_body_of_no_form_counts_as_teis(body: object) -> None:
    assert form_of(body) == "tei"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_sagemakers_ping(gateway: RunningGateway, method: str) -> None:
    answer = gateway.http.request(method, "/ping")
    assert (answer.status_code, answer.content) == (200, b"")


def test_get_shows_the_page(gateway: RunningGateway) -> None:
    assert "text/html" in gateway.http.get("/").headers["content-type"]
