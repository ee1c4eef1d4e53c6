"""Routes of the drop folder."""

from __future__ import annotations

from fastapi import APIRouter

from ragstone import models as wire
from retrieval.errors import Forbidden, NotFound
from retrieval.principal import Principal
from services.access import DEFAULT_TENANT
from services.http import shown
from services.http.door import Door
from services.http.house import Administering, Home

router = APIRouter(prefix="/v1", route_class=Door, tags=["drop folder"])


@router.get("/drop-folder", operation_id="get_drop_folder")
def get(principal: Administering, house: Home) -> wire.DropFolder:
    """What the last scan saw: held deletions, refused files, ignored files."""
    _expect_owner(principal)
    return shown.drop_folder(house.catalogue.drop_files.report())


@router.post("/drop-folder:confirm", operation_id="confirm_held_deletions")
def confirm(principal: Administering, house: Home) -> wire.Decided:
    """The held files are gone on purpose: their documents are deleted, also when the folder is empty."""
    _expect_owner(principal)
    return wire.Decided(files=house.catalogue.drop_files.decide_held(delete=True))


@router.post("/drop-folder:discard", operation_id="discard_held_deletions")
def discard(principal: Administering, house: Home) -> wire.Decided:
    """The held files are gone by mistake: their documents stay."""
    _expect_owner(principal)
    return wire.Decided(files=house.catalogue.drop_files.decide_held(delete=False))


def _expect_owner(principal: Principal) -> None:
    """The folder is one tenant's, and its files are of any collection."""
    if principal.tenant != DEFAULT_TENANT:
        raise NotFound("This tenant has no drop folder.")
    if principal.collections is not None:
        raise Forbidden("A key that is restricted to collections cannot see to the drop folder: it is of all of them.")
