import asyncio
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from packrank_client import (
    AsyncRerankClient,
    DeadlineExceeded,
    InvalidRequest,
    RerankClient,
    RerankResult,
    ServerUnavailable,
)
from packrank_server.ports import free_ports
from packrank_server.tritonserver import TritonServer

QUERY = "what is a word?"


def by_index(results: list[RerankResult]) -> list[float]:
    return [result.logit for result in sorted(results, key=lambda result: result.index)]


def test_a_request_beyond_the_limits_is_split_and_put_together(client: RerankClient) -> None:
    random = np.random.default_rng(3)
    passages = [f"number {i}" + " word" * int(random.integers(0, 60)) for i in range(700)]
    split = client.rerank(QUERY, passages)
    assert sorted(result.index for result in split) == list(range(700))
    assert [result.logit for result in split] == sorted((result.logit for result in split), reverse=True)
    few = [0, 1, 350, 698, 699]
    np.testing.assert_allclose(
        [by_index(split)[i] for i in few], by_index(client.rerank(QUERY, [passages[i] for i in few])), atol=1e-5
    )


def test_a_wrong_estimate_of_tokens_is_corrected_by_the_server(client: RerankClient) -> None:
    # a Thai token has far fewer bytes than an English one, so a chunk that seems to fit has too many tokens
    passages = ["\u0e5b" * 300] * 40
    results = client.rerank(QUERY, passages)
    assert sum(result.token_count for result in results) > 16384
    np.testing.assert_allclose(by_index(results), by_index(results)[0], atol=1e-5)


def test_the_passage_at_fault_is_named_by_the_callers_index(client: RerankClient) -> None:
    passages = ["word"] * 600 + [" word" * 3000] + ["word"] * 100
    with pytest.raises(InvalidRequest, match=r"passages\[600\] has 30\d\d tokens") as caught:
        client.rerank(QUERY, passages)
    assert caught.value.kind == "pair_too_long"
    assert caught.value.passage_index == 600
    cut = client.rerank(QUERY, passages, truncate="END")
    assert len(cut) == 701
    assert [result.index for result in cut if result.truncated] == [600]


def test_passages_are_cut_to_their_own_limit(client: RerankClient) -> None:
    cut = client.rerank(QUERY, [" word" * 30, " word" * 5], max_passage_tokens=5)
    assert cut[0].logit == pytest.approx(cut[1].logit, abs=1e-5)
    assert {result.index: result.truncated for result in cut} == {0: True, 1: False}


def test_the_asyncio_twin_answers_the_same(server: TritonServer, client: RerankClient) -> None:
    passages = ["one", "two words", "three more words"]

    async def ask() -> list[list[RerankResult]]:
        async with AsyncRerankClient(server.grpc_endpoint) as twin:
            return await asyncio.gather(*(twin.rerank(QUERY, passages) for _ in range(8)))

    expected = client.rerank(QUERY, passages)
    for results in asyncio.run(ask()):
        assert [result.index for result in results] == [result.index for result in expected]
        np.testing.assert_allclose(by_index(results), by_index(expected), atol=1e-5)


def test_a_deadline_that_cannot_be_met_is_kept(client: RerankClient) -> None:
    with pytest.raises(DeadlineExceeded):
        client.rerank(QUERY, [" word" * 900] * 300, timeout_s=0.05)
    assert client.rerank(QUERY, ["still answers"])


def test_a_dead_endpoint_is_passed_over(server: TritonServer) -> None:
    dead = f"127.0.0.1:{free_ports().grpc}"
    with RerankClient([dead, server.grpc_endpoint]) as several:
        for _ in range(4):
            assert several.rerank(QUERY, ["word"])
    with RerankClient(dead, timeout_s=5) as alone, pytest.raises(ServerUnavailable):
        alone.rerank(QUERY, ["word"])


def test_the_command_line(server: TritonServer, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("rerank")), "--url", server.grpc_endpoint]
    passages = "one\ntwo words\n\nthree more words\n"
    table = subprocess.run([*command, QUERY], input=passages, capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in table.splitlines()] == ["rank", "1", "2", "3", "4"]
    batch = tmp_path / "batch.jsonl"
    batch.write_text("".join(json.dumps({"id": i, "query": QUERY, "passages": ["a", "b"]}) + "\n" for i in range(20)))
    done = subprocess.run([*command, "--jsonl", str(batch)], capture_output=True, text=True, check=True)
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == list(range(20))
