"""Idempotency keys: a POST that is sent again under the same key gets the same reply, and its work is done once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeVar, cast
from uuid import uuid4

from fastapi import Depends, Header, Request
from fastapi.responses import Response
from pydantic import BaseModel

from retrieval.documents import Document
from retrieval.errors import InvalidRequest
from retrieval.principal import Principal
from retrieval.requests import Recording, RequestClaim, RequestName, StoredReply
from services.http.house import House, house_behind

# The work of one transaction takes a fraction of it; work of many renews it.
LEASE_S: Final = 60.0
_KEY_CHARS: Final = 255
_ACCEPTED: Final = 202


Reply = TypeVar("Reply", bound=BaseModel)


class Keyed:
    """What of a request its idempotency key is about; without one, nothing is kept."""

    def __init__(self, house: House, principal: Principal, route: str, key: str | None) -> None:
        self._house = house
        self._is_recorded = False
        self._claim = (
            None if key is None else RequestClaim(RequestName(principal.tenant, principal.key, route, key), uuid4().hex)
        )

    def perform(self, sent: Callable[[], str], work: Callable[[Keyed], Reply]) -> Reply:
        """The reply of `work`, or of the time it was done before; with a key a finished response, which the framework
        sends as it is. `sent` gives a digest of what the caller sent. What is refused is not kept: it may be sent
        again under the same key."""
        claim, requests = self._claim, self._house.catalogue.requests
        if claim is None:
            return work(self)
        done = requests.claim(claim, digest=sent(), lease_s=LEASE_S)
        if done is not None:
            return cast(Reply, _response(done, replayed=True))
        try:
            reply = _stored(work(self))
            if not self._is_recorded:
                requests.keep(claim, reply)
        except BaseException:
            requests.forget(claim)
            raise
        return cast(Reply, _response(reply, replayed=False))

    def recording(self, reply: Callable[[Sequence[Document | Exception]], BaseModel]) -> Recording | None:
        """For work that is one transaction, which then keeps the reply itself."""
        if self._claim is None:
            return None

        def recorded(answers: Sequence[Document | Exception]) -> StoredReply:
            self._is_recorded = True
            return _stored(reply(answers))

        return Recording(self._claim, recorded)

    def renew(self) -> None:
        """Between two portions of work that takes many."""
        if self._claim is not None:
            self._house.catalogue.requests.renew(self._claim, lease_s=LEASE_S)


def digest_of(*parts: object) -> str:
    """Of what was sent, part by part: texts, numbers, digests, or nothing."""
    return hashlib.sha256(json.dumps(parts, default=str).encode(errors="surrogatepass")).hexdigest()


async def _keyed(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="Up to 255 printable ASCII characters, drawn for this request: sent again within 24 hours, it "
            "gets the same reply.",
        ),
    ] = None,
) -> Keyed:
    if key is not None and not (0 < len(key) <= _KEY_CHARS and key.isascii() and key.isprintable()):
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {_KEY_CHARS} printable ASCII characters.", pointer="/Idempotency-Key"
        )
    principal: Principal = request.state.principal  # the door's
    return Keyed(house_behind(request), principal, f"{request.method} {request.url.path}", key)


Once = Annotated[Keyed, Depends(_keyed)]


def _stored(reply: BaseModel) -> StoredReply:
    return StoredReply(_ACCEPTED, reply.model_dump_json())


def _response(reply: StoredReply, *, replayed: bool) -> Response:
    headers = {"Idempotency-Replayed": "true"} if replayed else {}
    return Response(reply.body, reply.status, headers, media_type="application/json")
