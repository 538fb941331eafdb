"""GET /: a page to try the reranker. It is one file, and loads nothing else."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse

router = APIRouter(include_in_schema=False)

_FILE = Path(__file__).with_name("page.html")


@router.get("/")
async def page() -> FileResponse:
    """Serve the page. Its policy allows only its own script and style, and calls to this gateway."""
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"
    )
    headers = {"content-security-policy": policy, "referrer-policy": "no-referrer"}
    return FileResponse(_FILE, media_type="text/html; charset=utf-8", headers=headers)
