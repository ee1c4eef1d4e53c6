"""Collections in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from retrieval.catalogue import UNSET, Unset
from retrieval.documents import Collection, CollectionStatistics, DocumentState
from retrieval.errors import Conflict, NotFound
from retrieval.page import Page
from retrieval.principal import Principal
from retrieval.sql_catalogue import ledger
from retrieval.sql_catalogue.database import Database, again_on_collision, time_of
from retrieval.sql_catalogue.remembered import Remembered
from retrieval.sql_catalogue.rows import as_collection
from retrieval.sql_catalogue.sql_filters import SqlConditions
from retrieval.sql_catalogue.tables import collections, documents
from retrieval.sql_catalogue.visibility import may_see

_TENANTS_KNOWN = 1_000


class SqlCollections:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._conditions = SqlConditions(sqlite=database.is_sqlite, fields=documents.c.fields)
        self._known: Remembered[str, Sequence[Collection]] = Remembered(database.changes, most=_TENANTS_KNOWN)

    def create(
        self,
        tenant: str,
        name: str,
        *,
        description: str | None = None,
        default_readers: tuple[str, ...] | None = None,
        metadata_schema: Mapping[str, Any] | None = None,
    ) -> Collection:
        row = {
            "id": str(uuid4()),
            "tenant": tenant,
            "name": name,
            "description": description,
            "default_readers": None if default_readers is None else list(default_readers),
            "metadata_schema": metadata_schema,
            "deleting": False,
        }
        try:
            with self._database.write() as connection:
                connection.execute(insert(collections).values(**row, created_at=time_of(connection)))
        except IntegrityError as error:
            raise Conflict(
                f"A collection {name} exists, or is still being deleted; its name is free when its documents are gone."
            ) from error
        return self._one(tenant, name)

    def by_name(self, tenant: str, name: str) -> Collection:
        found = self._one(tenant, name)
        if found.deleting:
            raise NotFound(f"There is no collection {name}.")
        return found

    def _one(self, tenant: str, name: str) -> Collection:
        with self._database.read() as connection:
            row = connection.execute(
                select(collections).where(
                    collections.c.tenant == tenant, collections.c.name == name, collections.c.deleted_at.is_(None)
                )
            ).one_or_none()
        if row is None:
            raise NotFound(f"There is no collection {name}.")
        return as_collection(row)

    def readable(self, principal: Principal, names: Sequence[str] | None = None) -> list[Collection]:
        found = [
            collection
            for collection in self._present(principal.tenant)
            if (principal.collections is None or collection.id in principal.collections)
            and (names is None or collection.name in names)
        ]
        missing = set(names or ()) - {collection.name for collection in found}
        if missing:
            raise NotFound(f"There is no collection {min(missing)}.")
        return found

    def _present(self, tenant: str) -> Sequence[Collection]:
        """The tenant's collections by name, as of now: read again only when somebody may have committed since."""
        known = self._known.now()
        if tenant not in known:
            query = select(collections).where(collections.c.tenant == tenant, collections.c.deleting.is_(False))
            with self._database.read() as connection:
                known[tenant] = [as_collection(row) for row in connection.execute(query.order_by(collections.c.name))]
        return known[tenant]

    def ever_named(self, principal: Principal, name: str) -> list[Collection]:
        query = select(collections).where(collections.c.tenant == principal.tenant, collections.c.name == name)
        if principal.collections is not None:
            query = query.where(collections.c.id.in_(principal.collections))
        with self._database.read() as connection:
            found = [as_collection(row) for row in connection.execute(query.order_by(collections.c.created_at))]
        if not found:
            raise NotFound(f"There is no collection {name}.")
        return found

    def page(self, principal: Principal, *, after: str | None, limit: int) -> Page[Collection]:
        query = select(collections).where(collections.c.tenant == principal.tenant, collections.c.deleting.is_(False))
        if principal.collections is not None:
            query = query.where(collections.c.id.in_(principal.collections))
        if after is not None:
            query = query.where(collections.c.name > after)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(collections.c.name).limit(limit + 1)).all()
        items = [as_collection(row) for row in rows[:limit]]
        return Page(items, items[-1].name if len(rows) > limit else None)

    @again_on_collision
    def update(
        self,
        tenant: str,
        name: str,
        *,
        description: str | Unset | None = UNSET,
        default_readers: tuple[str, ...] | Unset | None = UNSET,
        metadata_schema: Mapping[str, Any] | Unset | None = UNSET,
    ) -> Collection:
        given = {"description": description, "default_readers": default_readers, "metadata_schema": metadata_schema}
        values = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in given.items()
            if not isinstance(value, Unset)
        }
        found = self.by_name(tenant, name)
        if values:
            with self._database.write() as connection:
                connection.execute(update(collections).where(collections.c.id == found.id).values(**values))
        return self.by_name(tenant, name)

    @again_on_collision
    def delete(self, tenant: str, name: str) -> Collection:
        with self._database.write() as connection:
            changed = connection.execute(
                update(collections)
                .where(collections.c.tenant == tenant, collections.c.name == name, collections.c.deleting.is_(False))
                .values(deleting=True)
            )
        if not changed.rowcount:
            raise NotFound(f"There is no collection {name}.")
        return self._one(tenant, name)

    @again_on_collision
    def take_deletions(self, *, limit: int) -> int:
        doomed_ones = select(collections).where(collections.c.deleting.is_(True), collections.c.deleted_at.is_(None))
        with self._database.read() as connection:
            if not connection.execute(doomed_ones.limit(1)).all():
                return 0
        with self._database.write() as connection:
            doomed = connection.execute(doomed_ones.order_by(collections.c.id).with_for_update()).all()
            taken = 0
            for collection in doomed:
                taken += self._take(connection, collection, limit=limit - taken)
            return taken

    def _take(self, connection: Connection, collection: Row[Any], *, limit: int) -> int:
        here = documents.c.collection_id == collection.id
        rows = connection.execute(
            select(documents)
            .where(here, documents.c.state.not_in([DocumentState.DELETING.value, DocumentState.DELETED.value]))
            .order_by(documents.c.id)
            .limit(limit)
            .with_for_update()
        ).all()
        now = time_of(connection)
        for row in rows:
            ledger.bury(connection, dict(row._mapping), now=now)
        remaining = connection.execute(
            select(func.count()).select_from(documents).where(here, documents.c.state != DocumentState.DELETED.value)
        ).scalar_one()
        if not remaining:
            connection.execute(update(collections).where(collections.c.id == collection.id).values(deleted_at=now))
        return len(rows)

    def statistics(self, principal: Principal, collection: Collection) -> CollectionStatistics:
        live = documents.c.live_version.is_not(None)
        query = (
            select(
                documents.c.state,
                func.count().label("documents"),
                func.count().filter(live).label("live"),
                func.coalesce(func.sum(documents.c.chunks).filter(live), 0).label("chunks"),
                func.coalesce(func.sum(documents.c.bytes).filter(live), 0).label("bytes"),
            )
            .where(documents.c.collection_id == collection.id, may_see(self._conditions, principal))
            .group_by(documents.c.state)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        by_state = {row.state: row.documents for row in rows}
        return CollectionStatistics(
            total=sum(by_state.values()) - by_state.get(DocumentState.DELETED.value, 0),
            live=sum(row.live for row in rows),
            by_state=by_state,
            chunks=int(sum(row.chunks for row in rows)),
            bytes=int(sum(row.bytes for row in rows)),
        )
