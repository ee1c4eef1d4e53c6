"""Routes of API keys: an administrator's, for keys of the same tenant."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from ragstone import models as wire
from retrieval.api_keys import make_secret
from retrieval.errors import Conflict, Forbidden
from retrieval.principal import Principal
from services.http import shown
from services.http.collections_api import Cursor, Limit
from services.http.door import Door
from services.http.house import Administering, Home, House
from services.key_making import make_key

router = APIRouter(prefix="/v1/keys", route_class=Door, tags=["access"])

_OVERLAP_S = 86_400
_LONGEST_OVERLAP_S = 30 * 86_400


@router.post("", status_code=201, operation_id="create_key")
def create(body: wire.KeyBody, principal: Administering, house: Home) -> wire.NewKey:
    """A new key of this tenant. The reply shows it, once: only a digest of it is kept."""
    _expect_keys(house, principal)
    key, secret = make_key(
        house.catalogue,
        principal.tenant,
        name=body.name,
        scopes=body.scopes,
        labels=body.labels,
        collections=body.collections,
        expires_at=body.expires_at,
    )
    return shown.new_key(key, secret)


@router.get("", operation_id="list_keys")
def list_(principal: Administering, house: Home, limit: Limit = 50, cursor: Cursor = None) -> wire.Keys:
    """The tenant's keys, newest first, those that have ended too; never the keys themselves."""
    _expect_whole_tenant(principal)
    context = f"keys:{principal.tenant}"
    page = house.catalogue.keys.page(principal.tenant, after=house.cursors.open(cursor, context=context), limit=limit)
    return wire.Keys(
        data=[shown.key(found) for found in page.items], next_cursor=house.cursors.seal(page.next, context=context)
    )


@router.post("/{key_id}:rotate", status_code=201, operation_id="rotate_key")
def rotate(
    key_id: str,
    principal: Administering,
    house: Home,
    overlap_s: Annotated[int, Query(ge=0, le=_LONGEST_OVERLAP_S)] = _OVERLAP_S,
) -> wire.NewKey:
    """Another key that allows the same. The old one works for `overlap_s` seconds more, a day unless told otherwise."""
    _expect_keys(house, principal)
    secret = make_secret()
    return shown.new_key(house.catalogue.keys.rotate(principal.tenant, key_id, secret, overlap_s=overlap_s), secret)


@router.delete("/{key_id}", status_code=204, operation_id="revoke_key", response_class=Response)
def revoke(key_id: str, principal: Administering, house: Home) -> None:
    """Ends a key, within 5 seconds in every process."""
    _expect_whole_tenant(principal)
    house.catalogue.keys.revoke(principal.tenant, key_id)


def _expect_keys(house: House, principal: Principal) -> None:
    if not house.access.needs_key:
        raise Conflict(
            "No key is asked for here: this server was started without one, listens on loopback only, and takes "
            "everybody for its administrator. To ask for one, put 32 to 200 printable characters into a file and name "
            "it in RAGSTONE_BOOTSTRAP_KEY_FILE, or make a key with `python -m services keys create`; and start again."
        )
    _expect_whole_tenant(principal)


def _expect_whole_tenant(principal: Principal) -> None:
    if principal.collections is not None:
        raise Forbidden("A key that is restricted to collections cannot see to keys: it could give itself more.")
