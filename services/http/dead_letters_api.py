"""Routes of dead letters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Query
from fastapi.responses import Response

from ragstone import models as wire
from retrieval.documents import LetterSelection
from retrieval.errors import InvalidRequest
from retrieval.filters import parse_time
from retrieval.principal import Principal
from services.http import shown
from services.http.collections_api import Cursor, Limit
from services.http.door import Door
from services.http.house import Administering, Home, House, Reading, Writing, readable_collection
from services.http.idempotency import Keyed, Once, digest_of

# Letters that are decided in one transaction: short enough for everybody else who writes, and within what SQLite takes
# of parameters.
_PORTION: Final = 500

router = APIRouter(prefix="/v1", route_class=Door, tags=["dead letters"])


@router.get("/dead-letters", operation_id="list_dead_letters")
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


@router.get("/dead-letters/{letter_id}", operation_id="get_dead_letter")
def get(letter_id: str, principal: Reading, house: Home) -> wire.DeadLetter:
    """One dead letter with its evidence."""
    return shown.dead_letter(house.catalogue.dead_letters.get(principal, letter_id))


@router.post("/dead-letters/{letter_id}:redrive", status_code=202, operation_id="redrive_dead_letter")
def redrive(letter_id: str, principal: Writing, house: Home, once: Once) -> wire.Document:
    """Tries again, with a clean record; 409 when its version is no longer the newest."""

    def work(keyed: Keyed) -> wire.Document:
        document_id = house.catalogue.dead_letters.get(principal, letter_id).document_id
        timeline = house.catalogue.documents.timelines([document_id])[document_id]
        recording = keyed.recording(lambda answers: shown.only_document(answers, timeline))
        document = house.catalogue.dead_letters.redrive(principal, letter_id, recording=recording)
        house.documents.ring()
        return shown.document(document, timeline)

    return once.perform(digest_of, work)


@router.delete("/dead-letters/{letter_id}", status_code=204, operation_id="drop_dead_letter")
def drop(letter_id: str, principal: Administering, house: Home) -> Response:
    """Puts it away; its document stays failed."""
    house.catalogue.dead_letters.drop(principal, letter_id)
    return Response(status_code=204)


@router.post("/dead-letters:redrive", status_code=202, operation_id="redrive_dead_letters")
def redrive_many(body: wire.DeadLetterSelection, principal: Writing, house: Home, once: Once) -> wire.DecidedLetters:
    """Tries all of them again, with a clean record; those that come meanwhile are left, and so are files that were
    refused before they were stored."""
    letters = house.catalogue.dead_letters

    def work(keyed: Keyed) -> wire.DecidedLetters:
        def some(which: LetterSelection) -> int:
            keyed.renew()
            redriven = letters.redrive_some(principal, which, limit=_PORTION)
            house.documents.ring()
            return redriven

        which = _selection(body, house, principal, redrivable=True)
        return _decided(house, principal, which, some, dry_run=body.dry_run)

    return once.perform(lambda: digest_of(body), work)


@router.post("/dead-letters:drop", operation_id="drop_dead_letters")
def drop_many(body: wire.DeadLetterSelection, principal: Administering, house: Home) -> wire.DecidedLetters:
    """Puts all of them away; their documents stay failed."""
    which = _selection(body, house, principal, redrivable=False)
    letters = house.catalogue.dead_letters
    return _decided(
        house,
        principal,
        which,
        lambda which: letters.drop_some(principal, which, limit=_PORTION),
        dry_run=body.dry_run,
    )


def _selection(
    body: wire.DeadLetterSelection, house: House, principal: Principal, *, redrivable: bool
) -> LetterSelection:
    found = None if body.collection is None else readable_collection(house, principal, body.collection)
    return LetterSelection(
        collection_id=None if found is None else found.id,
        code=body.code,
        since=_moment(body.since, pointer="/since"),
        until=_moment(body.until, pointer="/until"),
        redrivable=redrivable,
    )


def _moment(said: str | None, *, pointer: str) -> float | None:
    if said is None:
        return None
    seconds = parse_time(said)
    if seconds is None:
        raise InvalidRequest("This takes an RFC 3339 date or date-time.", pointer=pointer)
    return seconds


def _decided(
    house: House, principal: Principal, which: LetterSelection, some: Callable[[LetterSelection], int], *, dry_run: bool
) -> wire.DecidedLetters:
    matched, moment = house.catalogue.dead_letters.count(principal, which)
    accepted = 0
    if not dry_run:
        which = replace(which, until=moment if which.until is None else min(moment, which.until))
        while decided := some(which):
            accepted += decided
    return wire.DecidedLetters(matched=matched, accepted=accepted)
