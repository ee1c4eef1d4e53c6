"""Named leases in SQL: one holder at a time for what must not run twice (dispatcher, janitor, watcher)."""

from __future__ import annotations

import time

from sqlalchemy import delete, or_

from retrieval.sql_catalogue import ledger
from retrieval.sql_catalogue.database import Database
from retrieval.sql_catalogue.tables import leases


class SqlLeases:
    def __init__(self, database: Database) -> None:
        self._database = database

    def hold(self, name: str, *, holder: str, seconds: float) -> bool:
        now = time.time()
        with self._database.write() as connection:
            statement = ledger.upsert(connection, leases).values(name=name, holder=holder, until=now + seconds)
            changed = connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["name"],
                    set_={"holder": statement.excluded.holder, "until": statement.excluded.until},
                    where=or_(leases.c.holder == holder, leases.c.until < now),
                )
            )
            return bool(changed.rowcount)

    def release(self, name: str, *, holder: str) -> None:
        with self._database.write() as connection:
            connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))
