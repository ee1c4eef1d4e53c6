"""Which blobs exist and which are needed, in SQL."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select

from retrieval.sql_catalogue import ledger
from retrieval.sql_catalogue.database import Database, again_on_collision, stay_open
from retrieval.sql_catalogue.tables import blobs, versions


class SqlBlobRecords:
    def __init__(self, database: Database) -> None:
        self._database = database

    @again_on_collision
    def touch(self, tenant: str, digest: str) -> None:
        with self._database.write() as connection:
            now = self._database.clock
            statement = ledger.upsert(connection, blobs).values(tenant=tenant, digest=digest, touched_at=now)
            connection.execute(
                statement.on_conflict_do_update(index_elements=["tenant", "digest"], set_={"touched_at": now})
            )

    def sweep(self, remove: Callable[[str, str], None], *, untouched_since: float, limit: int) -> int:
        with self._database.write() as connection:
            stay_open(connection)
            sweepable = select(blobs.c.tenant, blobs.c.digest).where(_sweepable(untouched_since)).limit(limit)
            # One that is being touched now is not to be swept.
            found = connection.execute(sweepable.with_for_update(skip_locked=True)).all()
            for row in found:
                # The row first, which proves that it is still ours; its bytes within the transaction: whoever touches
                # the blob again waits, and puts it anew.
                connection.execute(delete(blobs).where(blobs.c.tenant == row.tenant, blobs.c.digest == row.digest))
                remove(row.tenant, row.digest)
            return len(found)


def _sweepable(untouched_since: float) -> ColumnElement[bool]:
    needed = exists(
        select(1).where(
            versions.c.tenant == blobs.c.tenant,
            or_(versions.c.sha256 == blobs.c.digest, versions.c.chunk_file == blobs.c.digest),
        )
    )
    return and_(blobs.c.touched_at < untouched_since, ~needed)
