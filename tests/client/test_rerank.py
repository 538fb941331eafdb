"""Both clients against a real gRPC server that fails on demand."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from packrank_client import (
    TLS,
    DeadlineExceeded,
    InvalidRequest,
    RerankError,
    RerankResult,
    ServerFault,
    ServerOverloaded,
    ServerUnavailable,
    Unauthorized,
)
from tests.client.conftest import MakeClient
from tests.support.scripted_server import (
    ScriptedServer,
    SeenRequest,
    logit_of,
    refuse_with,
    scripted_server,
    tokens_of,
)

# Self-signed for "localhost", made for these tests only.
CERTIFICATE = Path(__file__).parents[1].joinpath("support", "localhost.pem")
KEY = Path(__file__).parents[1].joinpath("support", "localhost.key")
PASSAGES = ["apples", "", "pommes d'été", "りんご" * 7, "apples", "a\0b", "jabłka " * 40]


def check(results: list[RerankResult], query: str, passages: list[str]) -> None:
    """Check that every passage has its own numbers, in the order of logits."""
    best_first = sorted(range(len(passages)), key=lambda index: (-logit_of(query, passages[index]), index))
    assert [result.index for result in results] == best_first
    for result in results:
        passage = passages[result.index]
        assert result.logit == logit_of(query, passage)
        assert result.score == pytest.approx(1 / (1 + np.exp(-result.logit)), rel=1e-6)
        assert result.token_count == tokens_of(query, passage)


def test_rerank(make_client: MakeClient, server: ScriptedServer) -> None:
    results = make_client(server.address).rerank("où sont les pommes?", PASSAGES)
    check(results, "où sont les pommes?", PASSAGES)
    (seen,) = server.seen
    assert (seen.model, seen.truncate) == ("reranker", "NONE")
    assert seen.shapes == {"query": [1, 1], "passages": [1, len(PASSAGES)]}


def test_options_reach_the_server(make_client: MakeClient, server: ScriptedServer) -> None:
    client = make_client(server.address, model="other", headers={"Authorization": "Bearer x", "x-tenant": "7"})
    assert len(client.rerank("q", ["a", "b", "c"], top_n=2, truncate="end")) == 2
    assert len(client.rerank("q", ["a", "b", "c"], top_n=99)) == 3
    seen = server.seen[0]
    assert (seen.model, seen.truncate) == ("other", "END")
    assert (seen.headers["authorization"], seen.headers["x-tenant"]) == ("Bearer x", "7")


def test_limits_are_looked_up_once(make_client: MakeClient, server: ScriptedServer) -> None:
    client = make_client(server.address)
    for _ in range(3):
        client.rerank("q", ["a"])
    assert server.lookups == 1


def test_limits_that_are_given_are_not_looked_up(make_client: MakeClient, server: ScriptedServer) -> None:
    make_client(server.address, max_passages=2, max_request_tokens=99).rerank("q", ["a", "b", "c"])
    assert server.lookups == 0
    assert sorted(len(seen.passages) for seen in server.seen) == [1, 2]


def test_a_server_without_limits(make_client: MakeClient, server: ScriptedServer) -> None:
    server.parameters = {"max_passages": "8"}
    with pytest.raises(ServerFault, match="max_request_tokens"):
        make_client(server.address).rerank("q", ["a"])


def test_a_question_beyond_the_limits_is_split(make_client: MakeClient, server: ScriptedServer) -> None:
    server.max_passages, server.max_request_tokens = 16, 2000
    passages = [f"{number} " * (number % 37) for number in range(300)]
    check(make_client(server.address).rerank("which?", passages), "which?", passages)
    # a token is one byte for this server and three for the client, so some chunks were halved
    answered = [s for s in server.seen if sum(tokens_of(s.query, p) for p in s.passages) <= 2000]
    assert len(answered) < len(server.seen)
    assert sorted(passage for seen in answered for passage in seen.passages) == sorted(passages)


def test_chunks_are_concurrent_and_bounded(make_client: MakeClient, server: ScriptedServer) -> None:
    together, most, lock = threading.Barrier(3), 0, threading.Lock()
    running = 0

    def script(seen: SeenRequest, context: grpc.ServicerContext) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(30)  # passes only if three requests are here at once
        with lock:
            running -= 1

    server.script = script
    client = make_client(server.address, max_passages=1, max_request_tokens=99, max_concurrent_chunks=3)
    check(client.rerank("q", list("abcdef")), "q", list("abcdef"))
    assert most == 3


def test_an_index_is_the_callers(make_client: MakeClient, server: ScriptedServer) -> None:
    server.max_passages, server.max_pair_tokens = 2, 100
    passages = ["a" * n for n in (5, 90, 7, 120, 3, 60)]
    with pytest.raises(InvalidRequest, match=r"^passages\[3\] has 121 tokens") as raised:
        make_client(server.address).rerank("q", passages)
    assert (raised.value.kind, raised.value.passage_index) == ("pair_too_long", 3)


def test_a_single_pair_over_the_limit(make_client: MakeClient, server: ScriptedServer) -> None:
    server.max_request_tokens = 50
    with pytest.raises(InvalidRequest) as raised:
        make_client(server.address).rerank("q", ["a" * 20, "b" * 60, "c" * 20])
    assert (raised.value.kind, raised.value.passage_index) == ("too_many_tokens", 1)


def test_mistakes_are_refused_before_anything_is_sent(make_client: MakeClient, server: ScriptedServer) -> None:
    client = make_client(server.address)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        (("", ["a"]), {}),
        (("q", []), {}),
        (("q", "a"), {}),
        (("q", [1]), {}),
        (("q", ["a"]), {"top_n": 0}),
        (("q", ["a"]), {"truncate": "START"}),
        (("q", ["a"]), {"timeout_s": 0}),
    ]
    for arguments, options in calls:
        with pytest.raises(InvalidRequest):
            client.rerank(*arguments, **options)
    assert (server.lookups, server.seen) == (0, [])


@pytest.mark.parametrize(
    ("code", "error_class"),
    [
        (grpc.StatusCode.UNAVAILABLE, ServerUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ServerOverloaded),
        (grpc.StatusCode.UNAUTHENTICATED, Unauthorized),
        (grpc.StatusCode.PERMISSION_DENIED, Unauthorized),
        (grpc.StatusCode.INTERNAL, ServerFault),
        (grpc.StatusCode.NOT_FOUND, ServerFault),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequest),
    ],
)
def test_the_servers_errors(
    make_client: MakeClient, server: ScriptedServer, code: grpc.StatusCode, error_class: type[RerankError]
) -> None:
    server.script = refuse_with(code)
    with pytest.raises(error_class, match=f"{server.address}.*on demand"):
        make_client(server.address).rerank("q", ["a"])
    assert len(server.seen) == 1


def test_a_logit_that_is_no_number(make_client: MakeClient, server: ScriptedServer) -> None:
    server.logits = [[0.5, float("nan")]]
    with pytest.raises(ServerFault, match="finite"):
        make_client(server.address).rerank("q", ["a", "b"])


def test_the_deadline_cancels_every_chunk(make_client: MakeClient, server: ScriptedServer) -> None:
    server.script = server.hold
    client = make_client(server.address, max_passages=1, max_request_tokens=99)
    with pytest.raises(DeadlineExceeded):
        client.rerank("q", ["a", "b", "c"], timeout_s=3)
    for _ in range(3):
        assert server.cancelled.acquire(timeout=30)


def test_one_failure_cancels_the_other_chunks(make_client: MakeClient, server: ScriptedServer) -> None:
    all_there = threading.Barrier(3)

    def script(seen: SeenRequest, context: grpc.ServicerContext) -> None:
        all_there.wait(30)
        if seen.passages == ["b"]:
            context.abort(grpc.StatusCode.INTERNAL, "broken")
        server.hold(seen, context)

    server.script = script
    client = make_client(server.address, max_passages=1, max_request_tokens=99, timeout_s=60)
    with pytest.raises(ServerFault, match="broken"):
        client.rerank("q", ["a", "b", "c"])
    for _ in range(2):
        assert server.cancelled.acquire(timeout=30)


def test_one_deadline_for_all_requests_of_a_call(make_client: MakeClient, server: ScriptedServer) -> None:
    server.max_passages = 1
    server.script = lambda seen, context: time.sleep(0.5)
    make_client(server.address, max_concurrent_chunks=1).rerank("q", ["a", "b", "c"], timeout_s=8)
    first, second, third = (seen.remaining_s for seen in server.seen)
    assert first <= 8.1  # gRPC rounds
    assert second <= 7.7
    assert third <= 7.2


def test_the_look_up_counts_against_the_deadline(make_client: MakeClient, server: ScriptedServer) -> None:
    over = threading.Event()

    def script(context: grpc.ServicerContext) -> None:
        context.add_callback(over.set)
        over.wait(60)

    server.lookup_script = script
    with pytest.raises(DeadlineExceeded):
        make_client(server.address).rerank("q", ["a"], timeout_s=0.5)
    assert over.wait(30)
    assert server.seen == []


def test_endpoints_take_turns(make_client: MakeClient, server: ScriptedServer) -> None:
    with scripted_server() as second:
        client = make_client([server.address, second.address], max_passages=1, max_request_tokens=99)
        client.rerank("q", list("abcdef"))
        assert (len(server.seen), len(second.seen)) == (3, 3)
        client.rerank("q", ["a"])
        client.rerank("q", ["a"])
        assert (len(server.seen), len(second.seen)) == (4, 4)


def test_an_unavailable_endpoint_is_passed_over(make_client: MakeClient, server: ScriptedServer) -> None:
    with scripted_server(script=refuse_with(grpc.StatusCode.UNAVAILABLE)) as down:
        client = make_client([down.address, server.address], max_passages=1, max_request_tokens=99)
        check(client.rerank("q", list("abcd")), "q", list("abcd"))
        asked = len(down.seen)
        check(client.rerank("q", list("abcd")), "q", list("abcd"))
        assert len(down.seen) == asked  # it is cooling down


def test_nobody_listens(make_client: MakeClient, server: ScriptedServer) -> None:
    with scripted_server() as gone:
        pass
    check(make_client([gone.address, server.address]).rerank("q", ["a", "b"]), "q", ["a", "b"])
    with pytest.raises(ServerUnavailable, match=gone.address):
        make_client(gone.address).rerank("q", ["a"])


def test_a_silent_endpoint_does_not_use_up_the_deadline(make_client: MakeClient, server: ScriptedServer) -> None:
    """It accepts connections and stays silent, so the client must give up in time to ask another endpoint."""
    with socket.create_server(("localhost", 0)) as silent:
        client = make_client([f"localhost:{silent.getsockname()[1]}", server.address], timeout_s=60)
        check(client.rerank("q", ["a", "b"]), "q", ["a", "b"])


def test_a_request_of_many_megabytes(make_client: MakeClient, server: ScriptedServer) -> None:
    """gRPC's own limit is 4 MB."""
    server.max_request_tokens = server.max_pair_tokens = 2**30
    passages = ["é" * 3_000_000, "b" * 6_000_000]
    check(make_client(server.address).rerank("q", passages), "q", passages)
    assert len(server.seen) == 1


