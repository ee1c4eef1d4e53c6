"""Documents in SQL: accepting, reading, changing, deleting."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, select

from retrieval.documents import (
    Attributes,
    Document,
    DocumentSelection,
    DocumentState,
    LiveState,
    Portion,
    Submission,
    TimelineEntry,
)
from retrieval.errors import Conflict, NotFound
from retrieval.filters import Condition
from retrieval.page import Page
from retrieval.principal import EVERYBODY, Principal
from retrieval.requests import Recording
from retrieval.sql_catalogue import ledger
from retrieval.sql_catalogue.acceptance import Acceptance, again, change_attributes
from retrieval.sql_catalogue.database import Database, again_on_collision, time_of
from retrieval.sql_catalogue.paging import newest_first
from retrieval.sql_catalogue.remembered import Remembered
from retrieval.sql_catalogue.requests import record
from retrieval.sql_catalogue.rows import as_document, as_entry, select_documents
from retrieval.sql_catalogue.sql_filters import SqlConditions
from retrieval.sql_catalogue.tables import attempts, collections, documents, versions
from retrieval.sql_catalogue.visibility import may_see

_GONE = (DocumentState.DELETING.value, DocumentState.DELETED.value)
# Between two commits searches meet the same documents again: 1 kB each, and one statement less for a search.
_STATES_KNOWN = 20_000


# Built once: it is behind every search, and building costs more than asking.
_LIVE_STATES = (
    select(
        documents.c.id,
        documents.c.tenant,
        documents.c.collection_id,
        documents.c.readers,
        documents.c.live_version,
        documents.c.live_attempt,
        documents.c.state,
        documents.c.external_id,
        documents.c.title,
        documents.c.metadata,
        collections.c.name,
        collections.c.deleting,
    )
    .select_from(documents.join(collections, documents.c.collection_id == collections.c.id))
    .where(documents.c.id.in_(bindparam("ids", expanding=True)))
)


class SqlDocuments:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._conditions = SqlConditions(sqlite=database.is_sqlite, fields=documents.c.fields)
        self._live: Remembered[str, LiveState] = Remembered(database.changes, most=_STATES_KNOWN)

    @again_on_collision
    def accept(
        self, submissions: Sequence[Submission], *, recording: Recording | None = None
    ) -> list[Document | Exception]:
        with self._database.write() as connection:
            acceptance = Acceptance(connection, submissions, now=time_of(connection))
            answers = [acceptance.accept(submission) for submission in submissions]
            acceptance.flush()
            found = self._by_ids(connection, [answer for answer in answers if isinstance(answer, str)])
            results = [found[answer] if isinstance(answer, str) else answer for answer in answers]
            record(connection, recording, results)
        return results

    def get(self, principal: Principal, document_id: str) -> Document:
        with self._database.read() as connection:
            return as_document(self._visible(connection, principal, document_id))

    def states(self, document_ids: Sequence[str]) -> dict[str, tuple[int, DocumentState]]:
        query = select(documents.c.id, documents.c.version, documents.c.state).where(documents.c.id.in_(document_ids))
        with self._database.read() as connection:
            return {row.id: (row.version, DocumentState(row.state)) for row in connection.execute(query)}

    def page(
        self,
        principal: Principal,
        *,
        collection_ids: Sequence[str] | None = None,
        state: DocumentState | None = None,
        external_id: str | None = None,
        condition: Condition | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Document]:
        query = select_documents().where(may_see(self._conditions, principal), self._conditions.translate(condition))
        if collection_ids is not None:
            query = query.where(documents.c.collection_id.in_(collection_ids))
        if external_id is not None:
            query = query.where(documents.c.external_id == external_id)
        query = query.where(
            documents.c.state == state.value if state is not None else documents.c.state != DocumentState.DELETED.value
        )
        with self._database.read() as connection:
            return newest_first(connection, query, documents, as_document, after=after, limit=limit)

    def timelines(self, document_ids: Sequence[str]) -> dict[str, list[TimelineEntry]]:
        query = select(attempts).where(attempts.c.document_id.in_(document_ids)).order_by(attempts.c.id)
        found: dict[str, list[TimelineEntry]] = {key: [] for key in document_ids}
        with self._database.read() as connection:
            for row in connection.execute(query):
                found[row.document_id].append(as_entry(row))
        return found

    def chunk_file(self, document: Document) -> str | None:
        if document.live_version is None:
            return None
        query = select(versions.c.chunk_file).where(
            versions.c.document_id == document.id, versions.c.version == document.live_version
        )
        with self._database.read() as connection:
            digest: str | None = connection.execute(query).scalar_one_or_none()
            return digest

    def content_digest(self, document: Document) -> tuple[str, str | None]:
        shown = func.coalesce(documents.c.live_version, documents.c.version)
        query = (
            select(versions.c.sha256, versions.c.inline_text, versions.c.stored)
            .join(documents, and_(versions.c.document_id == documents.c.id, versions.c.version == shown))
            .where(documents.c.id == document.id)
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("The document's content is gone.")
        if not row.stored:
            raise NotFound("The file was refused before it was stored.")
        return row.sha256, row.inline_text

    @again_on_collision
    def patch(self, principal: Principal, document_id: str, attributes: Attributes, *, readers_reset: bool) -> Document:
        with self._database.write() as connection:
            row = self._alive(connection, principal, document_id)
            document = _columns(row)
            if readers_reset:
                attributes = Attributes(
                    title=attributes.title,
                    external_id=attributes.external_id,
                    metadata=attributes.metadata,
                    readers=_default_readers(connection, row.collection_id),
                )
            change_attributes(connection, document, attributes, now=time_of(connection))
            return self._by_ids(connection, [document_id])[document_id]

    @again_on_collision
    def reprocess(
        self, principal: Principal, document_id: str, *, fingerprint: str, recording: Recording | None = None
    ) -> Document:
        with self._database.write() as connection:
            document = _columns(self._alive(connection, principal, document_id))
            again(connection, document, reuse_vectors=False, fingerprint=fingerprint, now=time_of(connection))
            found = self._by_ids(connection, [document_id])[document_id]
            record(connection, recording, [found])
            return found

    @again_on_collision
    def delete(self, principal: Principal, document_id: str) -> Document:
        with self._database.write() as connection:
            row = self._visible(connection, principal, document_id, held=True)
            if row.state not in _GONE:
                ledger.bury(connection, _columns(row), now=time_of(connection))
            return self._by_ids(connection, [document_id])[document_id]

    # --- many are decided ---

    def count(self, principal: Principal, which: DocumentSelection) -> tuple[int, float]:
        with self._database.read() as connection:
            moment = time_of(connection)  # before the look, so that it holds none of a later moment
            until = moment if which.until is None else min(which.until, moment)
            query = (
                select(func.count()).select_from(documents).where(*self._among(principal, replace(which, until=until)))
            )
            return int(connection.execute(query).scalar_one()), moment

    @again_on_collision
    def reprocess_some(
        self, principal: Principal, which: DocumentSelection, *, fingerprint: str, after: str | None, limit: int
    ) -> Portion:
        decided = 0
        with self._database.write() as connection:
            rows = self._held(connection, principal, which, after=after, limit=limit)
            now = time_of(connection)
            for row in rows:
                with suppress(Conflict):  # said before anything is written
                    again(connection, dict(row._mapping), reuse_vectors=False, fingerprint=fingerprint, now=now)
                    decided += 1
        return _portion(rows, decided, limit=limit)

    @again_on_collision
    def delete_some(self, principal: Principal, which: DocumentSelection, *, after: str | None, limit: int) -> Portion:
        with self._database.write() as connection:
            rows = self._held(connection, principal, which, after=after, limit=limit)
            now = time_of(connection)
            for row in rows:
                ledger.bury(connection, dict(row._mapping), now=now)
        return _portion(rows, len(rows), limit=limit)

    def _held(
        self, connection: Connection, principal: Principal, which: DocumentSelection, *, after: str | None, limit: int
    ) -> Sequence[Row[Any]]:
        """The next ones in order of id, so that two calls take what both want in the same order."""
        query = select(documents).where(*self._among(principal, which))
        if after is not None:
            query = query.where(documents.c.id > after)
        return connection.execute(query.order_by(documents.c.id).limit(limit).with_for_update()).all()

    def _among(self, principal: Principal, which: DocumentSelection) -> list[ColumnElement[bool]]:
        parts = [
            may_see(self._conditions, principal),
            documents.c.collection_id == which.collection_id,
            documents.c.state.not_in(_GONE),
            self._conditions.translate(which.condition),
        ]
        return parts if which.until is None else [*parts, documents.c.created_at < which.until]

    def live_states(self, document_ids: Sequence[str]) -> dict[str, LiveState]:
        known = self._live.now()
        unknown = [key for key in document_ids if key not in known]
        if unknown:
            with self._database.read() as connection:
                rows = connection.execute(_LIVE_STATES, {"ids": unknown}).all()
            known |= {row.id: _live_state(row) for row in rows}
        return {key: known[key] for key in document_ids if key in known}

    def _visible(
        self, connection: Connection, principal: Principal, document_id: str, *, held: bool = False
    ) -> Row[Any]:
        """The row; nobody else changes one that is held before this transaction ends."""
        query = select_documents().where(documents.c.id == document_id, may_see(self._conditions, principal))
        if held:
            query = query.with_for_update(of=documents)
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("There is no such document.")
        return row

    def _alive(self, connection: Connection, principal: Principal, document_id: str) -> Row[Any]:
        row = self._visible(connection, principal, document_id, held=True)
        if row.state in _GONE:
            raise Conflict("The document is deleted, or being deleted.")
        return row

    def _by_ids(self, connection: Connection, ids: Sequence[str]) -> dict[str, Document]:
        found: dict[str, Document] = {}
        for start in range(0, len(ids), 500):
            rows = connection.execute(select_documents().where(documents.c.id.in_(ids[start : start + 500])))
            found |= {row.id: as_document(row) for row in rows}
        return found


def _columns(row: Row[Any]) -> dict[str, Any]:
    """A document row without what was joined to it."""
    return {name: value for name, value in row._mapping.items() if name in documents.c}


def _portion(rows: Sequence[Row[Any]], decided: int, *, limit: int) -> Portion:
    return Portion(decided, rows[-1].id if len(rows) == limit else None)


def _default_readers(connection: Connection, collection_id: str) -> tuple[str, ...]:
    readers = connection.execute(
        select(collections.c.default_readers).where(collections.c.id == collection_id)
    ).scalar_one()
    return (EVERYBODY,) if readers is None else tuple(readers)


def _live_state(row: Any) -> LiveState:
    return LiveState(
        tenant=row.tenant,
        collection_id=row.collection_id,
        collection=row.name,
        readers=tuple(row.readers),
        live_version=row.live_version,
        live_attempt=row.live_attempt,
        gone=row.state in _GONE or bool(row.deleting),
        external_id=row.external_id,
        title=row.title,
        metadata=row._mapping["metadata"],
    )
