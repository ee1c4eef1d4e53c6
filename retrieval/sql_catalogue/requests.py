"""Requests with an idempotency key in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from retrieval.documents import Document
from retrieval.errors import CatalogueUnavailable, InvalidRequest, RequestRunning
from retrieval.requests import KEPT_S, Recording, RequestClaim, RequestName, StoredReply
from retrieval.sql_catalogue.database import Database, again_on_collision, time_of
from retrieval.sql_catalogue.tables import requests


class SqlRequests:
    def __init__(self, database: Database) -> None:
        self._database = database

    @again_on_collision
    def claim(self, claim: RequestClaim, *, digest: str, lease_s: float) -> StoredReply | None:
        with self._database.write() as connection:
            now = time_of(connection)
            found = connection.execute(select(requests).where(_named(claim.name)).with_for_update()).one_or_none()
            if found is not None and found.created_at > now - KEPT_S:
                if found.digest != digest:
                    raise InvalidRequest(
                        "This Idempotency-Key was used for another request: draw a new one for each.",
                        pointer="/Idempotency-Key",
                    )
                if found.status is not None:
                    return StoredReply(found.status, found.body)
                if found.lease_until > now:
                    raise RequestRunning
            if found is not None:
                connection.execute(delete(requests).where(_named(claim.name)))
            connection.execute(
                insert(requests).values(
                    tenant=claim.name.tenant,
                    caller=claim.name.caller,
                    route=claim.name.route,
                    key=claim.name.key,
                    digest=digest,
                    holder=claim.holder,
                    lease_until=now + lease_s,
                    created_at=now,
                )
            )
            return None

    @again_on_collision
    def renew(self, claim: RequestClaim, *, lease_s: float) -> None:
        with self._database.write() as connection:
            until = time_of(connection) + lease_s
            connection.execute(update(requests).where(_held(claim)).values(lease_until=until))

    @again_on_collision
    def keep(self, claim: RequestClaim, reply: StoredReply) -> None:
        with self._database.write() as connection:
            _keep(connection, claim, reply)

    @again_on_collision
    def expire(self, *, limit: int, kept_s: float = KEPT_S) -> int:
        old = select(requests.c.tenant, requests.c.caller, requests.c.route, requests.c.key).order_by(
            requests.c.created_at
        )
        with self._database.write() as connection:
            is_old = requests.c.created_at <= time_of(connection) - kept_s
            found = connection.execute(old.where(is_old).limit(limit)).all()
            for row in found:
                connection.execute(delete(requests).where(_named(RequestName(*row)), is_old))
            return len(found)

    @again_on_collision
    def forget(self, claim: RequestClaim) -> None:
        with self._database.write() as connection:
            connection.execute(delete(requests).where(_held(claim)))


def record(connection: Connection, recording: Recording | None, answers: Sequence[Document | Exception]) -> None:
    """At the end of the transaction that does a request's work."""
    if recording is not None:
        _keep(connection, recording.claim, recording.reply(answers))


def _keep(connection: Connection, claim: RequestClaim, reply: StoredReply) -> None:
    kept = update(requests).where(_held(claim)).values(status=reply.status, body=reply.body)
    if connection.execute(kept.returning(requests.c.key)).one_or_none() is None:
        raise CatalogueUnavailable("This request took so long that another took it over: send it again.")


def _named(name: RequestName) -> ColumnElement[bool]:
    return and_(
        requests.c.tenant == name.tenant,
        requests.c.caller == name.caller,
        requests.c.route == name.route,
        requests.c.key == name.key,
    )


def _held(claim: RequestClaim) -> ColumnElement[bool]:
    """Claimed by this try, and not done."""
    return and_(_named(claim.name), requests.c.holder == claim.holder, requests.c.status.is_(None))
