"""Cursors: where the next page of a list starts, opaque to callers and signed, so that nobody can make one up."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from retrieval.errors import InvalidRequest

_TAG_BYTES = 16


class Cursors:
    """Bound to what the list is of (`context`): a cursor of one list is no cursor of another."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def seal(self, place: str | None, *, context: str) -> str | None:
        return None if place is None else self._sealed(place, context)

    def open(self, cursor: str | None, *, context: str) -> str | None:
        if cursor is None:
            return None
        try:
            place = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[_TAG_BYTES:].decode()
        except (binascii.Error, ValueError) as error:
            raise InvalidRequest("The cursor is none of ours.", pointer="/cursor") from error
        # Letter for letter: decoding alone lets pass what is no base64.
        sealed = self._sealed(place, context)
        if not hmac.compare_digest(cursor.encode(), sealed.encode()):
            raise InvalidRequest("The cursor is none of this list's.", pointer="/cursor")
        return place

    def _sealed(self, place: str, context: str) -> str:
        return base64.urlsafe_b64encode(self._tag(place, context) + place.encode()).decode().rstrip("=")

    def _tag(self, place: str, context: str) -> bytes:
        return hmac.new(self._secret, f"{context}\0{place}".encode(), hashlib.sha256).digest()[:_TAG_BYTES]
