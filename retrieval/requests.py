"""Requests with an idempotency key: whoever sends one again gets the same reply, and nothing happens twice.

A request is claimed before its work and kept with its reply in the transaction that does the work, so that neither is
ever there without the other. A claim that nobody finishes is free again after its lease.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from retrieval.documents import Document

KEPT_S = 24 * 3600.0
"""How long a reply is given again."""


@dataclass(frozen=True, slots=True)
class RequestName:
    """`caller` is the id of the API key, `route` method and path, `key` what the caller calls this request."""

    tenant: str
    caller: str
    route: str
    key: str


@dataclass(frozen=True, slots=True)
class StoredReply:
    status: int
    body: str


@dataclass(frozen=True, slots=True)
class RequestClaim:
    """`holder` is drawn for each try, so that one that was taken over keeps nothing."""

    name: RequestName
    holder: str


@dataclass(frozen=True, slots=True)
class Recording:
    """For the transaction that does the work: what to keep of it. `reply` is asked within, and must ask nobody else."""

    claim: RequestClaim
    reply: Callable[[Sequence[Document | Exception]], StoredReply]


class Requests(Protocol):
    def claim(self, claim: RequestClaim, *, digest: str, lease_s: float) -> StoredReply | None:
        """The reply, if the request was done before. None: it is claimed now. Raises `RequestRunning`, or
        `InvalidRequest` if what was sent under this name had another digest."""
        ...

    def renew(self, claim: RequestClaim, *, lease_s: float) -> None:
        """It is still at work."""
        ...

    def keep(self, claim: RequestClaim, reply: StoredReply) -> None:
        """For work that is not one transaction. Raises `CatalogueUnavailable` if the claim was lost."""
        ...

    def expire(self, *, limit: int, kept_s: float = KEPT_S) -> int:
        """Puts away what is older than its time, at most `limit` of it; how many."""
        ...

    def forget(self, claim: RequestClaim) -> None:
        """It was refused, and may be tried again."""
        ...
