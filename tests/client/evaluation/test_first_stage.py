from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from packrank_client.evaluation.dataset import Dataset
from packrank_client.evaluation.errors import EvaluationError
from packrank_client.evaluation.first_stage import bm25_run, embeddings_run

TEXTS = {"d1": "the cat sleeps", "d2": "dogs chase a cat and another cat", "d3": "rain"}
DATASET = Dataset("pets", {"q1": "Cat?", "q2": "the"}, TEXTS, {"q1": {"d1": 1}, "q2": {"d3": 1}}, {})


def quiet(_: str) -> None:
    pass


@contextmanager
def endpoint(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve an OpenAI-style endpoint: embeddings count cats and dogs, and come back in the wrong order."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(question | {"path": self.path, "authorization": self.headers.get("authorization")})
            data = [
                {"index": place, "embedding": [1 + 9 * text.lower().count("cat"), 1 + 9 * text.count("dog")]}
                for place, text in enumerate(question["input"])
            ]
            body = json.dumps({"data": data[::-1]} if status == 200 else {"error": "no such model"}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_bm25_finds_the_word_and_keeps_the_corpus_order_where_there_is_none() -> None:
    run = bm25_run(DATASET, 2, quiet)
    assert {hit.document for hit in run["q1"]} == {"d1", "d2"}
    assert run["q1"][0].score > 0
    assert [(hit.document, hit.score) for hit in run["q2"]] == [("d1", 0), ("d2", 0)]  # a stop word


def test_embeddings_are_asked_with_their_input_type_and_put_in_order() -> None:
    with endpoint() as (url, asked):
        run = embeddings_run(DATASET, 3, quiet, f"{url}/", "e5")
    assert [(each["path"], each["input_type"], each["model"]) for each in asked] == [
        ("/v1/embeddings", "passage", "e5"),
        ("/v1/embeddings", "query", "e5"),
    ]
    assert run["q1"][0].document == "d1"
    assert run["q1"][0].score == pytest.approx(1)


def test_long_documents_are_embedded_a_few_at_a_time() -> None:
    lengths = [20_000, 12_768, 1, 40_000, *[100] * 40]
    corpus = {f"d{place}": "x" * length for place, length in enumerate(lengths)}
    with endpoint() as (url, asked):
        embeddings_run(replace(DATASET, corpus=corpus), 1, quiet, url, "e5")
    assert [[len(text) for text in each["input"]] for each in asked if each["input_type"] == "passage"] == [
        [20_000, 12_768],
        [1],
        [40_000],
        [100] * 32,
        [100] * 8,
    ]


def test_candidates_that_come_with_the_data_are_put_in_order_and_never_cut() -> None:
    dataset = replace(DATASET, candidates={"q1": ["d3", "d2"]})
    assert [hit.document for hit in bm25_run(dataset, 1, quiet)["q1"]] == ["d2", "d3"]
    assert len(bm25_run(dataset, 1, quiet)["q2"]) == 1
    with endpoint() as (url, _):
        assert {hit.document for hit in embeddings_run(dataset, 1, quiet, url, "e5")["q1"]} == {"d2", "d3"}


def test_the_key_is_sent_as_a_bearer_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDINGS_API_KEY", "secret")
    with endpoint() as (url, asked):
        embeddings_run(DATASET, 1, quiet, url, "e5")
    assert asked[0]["authorization"] == "Bearer secret"


def test_an_endpoint_that_refuses_is_named_with_its_answer() -> None:
    with endpoint(404) as (url, _), pytest.raises(EvaluationError, match=r"answered 404: .*no such model"):
        embeddings_run(DATASET, 1, quiet, url, "e6")


def test_an_endpoint_that_is_not_there_is_named() -> None:
    with endpoint() as (url, _):
        pass
    with pytest.raises(EvaluationError, match="did not answer"):
        embeddings_run(DATASET, 1, quiet, url, "e5")
