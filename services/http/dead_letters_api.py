"""Routes of dead letters."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from ragstone import models as wire
from services.http import shown
from services.http.collections_api import Cursor, Limit
from services.http.door import Door
from services.http.house import Administering, Home, Reading, Writing, readable_collection

router = APIRouter(prefix="/v1/dead-letters", route_class=Door, tags=["dead letters"])


@router.get("", operation_id="list_dead_letters")
def list_(
    principal: Reading,
    house: Home,
    collection: str | None = None,
    code: Annotated[str | None, Query(max_length=32)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> wire.DeadLetters:
    """What failed and waits for somebody's decision, newest first."""
    found = None if collection is None else readable_collection(house, principal, collection)
    context = f"dead-letters:{principal.tenant}:{collection}:{code}"
    page = house.catalogue.dead_letters.page(
        principal,
        collection_id=None if found is None else found.id,
        code=code,
        after=house.cursors.open(cursor, context=context),
        limit=limit,
    )
    return wire.DeadLetters(
        data=[shown.dead_letter(letter) for letter in page.items],
        next_cursor=house.cursors.seal(page.next, context=context),
    )


@router.get("/{letter_id}", operation_id="get_dead_letter")
def get(letter_id: str, principal: Reading, house: Home) -> wire.DeadLetter:
    """One dead letter with its evidence."""
    return shown.dead_letter(house.catalogue.dead_letters.get(principal, letter_id))


@router.post("/{letter_id}:redrive", status_code=202, operation_id="redrive_dead_letter")
def redrive(letter_id: str, principal: Writing, house: Home) -> wire.Document:
    """Tries again, with a clean record; 409 when its version is no longer the newest."""
    document = house.catalogue.dead_letters.redrive(principal, letter_id)
    house.documents.ring()
    return shown.document(document, house.catalogue.documents.timelines([document.id])[document.id])


@router.delete("/{letter_id}", status_code=204, operation_id="drop_dead_letter")
def drop(letter_id: str, principal: Administering, house: Home) -> Response:
    """Puts it away; its document stays failed."""
    house.catalogue.dead_letters.drop(principal, letter_id)
    return Response(status_code=204)