def test_is_ready(make_client: MakeClient, server: ScriptedServer) -> None:
    with scripted_server() as gone:
        pass
    assert make_client([gone.address, server.address]).is_ready()
    assert not make_client(gone.address).is_ready()
    server.ready = False
    assert not make_client(server.address).is_ready()


def test_a_closed_client(make_client: MakeClient, server: ScriptedServer) -> None:
    client = make_client(server.address)
    client.rerank("q", ["a"])
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.rerank("q", ["a"])


def test_encrypted_with_certificates_on_both_sides(make_client: MakeClient) -> None:
    certificate, key = CERTIFICATE.read_bytes(), KEY.read_bytes()
    credentials = grpc.ssl_server_credentials([(key, certificate)], certificate, require_client_auth=True)
    with scripted_server(credentials) as server:
        mutual = TLS(root_certificates=CERTIFICATE, private_key=KEY, certificate_chain=str(CERTIFICATE))
        check(make_client(server.address, tls=mutual).rerank("q", ["a", "b"]), "q", ["a", "b"])
        with pytest.raises(ServerUnavailable):
            make_client(server.address, tls=TLS(root_certificates=CERTIFICATE)).rerank("q", ["a"])
        with pytest.raises(ServerUnavailable):
            make_client(server.address).rerank("q", ["a"])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"endpoints": []}, "endpoints is empty"),
        ({"endpoints": ["a:1", ""]}, "host:port"),
        ({"endpoints": "http://localhost:8000"}, "host:port"),
        ({"max_passages": 0}, "max_passages"),
        ({"max_request_tokens": -1}, "max_request_tokens"),
        ({"max_concurrent_chunks": 0}, "max_concurrent_chunks"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"headers": {"bad name": "x"}}, "bad name"),
        ({"headers": {"grpc-timeout": "x"}}, "grpc-timeout"),
    ],
)
def test_settings_that_cannot_work(make_client: MakeClient, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_client(**settings)


def test_a_secret_header_is_not_shown(make_client: MakeClient) -> None:
    with pytest.raises(ValueError, match="authorization") as raised:
        make_client(headers={"authorization": "Bearer hunter2\n"})
    assert "hunter2" not in str(raised.value)


def test_a_missing_certificate(make_client: MakeClient) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.pem"):
        make_client(tls=TLS(root_certificates="absent.pem"))


def test_a_key_without_its_certificate() -> None:
    with pytest.raises(ValueError, match="belong together"):
        TLS(private_key="client.key")
