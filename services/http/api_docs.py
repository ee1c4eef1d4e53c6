"""The interactive API documentation at /docs, with its scripts from here: it works without the internet."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

_ASSETS = "/docs-assets"


def install(app: FastAPI) -> None:
    """The application must have been made without documentation of its own."""
    app.mount(_ASSETS, StaticFiles(directory=_assets()), name="docs-assets")

    async def page() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=app.openapi_url or "/openapi.json",
            title=f"{app.title}: API",
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon.png",
        )

    app.add_api_route("/docs", page, include_in_schema=False)


def _assets() -> Path:
    """The scripts and styles that the package fastapi-offline carries; nothing else of it is used or imported."""
    found = find_spec("fastapi_offline")
    assert found is not None  # pinned in pyproject.toml
    assert found.origin is not None
    return Path(found.origin).parent / "static"
