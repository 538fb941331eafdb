"""Bodies that are cheap to send and dear to read: memory stays bounded, and the gateway goes on answering."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.errors import GatewayError
from packrank_gateway.middleware import json_values
from packrank_gateway.middleware.json_values import MAX_VALUES, check_value_count
from tests.support.running_gateway import PATHS, RunningGateway, running_gateway
from tests.support.scripted_server import ScriptedServer, scripted_server


@pytest.fixture(scope="module")
def triton() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(triton: ScriptedServer) -> Iterator[RunningGateway]:
    with running_gateway(triton.address) as running:
        yield running


HOSTILE = {
    "numbers": '{"query":"x","%s":[' + "1," * 2_000_000 + "1]}",
    "objects": '{"query":"x","%s":[' + "{}," * 1_000_000 + "{}]}",
    "lists": '{"query":"x","%s":[' + "[]," * 1_000_000 + "[]]}",
    "texts": '{"query":"x","%s":[' + '"",' * 1_000_000 + '""]}',
    "few numbers": '{"query":"x","%s":[' + "1," * 100_000 + "1]}",
    "few texts": '{"query":"x","%s":[' + '"",' * 60_000 + '""]}',
}


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("body", HOSTILE)
def test_millions_of_values_cost_nothing(gateway: RunningGateway, dialect: Dialect, body: str) -> None:
    name = {Dialect.NIM: "passages", Dialect.TEI: "texts"}.get(dialect, "documents")
    content = HOSTILE[body].replace("%s", name).encode()
    if dialect is Dialect.NIM:
        content = content.replace(b'"query":"x"', b'"query":{"text":"x"}')
    answer = gateway.http.post(PATHS[dialect], content=content, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 413, 422}
    assert answer.headers["x-error-kind"] in {"invalid_field", "too_many_passages"}
    assert gateway.http.get("/v1/health/live").status_code == 200
    assert gateway.memory_mib("VmHWM") < 300


def test_a_large_valid_body_is_answered(gateway: RunningGateway) -> None:
    texts = [f'{number}, "quoted" \\ and [listed], {{braced}}, ' * 400 for number in range(400)]
    assert len(json.dumps(texts)) > 6_000_000
    assert gateway.ask(Dialect.TEI, texts, truncate=True).status_code in {200, 413, 422}


def count(text: str) -> None:
    asyncio.run(check_value_count(text.encode()))


@given(st.lists(st.text(st.sampled_from('\\",[{a:'), max_size=40), max_size=40), st.integers(1, 9))
def test_what_stands_in_strings_is_not_counted(texts: list[str], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_values, "SMALL_BODY_BYTES", 0)
        patch.setattr(json_values, "_SLICE_BYTES", size)
        document = json.dumps([texts, []], separators=(",", ":"))
        exact = 4 + max(0, len(texts) - 1)  # three brackets, the comma between the lists, and those between texts
        patch.setattr(json_values, "MAX_VALUES", exact)
        count(document)
        patch.setattr(json_values, "MAX_VALUES", exact - 1)
        with pytest.raises(GatewayError):
            count(document)


def test_a_body_of_backslashes_is_counted_in_one_pass() -> None:
    count('["' + "\\\\" * 2_000_000 + '"]')
    with pytest.raises(GatewayError):
        count('["' + "\\\\" * 2_000_000 + '"' + ",1" * (MAX_VALUES + 1) + "]")


def test_a_keyless_post_to_an_open_path_is_not_read(triton: ScriptedServer, tmp_path: object) -> None:
    keys = tmp_path / "keys"  # type: ignore[operator]
    keys.write_text("key\n")
    with running_gateway(triton.address, api_keys_file=keys) as closed:
        for path in ("/docs/x", "/docs", "/health", "/"):
            assert closed.http.post(path, json={"a": "b"}).status_code == 401
            assert closed.http.head("/health").status_code == 200
