"""The ASGI application: routes, middleware and error handlers."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from packrank_gateway.dialects import cohere, infinity, nim, shared_paths, tei, vllm, weaviate
from packrank_gateway.dialects.error_bodies import error_response
from packrank_gateway.dialects.validation_errors import error_from_validation
from packrank_gateway.errors import GatewayError
from packrank_gateway.middleware.api_keys import ApiKeys, read_keys
from packrank_gateway.middleware.content_encoding import ContentEncoding
from packrank_gateway.middleware.head_requests import HeadRequests
from packrank_gateway.middleware.observability import Observability
from packrank_gateway.middleware.request_body import RequestBody
from packrank_gateway.middleware.request_line import RequestLine
from packrank_gateway.pages import api_docs, page
from packrank_gateway.services import Services
from packrank_gateway.settings import Settings
from packrank_gateway.telemetry.request_record import record_of
from packrank_gateway.telemetry.tracing import TELEMETRY

_HTTP_KINDS = {
    404: ("not_found", "there is nothing at this path; GET /docs lists all."),
    405: ("method_not_allowed", "this path does not accept this method; GET /docs lists all."),
    400: ("malformed_json", "the body is not JSON; send a JSON object."),
}


def create_app(settings: Settings) -> FastAPI:
    """Build the application. Raises SettingsError for settings that cannot work."""
    services = Services(settings)
    app = FastAPI(
        title="packrank gateway",
        version=services.version,
        description="Reranking over NVIDIA NIM's, Cohere's, Jina's, vLLM's, infinity's and TEI's wire formats.",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=TELEMETRY,
    )
    app.state.services = services
    # every request tries the routes in this order, so the busiest come first
    for part in (nim, cohere, shared_paths, vllm, infinity, tei, weaviate, page, api_docs):
        app.include_router(part.router)
    api_docs.describe_errors(app)
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(RequestValidationError, _invalid_body)
    app.add_exception_handler(HTTPException, _http_error)
    # the last middleware added is the first to see a request
    app.add_middleware(
        RequestBody,
        admission=services.admission,
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_s,
        timeout_s=settings.timeout_s,
        max_timeout_s=settings.max_timeout_s,
    )
    app.add_middleware(ContentEncoding)
    app.add_middleware(HeadRequests)
    if settings.api_keys_file is not None:
        app.add_middleware(ApiKeys, keys=read_keys(settings.api_keys_file))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=[
                "retry-after",
                "server-timing",
                "x-error-kind",
                "x-request-id",
                "x-truncated-passages",
                "x-ignored-fields",
            ],
        )
    app.add_middleware(Observability, metrics=services.metrics)
    app.add_middleware(RequestLine)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # the loaded modules stay for good, so full collections during requests need not visit them
    gc.freeze()
    yield
    await app.state.services.close()


def _answer(request: Request, error: GatewayError) -> Response:
    record = record_of(request)
    record.error_kind = error.kind
    return error_response(error, record.dialect)


async def _gateway_error(request: Request, error: Any) -> Response:
    return _answer(request, error)


async def _invalid_body(request: Request, error: Any) -> Response:
    if request.url.path in shared_paths.PATHS:
        record_of(request).dialect = shared_paths.dialect_of_body(error.body)
    return _answer(request, error_from_validation(error.errors()))


async def _http_error(request: Request, error: Any) -> Response:
    kind, sentence = _HTTP_KINDS.get(error.status_code, ("internal_error", "the gateway failed; its log says why."))
    response = _answer(request, GatewayError(kind, sentence))
    response.headers.update(error.headers or {})
    return response
