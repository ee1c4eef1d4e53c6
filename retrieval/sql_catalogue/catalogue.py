"""The `Catalogue` port on SQL: its nouns over one database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select

from retrieval.errors import Conflict
from retrieval.sql_catalogue.blob_records import SqlBlobRecords
from retrieval.sql_catalogue.collections import SqlCollections
from retrieval.sql_catalogue.database import Database
from retrieval.sql_catalogue.dead_letters import SqlDeadLetters
from retrieval.sql_catalogue.documents import SqlDocuments
from retrieval.sql_catalogue.drop_files import SqlDropFiles
from retrieval.sql_catalogue.leases import SqlLeases
from retrieval.sql_catalogue.ledger import RetryPolicy
from retrieval.sql_catalogue.tables import facts
from retrieval.sql_catalogue.tasks import SqlTasks

_SPEC = "embedding.spec"


class SqlCatalogue:
    """Opens the database at `url` (such as "sqlite:////data/catalogue.db"); `migrate` is for the process that may."""

    def __init__(self, url: str, *, policy: RetryPolicy | None = None, migrate: bool = False) -> None:
        self._database = Database(url)
        if migrate:
            self._database.migrate()
        self.collections = SqlCollections(self._database)
        self.documents = SqlDocuments(self._database)
        self.tasks = SqlTasks(self._database, policy or RetryPolicy())
        self.dead_letters = SqlDeadLetters(self._database)
        self.drop_files = SqlDropFiles(self._database)
        self.leases = SqlLeases(self._database)
        self.blobs = SqlBlobRecords(self._database)

    def changes(self) -> int:
        return self._database.changes()

    def bind_spec(self, spec: Mapping[str, Any]) -> None:
        with self._database.write() as connection:
            bound = connection.execute(select(facts.c.value).where(facts.c.name == _SPEC)).scalar_one_or_none()
            if bound is None:
                connection.execute(insert(facts).values(name=_SPEC, value=dict(spec)))
            elif bound != dict(spec):
                raise Conflict(
                    f"This data was embedded with {bound.get('model')} (digest {str(bound.get('digest'))[:12]}), and "
                    f"{spec.get('model')} (digest {str(spec.get('digest'))[:12]}) is configured: set "
                    "RAGSTONE_EMBEDDER__MODEL back, or start on an empty RAGSTONE_DATA and send the documents again."
                )

    def healthy(self) -> None:
        with self._database.read() as connection:
            connection.execute(select(1))

    def close(self) -> None:
        self._database.close()
