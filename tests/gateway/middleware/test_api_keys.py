from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from packrank_gateway.dialects.dialect import Dialect
from packrank_gateway.middleware.api_keys import OPEN_PATHS, read_keys
from packrank_gateway.settings import SettingsError
from packrank_server.tritonserver import TritonServer
from tests.support.running_gateway import RunningGateway, running_gateway


@pytest.fixture(scope="module")
def closed(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("# of the search team\nfirst-key\n\n  second-key  \n")
    with running_gateway(server.grpc_endpoint, api_keys_file=keys) as running:
        yield running


@pytest.mark.parametrize("header", ["Bearer first-key", "bearer second-key", "BEARER first-key"])
def test_a_known_key_is_let_in(closed: RunningGateway, header: str) -> None:
    assert closed.ask(Dialect.NIM, headers={"authorization": header}).status_code == 200


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "first-key", "Basic first-key", "Bearer first-key2", "Bearer # of the search team"],
)
def test_anything_else_is_not(closed: RunningGateway, header: str) -> None:
    answer = closed.ask(Dialect.NIM, headers={"authorization": header} if header else None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", sorted(OPEN_PATHS | {"/docs", "/docs/swagger-ui.css"}))
def test_what_probes_and_scrapers_fetch_is_open(closed: RunningGateway, path: str) -> None:
    assert closed.http.get(path).status_code in {200, 204}


@pytest.mark.parametrize("path", ["/", "/ping", "/rerank", "/invocations", "/score", "/predict", "/weaviate/rerank"])
def test_every_path_that_scores_needs_a_key(closed: RunningGateway, path: str) -> None:
    assert closed.http.post(path, json={"query": "q", "texts": ["a"]}).status_code == 401


def test_the_models_are_not(closed: RunningGateway) -> None:
    assert closed.http.get("/v1/models").status_code == 401


def test_a_key_is_in_no_log(closed: RunningGateway) -> None:
    closed.ask(Dialect.NIM, headers={"authorization": "Bearer first-key"})
    closed.ask(Dialect.NIM, headers={"authorization": "Bearer wrong-key"})
    assert closed.http.get("/info").status_code == 200
    assert "-key" not in str(closed.lines) + closed.http.get("/info").text


def test_a_file_without_a_key_is_refused(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_keys(keys)
    keys.write_text("# none\n\n")
    with pytest.raises(SettingsError, match="holds no key"):
        read_keys(keys)
