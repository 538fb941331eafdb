from __future__ import annotations

import httpx
import pytest

from packrank_gateway.middleware.request_line import plain_path
from tests.support.running_gateway import RunningGateway

DOCUMENTS = {"query": "why?", "documents": ["a", "b"]}


@pytest.mark.parametrize(
    "path", ["/v1/health/live", "/v1/health/ready", "/health", "/v1/models", "/metrics", "/", "/info"]
)
def test_head_is_answered_like_get(gateway: RunningGateway, path: str) -> None:
    answer, whole = gateway.http.head(path), gateway.http.get(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == whole.headers["content-type"]
    assert gateway.http.get("/v1/health/live").status_code == 200  # the connection is still in step


def test_head_of_a_post_path_is_refused(gateway: RunningGateway) -> None:
    assert gateway.http.head("/v1/ranking").status_code == 405


@pytest.mark.parametrize("path", ["/v1/rerank/", "//v1/rerank", "/v2//rerank//", "/rerank/", "/infinity/rerank/"])
def test_slashes_too_many_need_no_redirect(gateway: RunningGateway, path: str) -> None:
    answer = httpx.post(gateway.url + path, json=DOCUMENTS, timeout=60)
    assert (answer.status_code, len(answer.json()["results"])) == (200, 2)
    refused = httpx.post(gateway.url + path, json={"query": "why?", "documents": []}, timeout=60)
    assert refused.status_code == 400  # as each of these dialects refuses it


def test_the_pages_links_stay_right(gateway: RunningGateway) -> None:
    answer = gateway.http.get("/docs/")
    assert (answer.status_code, answer.headers["location"]) == (307, "../docs")
    assert gateway.http.get("/docs").status_code == 200


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/health", "/health"),
        ("/health/", "/health"),
        ("///a///b/", "/a/b"),
        ("*", "*"),
        ("", ""),
    ],
)
def test_plain_path(path: str, plain: str) -> None:
    assert plain_path(path) == plain
