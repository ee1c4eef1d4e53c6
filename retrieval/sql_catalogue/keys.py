"""API keys in SQL."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, exists, insert, select, update

from retrieval.api_keys import ApiKey, KeyGrant, digest_of, hint_of
from retrieval.errors import Conflict, NotFound
from retrieval.page import Page
from retrieval.principal import Scope
from retrieval.sql_catalogue.database import Database, again_on_collision, time_of
from retrieval.sql_catalogue.paging import newest_first
from retrieval.sql_catalogue.tables import api_keys


class SqlKeys:
    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, grant: KeyGrant, secret: str) -> ApiKey:
        with self._database.write() as connection:
            return _created(connection, grant, secret, now=time_of(connection))

    def any(self) -> bool:
        with self._database.read() as connection:
            return bool(connection.execute(select(exists().select_from(api_keys))).scalar_one())

    def by_secret(self, secret: str) -> ApiKey | None:
        with self._database.read() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.digest == digest_of(secret))).one_or_none()
        return None if row is None else _as_key(row)

    def page(self, tenant: str, *, after: str | None, limit: int) -> Page[ApiKey]:
        query = select(api_keys).where(api_keys.c.tenant == tenant)
        with self._database.read() as connection:
            return newest_first(connection, query, api_keys, _as_key, after=after, limit=limit)

    @again_on_collision
    def rotate(self, tenant: str, key_id: str, secret: str, *, overlap_s: float) -> ApiKey:
        with self._database.write() as connection:
            now = time_of(connection)
            old = _as_key(_one(connection, tenant, key_id))
            ends = old.grant.expires_at
            if old.revoked_at is not None or (ends is not None and ends <= now):
                raise Conflict(f"The key {old.grant.name} is no longer in force: make another.")
            made = _created(connection, old.grant, secret, now=now)
            until = now + overlap_s if ends is None else min(ends, now + overlap_s)
            connection.execute(update(api_keys).where(api_keys.c.id == old.id).values(expires_at=until))
            return made

    @again_on_collision
    def revoke(self, tenant: str, key_id: str) -> None:
        with self._database.write() as connection:
            found = _one(connection, tenant, key_id)
            if found.revoked_at is None:
                now = time_of(connection)
                connection.execute(update(api_keys).where(api_keys.c.id == found.id).values(revoked_at=now))


def _created(connection: Connection, grant: KeyGrant, secret: str, *, now: float) -> ApiKey:
    made = ApiKey(str(uuid4()), hint_of(secret), grant, created_at=now, revoked_at=None)
    connection.execute(
        insert(api_keys).values(
            id=made.id,
            tenant=grant.tenant,
            name=grant.name,
            digest=digest_of(secret),
            hint=made.hint,
            scopes=sorted(grant.scopes),
            labels=sorted(grant.labels),
            collections=None if grant.collections is None else dict(grant.collections),
            created_at=now,
            expires_at=grant.expires_at,
        )
    )
    return made


def _one(connection: Connection, tenant: str, key_id: str) -> Row[Any]:
    query = select(api_keys).where(api_keys.c.tenant == tenant, api_keys.c.id == key_id).with_for_update()
    found = connection.execute(query).one_or_none()
    if found is None:
        raise NotFound("There is no such key.")
    return found


def _as_key(row: Row[Any]) -> ApiKey:
    grant = KeyGrant(
        row.tenant,
        row.name,
        frozenset(Scope(scope) for scope in row.scopes),
        frozenset(row.labels),
        row.collections,
        row.expires_at,
    )
    return ApiKey(row.id, row.hint, grant, row.created_at, row.revoked_at)
