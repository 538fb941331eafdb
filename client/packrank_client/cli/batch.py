"""A batch: JSON lines in, JSON lines out, several questions in flight, answers in order, bounded memory."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from queue import Empty, Queue
from threading import Thread
from typing import Any, NamedTuple, TypeAlias

from packrank_client.client import SIGNAL_CHECK_S, RerankClient
from packrank_client.errors import InvalidRequest, RerankError

# Questions in flight at the same time; the server's batcher merges them.
QUESTIONS_IN_FLIGHT = 8
# Lines between reading and output. This bounds memory, because answers wait here for earlier ones.
LINES_AHEAD = 4 * QUESTIONS_IN_FLIGHT


class Answer(NamedTuple):
    """The output for one line of input, `{"id"?, "query", "results"}` or `{"id"?, "line", "error"}`."""

    record: dict[str, Any]
    line_bytes: int
    failed: bool


# A future answer, the error that ended the input, or None at its normal end.
_Item: TypeAlias = Future[Answer] | OSError | None


def answers(
    client: RerankClient, lines: Iterable[bytes], *, top_n: int | None = None, truncate: str = "NONE"
) -> Generator[Answer, None, None]:
    """Yield one answer per non-blank line, in input order, as soon as it is ready.

    Closing the iterator early closes the client, which ends the calls in flight.

    Raises OSError if the input cannot be read.
    """
    queue: Queue[_Item] = Queue(LINES_AHEAD)
    pool = ThreadPoolExecutor(QUESTIONS_IN_FLIGHT)

    def read() -> None:
        end: OSError | None = None
        try:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    queue.put(pool.submit(_answer, client, line, number, top_n, truncate))
        except OSError as error:
            end = error
        except RuntimeError:  # the pool is shut down: the caller stopped early
            return
        queue.put(end)

    # A separate thread, so that answers come out while it waits for the next line; a daemon, because nothing can
    # interrupt its reading.
    Thread(target=read, daemon=True).start()
    complete = False
    try:
        while (item := _next(queue)) is not None:
            if isinstance(item, OSError):
                raise item
            yield item.result()
        complete = True
    finally:
        if not complete:
            client.close()
        pool.shutdown(cancel_futures=True)


def _next(queue: Queue[_Item]) -> _Item:
    while True:
        with suppress(Empty):
            return queue.get(timeout=SIGNAL_CHECK_S)


def error_record(error: RerankError) -> dict[str, Any]:
    """Describe an error as JSON: its class as `type`, its sentence, and an InvalidRequest's kind and passage."""
    record: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, InvalidRequest):
        record["kind"] = error.kind
        if error.passage_index is not None:
            record["passage_index"] = error.passage_index
    return record


def _answer(client: RerankClient, line: bytes, number: int, top_n: int | None, truncate: str) -> Answer:
    identity: dict[str, Any] = {}
    try:
        question = _question(line)
        if "id" in question:
            identity["id"] = question["id"]
        results = client.rerank(question["query"], question["passages"], top_n=top_n, truncate=truncate)
    except RerankError as error:
        return Answer(identity | {"line": number, "error": error_record(error)}, len(line), failed=True)
    rows = [asdict(result) for result in results]
    return Answer(identity | {"query": question["query"], "results": rows}, len(line), failed=False)


def _question(line: bytes) -> dict[str, Any]:
    try:
        question = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"the line is not JSON: {error}; write one JSON object per line.", kind="invalid_json"
        ) from None
    if not isinstance(question, dict) or not {"query", "passages"} <= question.keys():
        sentence = 'the line lacks a field; write an object with "query" (a string) and "passages" (a list of strings).'
        raise InvalidRequest(sentence, kind="invalid_json")
    return question
