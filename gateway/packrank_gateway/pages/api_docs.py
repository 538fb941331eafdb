"""GET /docs: Swagger UI, served from an installed package, on FastAPI's OpenAPI document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import swagger_ui_bundle
from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse

from packrank_gateway.errors import GatewayError

router = APIRouter(include_in_schema=False)

_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon-32x32.png": "image/png"}
_STATUSES = {
    400: "the body is not JSON or not UTF-8; Cohere and vLLM: any invalid value; TEI: an empty query or list",
    401: "no accepted key",
    404: "unknown model",
    408: "the body did not arrive in time",
    413: "the body is too large; TEI: a text or a list is over a limit",
    415: "not application/json, or an encoding other than gzip and deflate",
    422: "a field is invalid, or a text is over a limit",
    424: "TEI: the model server failed",
    429: "the gateway is overloaded; see Retry-After",
    502: "the model server failed",
    503: "no model server answers; NIM: the gateway is overloaded; see Retry-After",
    504: "the deadline passed",
}


@router.get("/docs")
async def docs() -> HTMLResponse:
    """Serve Swagger UI."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="packrank gateway",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon-32x32.png",
    )


@router.get("/docs/")
async def docs_with_slash() -> RedirectResponse:
    """Lead to /docs, whose links are relative to it. The address is relative too: a proxy may speak TLS."""
    return RedirectResponse("../docs")


@router.get("/docs/{name}")
async def docs_file(name: str) -> FileResponse:
    """Serve one of Swagger UI's files."""
    if name not in _FILES:
        raise GatewayError("not_found", "there is nothing at this path; GET /docs lists all.")
    return FileResponse(Path(swagger_ui_bundle.swagger_ui_path, name), media_type=_FILES[name])


def describe_errors(app: FastAPI) -> None:
    """Document the error statuses of every POST, instead of FastAPI's own 422."""
    derive = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = derive()
            for operations in document["paths"].values():
                for operation in (operations[method] for method in operations if method == "post"):
                    described = {str(status): {"description": text} for status, text in _STATUSES.items()}
                    operation["responses"] = {"200": operation["responses"]["200"], **described}
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
