"""Routes of health: alive, without asking anybody; ready, asking everybody."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from ragstone import models as wire
from retrieval.errors import Unavailable
from services.http.house import Home

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="healthz")
async def healthz() -> dict[str, str]:
    """The process lives. Depends on nothing, so that nobody restarts it for somebody else's trouble."""
    return {"status": "alive"}


@router.get("/readyz", operation_id="readyz", response_model=wire.Readiness, responses={503: {"model": wire.Readiness}})
def readyz(house: Home) -> Response:
    """Every dependency, the sandbox level among them; 503 while one of them is not there."""
    try:
        body = wire.Readiness(ready=True, dependencies=dict(house.ready()))
    except Unavailable as error:
        body = wire.Readiness(ready=False, dependencies={error.code: str(error)})
    if body.ready:
        return JSONResponse(body.model_dump())
    return JSONResponse(body.model_dump(), status_code=503, headers={"Retry-After": "1"})
