"""The route of search."""

from __future__ import annotations

import time

from fastapi import APIRouter
from fastapi.responses import Response

from ragstone import models as wire
from retrieval.errors import InvalidFilter, InvalidRequest
from retrieval.filters import Condition, parse_filter
from retrieval.search import GroupBy, Mode, Query
from services.http import shown
from services.http.door import Door
from services.http.house import Home, House, Searching

router = APIRouter(prefix="/v1", route_class=Door, tags=["search"])


@router.post("/search", operation_id="search", response_model=wire.SearchReply)
def search(body: wire.SearchRequest, principal: Searching, house: Home) -> Response:
    """The best hits for a query among what the caller may read."""
    started = time.perf_counter()
    query = Query(
        text=checked_text(house, body.query, "query"),
        collections=None if body.collections is None else tuple(body.collections),
        condition=condition_of(body.filter),
        mode=Mode(body.mode),
        top_k=body.top_k,
        group_by=None if body.group_by is None else GroupBy(body.group_by),
    )
    with house.search.permits.one():
        house.noted_query()
        result = house.search.searcher.search(principal, query)
    took_ms = (time.perf_counter() - started) * 1000
    reply = shown.search_reply(result, explain=body.explain, took_ms=took_ms)
    return Response(reply.model_dump_json(), media_type="application/json")


def checked_text(house: House, text: str, name: str) -> str:
    if not text.strip():
        raise InvalidRequest(f"{name} is empty.", pointer=f"/{name}")
    if len(text) > house.query_chars:
        raise InvalidRequest(
            f"{name} has {len(text)} characters; the limit is {house.query_chars}.", pointer=f"/{name}"
        )
    return text


def condition_of(raw: object) -> Condition | None:
    try:
        return parse_filter(raw)
    except InvalidFilter as error:
        raise InvalidFilter(str(error), pointer=f"/filter{error.pointer}") from None
