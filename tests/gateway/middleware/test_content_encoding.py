from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator

import httpx
import pytest

from packrank_gateway.middleware.content_encoding import STEP_BYTES, Decoder
from tests.support.running_gateway import RunningGateway, running_gateway

BODY = json.dumps({"query": "why?", "documents": ["a", "b", "é" * 100]}).encode()
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
ENCODED = {
    "gzip": gzip.compress(BODY),
    "x-gzip": gzip.compress(BODY),
    "GZIP": gzip.compress(BODY[:9]) + gzip.compress(BODY[9:]),  # two members
    "deflate": zlib.compress(BODY),
    "Deflate": RAW.compress(BODY) + RAW.flush(),  # without zlib's header, as some clients send it
    "identity": BODY,
    "identity, gzip": gzip.compress(BODY),
    "": BODY,
}


def post(gateway: RunningGateway, content: bytes | Iterator[bytes], encoding: str) -> httpx.Response:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    return gateway.http.post("/v2/rerank", content=content, headers=headers)


@pytest.mark.parametrize("encoding", ENCODED)
def test_an_encoded_body_is_the_plain_one(gateway: RunningGateway, encoding: str) -> None:
    expected = post(gateway, BODY, "identity").json()["results"]
    content = ENCODED[encoding]
    assert post(gateway, content, encoding).json()["results"] == expected
    in_parts = (content[start : start + 5] for start in range(0, len(content), 5))
    assert post(gateway, in_parts, encoding).json()["results"] == expected


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "deflate, gzip"])
def test_another_encoding_is_refused_with_those_that_work(gateway: RunningGateway, encoding: str) -> None:
    answer = post(gateway, BODY, encoding)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, deflate")
    assert answer.headers["x-error-kind"] == "unsupported_content_encoding"
    assert encoding in answer.json()["message"]


@pytest.mark.parametrize(
    "content",
    [BODY, gzip.compress(BODY)[:-9], b"", gzip.compress(BODY) + b"more", gzip.compress(BODY)[:-4] + b"\0\0\0\0"],
    ids=["plain", "cut", "empty", "more", "wrong length"],
)
def test_a_body_that_is_not_gzip(gateway: RunningGateway, content: bytes) -> None:
    answer = post(gateway, content, "gzip")
    assert (answer.status_code, answer.headers["x-error-kind"]) == (400, "malformed_encoding")


def test_the_limit_counts_decoded_bytes() -> None:
    with running_gateway("127.0.0.1:1", max_body_bytes=100_000) as gateway:
        within = post(gateway, gzip.compress(BODY + b" " * 90_000), "gzip")
        assert within.headers["x-error-kind"] == "unavailable"  # read; there is only no server
        bomb = gzip.compress(b" " * 100_000_000)
        assert len(bomb) < 100_000
        answer = post(gateway, bomb, "gzip")
        assert (answer.status_code, answer.headers["x-error-kind"]) == (413, "body_too_large")


def test_a_step_is_small_even_of_a_bomb() -> None:
    steps = Decoder(b"gzip").decode(gzip.compress(b" " * 10_000_000))
    assert {len(step) <= STEP_BYTES for step in steps} == {True}
