"""The OpenAPI document is true: schemathesis generates requests from it and checks the answers."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from packrank_gateway.app import create_app
from packrank_gateway.settings import Settings
from tests.support.running_gateway import RunningGateway

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


SCHEMA = schemathesis.openapi.from_dict(create_app(Settings()).openapi())
OPERATIONS: list[Any] = [found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)]
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
CASES = [(operation, POSITIVE) for operation in OPERATIONS]
# an operation without input cannot get a wrong one
CASES += [(operation, NEGATIVE) for operation in OPERATIONS if operation.method == "post"]


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=lambda value: getattr(value, "label", None) or value.value)
def test_what_it_says_is_true(operation: Any, mode: schemathesis.GenerationMode, gateway: RunningGateway) -> None:
    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        case.validate_response(case.call(base_url=gateway.url), checks=CHECKS)

    ask()


def test_every_dialect_is_described(gateway: RunningGateway) -> None:
    document = gateway.http.get("/openapi.json").json()
    assert {"/v1/ranking", "/v1/rerank", "/v2/rerank", "/rerank", "/v1/models", "/info", "/health"} <= set(
        document["paths"]
    )
    for path, operations in document["paths"].items():
        if "post" in operations:
            assert {"200", "400", "413", "422", "429", "503", "504"} <= set(operations["post"]["responses"]), path


def test_the_page_of_docs_loads_nothing_from_elsewhere(gateway: RunningGateway) -> None:
    page = gateway.http.get("/docs")
    assert page.status_code == 200
    assert "://" not in page.text
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
        assert f"docs/{name}" in page.text
        assert gateway.http.get(f"/docs/{name}").status_code == 200
    assert gateway.http.get("/docs/../settings.py").status_code == 404
