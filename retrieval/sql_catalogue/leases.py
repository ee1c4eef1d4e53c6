"""Named leases in SQL: one holder at a time for what must not run twice (dispatcher, janitor, watcher)."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, delete, or_, select

from retrieval.errors import CatalogueUnavailable
from retrieval.sql_catalogue import ledger
from retrieval.sql_catalogue.database import Database, again_on_collision
from retrieval.sql_catalogue.tables import leases


class SqlLeases:
    def __init__(self, database: Database) -> None:
        self._database = database

    @again_on_collision
    def hold(self, name: str, *, holder: str, seconds: float) -> bool:
        with self._database.write() as connection:
            now = self._database.clock
            statement = ledger.upsert(connection, leases).values(name=name, holder=holder, until=now + seconds)
            taken = connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["name"],
                    set_={"holder": statement.excluded.holder, "until": now + seconds},
                    where=or_(leases.c.holder == holder, leases.c.until < now),
                ).returning(leases.c.name)
            )
            return taken.one_or_none() is not None

    @again_on_collision
    def release(self, name: str, *, holder: str) -> None:
        with self._database.write() as connection:
            connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


def holds(name: str, holder: str) -> Callable[[Connection], None]:
    """The check that a transaction of the lease's holder begins with.

    It keeps the lease's row until that transaction ends, so whoever takes the lease over waits for it; one that comes
    after the lease was taken over, or given back, is refused.
    """
    query = select(leases.c.holder).where(leases.c.name == name).with_for_update(read=True)

    def check(connection: Connection) -> None:
        if connection.execute(query).scalar_one_or_none() != holder:
            raise CatalogueUnavailable(f"The lease {name} was lost meanwhile: this late write changes nothing.")

    return check
