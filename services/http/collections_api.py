"""Routes of collections."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from ingest.intake import check_readers
from ragstone import models as wire
from retrieval.documents import Collection
from retrieval.principal import Principal
from services.http import shown
from services.http.door import Door
from services.http.house import Deleting, Home, House, Reading, Writing, readable_collection
from services.http.metadata_schemas import check_metadata_schema

router = APIRouter(prefix="/v1/collections", route_class=Door, tags=["collections"])

Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=2_000)]


@router.post("", status_code=201, operation_id="create_collection")
def create(body: wire.NewCollection, principal: Writing, house: Home) -> wire.Collection:
    """A new, empty collection."""
    created = house.catalogue.collections.create(
        principal.tenant,
        body.name,
        description=body.description,
        default_readers=_readers(house, body.default_readers),
        metadata_schema=_schema(body.metadata_schema),
    )
    return _shown(house, principal, created)


@router.get("", operation_id="list_collections")
def list_(principal: Reading, house: Home, limit: Limit = 50, cursor: Cursor = None) -> wire.Collections:
    """The collections one may read, by name."""
    context = f"collections:{principal.tenant}"
    page = house.catalogue.collections.page(principal, after=house.cursors.open(cursor, context=context), limit=limit)
    return wire.Collections(
        data=[_shown(house, principal, found) for found in page.items],
        next_cursor=house.cursors.seal(page.next, context=context),
    )


@router.get("/{collection}", operation_id="get_collection")
def get(collection: str, principal: Reading, house: Home) -> wire.Collection:
    """One collection with its counts."""
    return _shown(house, principal, readable_collection(house, principal, collection))


@router.patch("/{collection}", operation_id="update_collection")
def patch(collection: str, body: wire.CollectionChange, principal: Writing, house: Home) -> wire.Collection:
    """Changes what is named in the body; new default readers hold for later documents."""
    readable_collection(house, principal, collection)
    given: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    if "default_readers" in given:
        given["default_readers"] = _readers(house, body.default_readers)
    if "metadata_schema" in given:
        given["metadata_schema"] = _schema(body.metadata_schema)
    return _shown(house, principal, house.catalogue.collections.update(principal.tenant, collection, **given))


@router.delete("/{collection}", status_code=202, operation_id="delete_collection")
def delete(collection: str, principal: Deleting, house: Home) -> wire.Collection:
    """Deletes the collection with its documents: search stops at once, the name is free when they are gone."""
    found = readable_collection(house, principal, collection)
    shown_before = _shown(house, principal, found)
    house.catalogue.collections.delete(principal.tenant, collection)
    house.documents.ring()
    return shown_before


def _shown(house: House, principal: Principal, found: Collection) -> wire.Collection:
    return shown.collection(found, house.catalogue.collections.statistics(principal, found), house.documents.spec)


def _readers(house: House, readers: list[str] | None) -> tuple[str, ...] | None:
    if readers is None:
        return None
    check_readers(readers, limit=house.documents.intake.limits.readers, pointer="/default_readers")
    return tuple(readers)


def _schema(schema: dict[str, Any] | None) -> dict[str, Any] | None:
    if schema is not None:
        check_metadata_schema(schema)
    return schema
