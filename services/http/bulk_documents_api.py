"""Routes of many documents at once: what a filter lets pass is deleted or reprocessed, portion by portion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, Protocol

from fastapi import APIRouter

from ragstone import models as wire
from ragstone.selections import DocumentsToDelete, DocumentsToReprocess
from retrieval.documents import DocumentSelection, Portion
from retrieval.errors import Conflict
from retrieval.principal import Principal
from services.http.door import Door
from services.http.house import Deleting, Home, House, Writing, readable_collection
from services.http.idempotency import Keyed, Once, digest_of
from services.http.search_api import condition_of

# Documents of one transaction: half a second on a busy machine, for everybody else who writes waits for it on SQLite.
_PORTION: Final = 50

router = APIRouter(prefix="/v1", route_class=Door, tags=["documents"])


class _Some(Protocol):
    """The next documents of a selection, at most `limit`."""

    def __call__(self, which: DocumentSelection, *, after: str | None, limit: int) -> Portion: ...


@router.post("/documents:delete", status_code=202, operation_id="delete_documents")
def delete(body: DocumentsToDelete, principal: Deleting, house: Home, once: Once) -> wire.DecidedDocuments:
    """Deletes what the filter lets pass: search stops at once. 409, and nothing is deleted, where that is more than
    `max`."""

    def some(which: DocumentSelection, *, after: str | None, limit: int) -> Portion:
        return house.catalogue.documents.delete_some(principal, which, after=after, limit=limit)

    def work(keyed: Keyed) -> wire.DecidedDocuments:
        which = _selection(house, principal, body.collection, body.filter)
        return _decided(house, principal, which, some, keyed, dry_run=body.dry_run, most=body.max)

    return once.perform(lambda: digest_of(body), work)


@router.post("/documents:reprocess", status_code=202, operation_id="reprocess_documents")
def reprocess(body: DocumentsToReprocess, principal: Writing, house: Home, once: Once) -> wire.DecidedDocuments:
    """Parses and embeds again what the filter lets pass, as new versions; files that were refused before they were
    stored are left."""
    fingerprint = house.documents.fingerprint

    def some(which: DocumentSelection, *, after: str | None, limit: int) -> Portion:
        documents = house.catalogue.documents
        return documents.reprocess_some(principal, which, fingerprint=fingerprint, after=after, limit=limit)

    def work(keyed: Keyed) -> wire.DecidedDocuments:
        which = _selection(house, principal, body.collection, body.filter)
        return _decided(house, principal, which, some, keyed, dry_run=body.dry_run)

    return once.perform(lambda: digest_of(body), work)


def _selection(house: House, principal: Principal, collection: str, raw: dict[str, Any] | None) -> DocumentSelection:
    found = readable_collection(house, principal, collection)
    return DocumentSelection(collection_id=found.id, condition=condition_of(raw))


def _decided(
    house: House,
    principal: Principal,
    which: DocumentSelection,
    some: _Some,
    keyed: Keyed,
    *,
    dry_run: bool,
    most: int | None = None,
) -> wire.DecidedDocuments:
    with house.documents.permits.one():
        matched, moment = house.catalogue.documents.count(principal, which)
        if most is not None and matched > most:
            raise Conflict(f"{matched} documents match, more than max allows ({most}): nothing was done.")
        portions = _portions(house, replace(which, until=moment), some, keyed, most=most)
        accepted = 0 if dry_run else sum(portions)
    return wire.DecidedDocuments(matched=matched, accepted=accepted)


def _portions(house: House, which: DocumentSelection, some: _Some, keyed: Keyed, *, most: int | None) -> Iterator[int]:
    """To how many it happened, portion by portion; never to more than `most`, however many match by then."""
    after: str | None = None
    left = most
    while left is None or left > 0:
        keyed.renew()
        portion = some(which, after=after, limit=_PORTION if left is None else min(_PORTION, left))
        house.documents.ring()
        yield portion.decided
        after = portion.next
        left = None if left is None else left - portion.decided
        if after is None:
            return
