from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice

import pytest

from packrank_client import RerankClient
from packrank_client.cli.batch import LINES_AHEAD, answers
from tests.support.scripted_server import ScriptedServer


def test_lines_are_read_only_so_far_ahead(server: ScriptedServer) -> None:
    read = 0

    def lines() -> Iterator[bytes]:
        nonlocal read
        while True:  # an endless input: reading it all would fill the memory
            read += 1
            yield json.dumps({"query": "q", "passages": ["a"]}).encode()

    with RerankClient(server.address) as client:
        batch = answers(client, lines())
        taken = list(islice(batch, 50))
        assert not any(answer.failed for answer in taken)
        assert read <= len(taken) + LINES_AHEAD + 2  # the reader holds one line, and this loop another
        batch.close()


def test_an_input_that_breaks_off(server: ScriptedServer) -> None:
    def lines() -> Iterator[bytes]:
        yield b'{"query": "q", "passages": ["a"]}'
        raise OSError(5, "Input/output error")

    with RerankClient(server.address) as client:
        batch = answers(client, lines())
        assert not next(batch).failed
        with pytest.raises(OSError, match="Input/output error"):
            next(batch)
