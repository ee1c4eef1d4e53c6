"""Which blobs exist and which are needed, in SQL."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select

from retrieval.sql_catalogue import ledger
from retrieval.sql_catalogue.database import Database
from retrieval.sql_catalogue.tables import blobs, versions


class SqlBlobRecords:
    def __init__(self, database: Database) -> None:
        self._database = database

    def touch(self, tenant: str, digest: str) -> None:
        with self._database.write() as connection:
            statement = ledger.upsert(connection, blobs).values(tenant=tenant, digest=digest, touched_at=time.time())
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["tenant", "digest"], set_={"touched_at": statement.excluded.touched_at}
                )
            )

    def sweep(self, remove: Callable[[str, str], None], *, untouched_since: float, limit: int) -> int:
        with self._database.write() as connection:
            condition = _sweepable(untouched_since)
            found = connection.execute(select(blobs.c.tenant, blobs.c.digest).where(condition).limit(limit)).all()
            for row in found:
                # Within the transaction: whoever touches the blob again waits, and puts it anew.
                remove(row.tenant, row.digest)
                connection.execute(delete(blobs).where(blobs.c.tenant == row.tenant, blobs.c.digest == row.digest))
            return len(found)


def _sweepable(untouched_since: float) -> ColumnElement[bool]:
    needed = exists(
        select(1).where(
            versions.c.tenant == blobs.c.tenant,
            or_(versions.c.sha256 == blobs.c.digest, versions.c.chunk_file == blobs.c.digest),
        )
    )
    return and_(blobs.c.touched_at < untouched_since, ~needed)
