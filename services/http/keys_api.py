"""The route of keys. This version makes none, and says what to do instead."""

from __future__ import annotations

from typing import NoReturn

from fastapi import APIRouter

from retrieval.errors import Conflict
from services.http.door import Door
from services.http.house import Administering, Home

router = APIRouter(prefix="/v1/keys", route_class=Door, tags=["access"])


# Not in the description: that says what a call answers with when it works.
@router.post("", operation_id="create_key", response_model=None, include_in_schema=False)
def create(principal: Administering, house: Home) -> NoReturn:
    """Always a 409 with the remedy."""
    if house.access.needs_key:
        raise Conflict(
            "This version knows one key, that of RAGSTONE_BOOTSTRAP_KEY_FILE; more of them come with a later version."
        )
    raise Conflict(
        "No key is asked for here: this server was started without one, listens on loopback only, and takes everybody "
        "for its administrator. To ask for one, put 32 to 200 printable characters into a file, name it in "
        "RAGSTONE_BOOTSTRAP_KEY_FILE, and start again."
    )
