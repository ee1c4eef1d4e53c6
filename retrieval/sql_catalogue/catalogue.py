"""The `Catalogue` port on SQL: its nouns over one database."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from retrieval.catalogue import BoundModel
from retrieval.errors import Conflict
from retrieval.sql_catalogue import schema
from retrieval.sql_catalogue.blob_records import SqlBlobRecords
from retrieval.sql_catalogue.collections import SqlCollections
from retrieval.sql_catalogue.database import Database, again_on_collision
from retrieval.sql_catalogue.dead_letters import SqlDeadLetters
from retrieval.sql_catalogue.documents import SqlDocuments
from retrieval.sql_catalogue.drop_files import SqlDropFiles
from retrieval.sql_catalogue.keys import SqlKeys
from retrieval.sql_catalogue.leases import SqlLeases, holds
from retrieval.sql_catalogue.ledger import RetryPolicy
from retrieval.sql_catalogue.requests import SqlRequests
from retrieval.sql_catalogue.tables import facts
from retrieval.sql_catalogue.tasks import SqlTasks

_SPEC = "embedding.spec"
_ARCHIVE = "embedding.archive"


class SqlCatalogue:
    """Opens the database at `url`, such as "sqlite:////data/catalogue.db" or "postgresql://user:password@host/database".

    `migrate` is for the process that may; the others are refused (`Conflict`) by a schema that is not theirs.
    """

    def __init__(self, url: str, *, policy: RetryPolicy | None = None, migrate: bool = False) -> None:
        self._policy = policy or RetryPolicy()
        database = Database(url)
        try:
            if migrate:
                schema.migrate(database)
            else:
                schema.check(database)
        except BaseException:
            database.close()
            raise
        self._speak_for(database)

    def _speak_for(self, database: Database) -> None:
        self._database = database
        self.collections = SqlCollections(database)
        self.documents = SqlDocuments(database)
        self.tasks = SqlTasks(database, self._policy)
        self.dead_letters = SqlDeadLetters(database)
        self.drop_files = SqlDropFiles(database)
        self.leases = SqlLeases(database)
        self.blobs = SqlBlobRecords(database)
        self.keys = SqlKeys(database)
        self.requests = SqlRequests(database)

    def fenced(self, lease: str, *, holder: str) -> SqlCatalogue:
        fenced = copy.copy(self)
        fenced._speak_for(self._database.checked(holds(lease, holder)))
        fenced.leases = self.leases  # or nobody could take the lease that he must hold to write
        return fenced

    def changes(self) -> int:
        return self._database.changes()

    @again_on_collision
    def bind_model(self, spec: Mapping[str, Any], *, archive: str | None = None) -> None:
        with self._database.write() as connection:
            bound = _fact(connection, _SPEC)
            if bound is None:
                connection.execute(insert(facts).values(name=_SPEC, value=dict(spec)))
            elif bound != dict(spec):
                raise Conflict(
                    f"This data was embedded with {bound.get('model')} (digest {str(bound.get('digest'))[:12]}), and "
                    f"{spec.get('model')} (digest {str(spec.get('digest'))[:12]}) is configured: set "
                    "RAGSTONE_EMBEDDER__MODEL back, or start on an empty RAGSTONE_DATA and send the documents again."
                )
            if archive is not None:
                connection.execute(delete(facts).where(facts.c.name == _ARCHIVE))
                connection.execute(insert(facts).values(name=_ARCHIVE, value={"sha256": archive}))

    def bound_model(self) -> BoundModel | None:
        with self._database.snapshot() as connection:
            spec, archive = _fact(connection, _SPEC), _fact(connection, _ARCHIVE)
        return None if spec is None else BoundModel(spec, None if archive is None else archive["sha256"])

    def healthy(self) -> None:
        with self._database.read() as connection:
            connection.execute(select(1))

    def close(self) -> None:
        self._database.close()


def _fact(connection: Connection, name: str) -> dict[str, Any] | None:
    value: dict[str, Any] | None = connection.execute(
        select(facts.c.value).where(facts.c.name == name)
    ).scalar_one_or_none()
    return value
