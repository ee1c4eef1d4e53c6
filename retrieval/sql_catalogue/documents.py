"""Documents in SQL: accepting, reading, changing, deleting."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, or_, select, true

from retrieval.catalogue import Page
from retrieval.documents import (
    Attributes,
    Document,
    DocumentState,
    LiveState,
    Submission,
    TimelineEntry,
)
from retrieval.errors import Conflict, NotFound
from retrieval.filters import Condition
from retrieval.principal import EVERYBODY, Principal
from retrieval.sql_catalogue import ledger
from retrieval.sql_catalogue.acceptance import Acceptance, again, change_attributes
from retrieval.sql_catalogue.database import Database
from retrieval.sql_catalogue.rows import as_document, as_entry, select_documents
from retrieval.sql_catalogue.sql_filters import SqlConditions
from retrieval.sql_catalogue.tables import attempts, collections, documents, versions

_GONE = (DocumentState.DELETING.value, DocumentState.DELETED.value)


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
    .select_from(documents.outerjoin(collections, documents.c.collection_id == collections.c.id))
    .where(documents.c.id.in_(bindparam("ids", expanding=True)))
)


class SqlDocuments:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._conditions = SqlConditions(sqlite=database.is_sqlite, fields=documents.c.fields)

    def accept(self, submissions: Sequence[Submission]) -> list[Document | Exception]:
        with self._database.write() as connection:
            acceptance = Acceptance(connection, submissions, now=time.time())
            answers = [acceptance.accept(submission) for submission in submissions]
            acceptance.flush()
            found = self._by_ids(connection, [answer for answer in answers if isinstance(answer, str)])
        return [found[answer] if isinstance(answer, str) else answer for answer in answers]

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
        collection_id: str | None = None,
        state: DocumentState | None = None,
        external_id: str | None = None,
        condition: Condition | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Document]:
        query = select_documents().where(self._may_see(principal), self._conditions.translate(condition))
        if collection_id is not None:
            query = query.where(documents.c.collection_id == collection_id)
        if external_id is not None:
            query = query.where(documents.c.external_id == external_id)
        query = query.where(
            documents.c.state == state.value if state is not None else documents.c.state != DocumentState.DELETED.value
        )
        with self._database.read() as connection:
            rows = connection.execute(_after(query, after).limit(limit + 1)).all()
        items = [as_document(row) for row in rows[:limit]]
        return Page(items, f"{items[-1].created_at!r}|{items[-1].id}" if len(rows) > limit else None)

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
        query = select(versions.c.sha256, versions.c.inline_text).where(
            versions.c.document_id == document.id, versions.c.version == document.version
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("The document's content is gone.")
        return row.sha256, row.inline_text

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
            change_attributes(connection, document, attributes, now=time.time())
            return self._by_ids(connection, [document_id])[document_id]

    def reprocess(self, principal: Principal, document_id: str, *, fingerprint: str) -> Document:
        with self._database.write() as connection:
            document = _columns(self._alive(connection, principal, document_id))
            again(connection, document, reuse_vectors=False, fingerprint=fingerprint, now=time.time())
            return self._by_ids(connection, [document_id])[document_id]

    def delete(self, principal: Principal, document_id: str) -> Document:
        with self._database.write() as connection:
            row = self._visible(connection, principal, document_id)
            if row.state not in _GONE:
                ledger.bury(connection, _columns(row), now=time.time())
            return self._by_ids(connection, [document_id])[document_id]

    def live_states(self, document_ids: Sequence[str]) -> dict[str, LiveState]:
        with self._database.read() as connection:
            rows = connection.execute(_LIVE_STATES, {"ids": list(document_ids)}).all()
        return {row.id: _live_state(row) for row in rows}

    def _may_see(self, principal: Principal) -> ColumnElement[bool]:
        """The catalogue's half of the permission check: tenant, collections, readers."""
        parts: list[ColumnElement[bool]] = [documents.c.tenant == principal.tenant]
        if principal.collections is not None:
            parts.append(documents.c.collection_id.in_(principal.collections))
        labels = principal.readable_labels
        parts.append(true() if labels is None else self._conditions.any_element(documents.c.readers, sorted(labels)))
        return and_(*parts)

    def _visible(self, connection: Connection, principal: Principal, document_id: str) -> Row[Any]:
        query = select_documents().where(documents.c.id == document_id, self._may_see(principal))
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("There is no such document.")
        return row

    def _alive(self, connection: Connection, principal: Principal, document_id: str) -> Row[Any]:
        row = self._visible(connection, principal, document_id)
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


def _default_readers(connection: Connection, collection_id: str) -> tuple[str, ...]:
    readers = connection.execute(
        select(collections.c.default_readers).where(collections.c.id == collection_id)
    ).scalar_one()
    return (EVERYBODY,) if readers is None else tuple(readers)


def _after(query: Select[Any], after: str | None) -> Select[Any]:
    """Newest first, from where the last page ended."""
    if after is not None:
        created_at, _, key = after.partition("|")
        query = query.where(
            or_(
                documents.c.created_at < float(created_at),
                and_(documents.c.created_at == float(created_at), documents.c.id > key),
            )
        )
    return query.order_by(documents.c.created_at.desc(), documents.c.id)


def _live_state(row: Any) -> LiveState:
    return LiveState(
        tenant=row.tenant,
        collection_id=row.collection_id,
        collection=row.name or "",
        readers=tuple(row.readers),
        live_version=row.live_version,
        live_attempt=row.live_attempt,
        gone=row.state in _GONE or row.name is None or bool(row.deleting),
        external_id=row.external_id,
        title=row.title,
        metadata=row._mapping["metadata"],
    )
