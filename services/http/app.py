"""The application: routes, errors and limits put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import APIRouter, FastAPI
from starlette.concurrency import run_in_threadpool

from services.http import (
    api_docs,
    bulk_documents_api,
    collections_api,
    dead_letters_api,
    documents_api,
    drop_folder_api,
    generation_api,
    health_api,
    keys_api,
    pages_api,
    problems,
    search_api,
)
from services.http.api_description import describe
from services.http.envelope import Envelope
from services.http.house import House

VERSION = "0.1.0"
# Reads of the catalogue beside the counted kinds of work.
_SPARE_THREADS = 16

ROUTERS: dict[str, tuple[APIRouter, ...]] = {
    "documents": (
        collections_api.router,
        documents_api.router,
        bulk_documents_api.router,
        pages_api.router,
        dead_letters_api.router,
        drop_folder_api.router,
        keys_api.router,
    ),
    "search": (search_api.router,),
    "summary": (generation_api.router,),
}


def create_app(
    house: House, *, roles: tuple[str, ...], file_bytes: int, json_bytes: int, requests: int, generations: int
) -> FastAPI:
    """The API of a process with these roles; health is always there. `requests` is how many the permits let work at
    once, `generations` how many of them may be streams."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = requests + _SPARE_THREADS
        app.state.stream_limiter = CapacityLimiter(max(1, 2 * generations))
        yield
        if house.documents_role is not None:
            await run_in_threadpool(house.documents_role.pictures.close)

    app = FastAPI(
        title="ragstone",
        version=VERSION,
        summary="Self-hosted retrieval services for unstructured documents",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.house = house
    problems.install(app)
    api_docs.install(app)
    for router in (*(router for role in roles for router in ROUTERS[role]), health_api.router):
        app.include_router(router)
    app.add_middleware(Envelope, file_bytes=file_bytes, json_bytes=json_bytes)
    description = describe(app)
    app.openapi = lambda: description  # type: ignore[method-assign]  # the way the framework documents
    return app
