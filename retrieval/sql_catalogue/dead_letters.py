"""Dead letters in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, and_, or_, update

from retrieval.catalogue import Page
from retrieval.documents import DeadLetter, Document, DocumentState, Stage
from retrieval.errors import Conflict, NotFound
from retrieval.principal import Principal
from retrieval.sql_catalogue import ledger
from retrieval.sql_catalogue.database import Database, again_on_collision, time_of
from retrieval.sql_catalogue.rows import as_document, as_letter, select_documents, select_letters
from retrieval.sql_catalogue.sql_filters import SqlConditions
from retrieval.sql_catalogue.tables import dead_letters, documents


class SqlDeadLetters:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._conditions = SqlConditions(sqlite=database.is_sqlite, fields=documents.c.fields)

    def page(
        self, principal: Principal, *, collection_id: str | None, code: str | None, after: str | None, limit: int
    ) -> Page[DeadLetter]:
        query = select_letters().where(dead_letters.c.closed_at.is_(None), *self._may_see(principal))
        if collection_id is not None:
            query = query.where(documents.c.collection_id == collection_id)
        if code is not None:
            query = query.where(dead_letters.c.code == code)
        if after is not None:
            created_at, _, key = after.partition("|")
            moment = float(created_at)
            older = dead_letters.c.created_at < moment
            query = query.where(or_(older, and_(dead_letters.c.created_at == moment, dead_letters.c.id > key)))
        query = query.order_by(dead_letters.c.created_at.desc(), dead_letters.c.id).limit(limit + 1)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        items = [as_letter(row) for row in rows[:limit]]
        return Page(items, f"{items[-1].created_at!r}|{items[-1].id}" if len(rows) > limit else None)

    def get(self, principal: Principal, letter_id: str) -> DeadLetter:
        with self._database.read() as connection:
            return as_letter(self._one(connection, principal, letter_id))

    @again_on_collision
    def redrive(self, principal: Principal, letter_id: str) -> Document:
        with self._database.write() as connection:
            now = time_of(connection)
            known = self._one(connection, principal, letter_id)
            its_own = select_documents().where(documents.c.id == known.document_id)
            document = connection.execute(its_own.with_for_update(of=documents)).one()
            letter = self._one(connection, principal, letter_id, held=True)
            if letter.closed_at is not None or document.version != letter.version:
                raise Conflict("The dead letter is closed: its version is no longer the newest, or it was decided.")
            # A refusal at intake has no bytes to parse; the file must be sent again.
            if letter.evidence.get("refused_at") == "intake":
                raise Conflict("The file was refused before it was stored; put a mended one in its place.")
            self._close(connection, letter_id, by="redriven", now=now)
            row = {name: value for name, value in document._mapping.items() if name in documents.c}
            stage = Stage(letter.stage)
            state = DocumentState.RECEIVED if stage is Stage.PARSE else DocumentState.EMBEDDING
            connection.execute(
                update(documents)
                .where(documents.c.id == document.id)
                .values(state=state.value, code=None, reason=None, updated_at=now)
            )
            ledger.owe(connection, ledger.task_row(row, stage, now=now))
            return as_document(connection.execute(select_documents().where(documents.c.id == document.id)).one())

    @again_on_collision
    def drop(self, principal: Principal, letter_id: str) -> None:
        with self._database.write() as connection:
            letter = self._one(connection, principal, letter_id, held=True)
            if letter.closed_at is not None:
                raise NotFound("There is no such dead letter.")
            self._close(connection, letter_id, by="dropped", now=time_of(connection))

    def _close(self, connection: Connection, letter_id: str, *, by: str, now: float) -> None:
        connection.execute(
            update(dead_letters).where(dead_letters.c.id == letter_id).values(closed_at=now, closed_by=by)
        )

    def _may_see(self, principal: Principal) -> list[Any]:
        parts = [dead_letters.c.tenant == principal.tenant]
        if principal.collections is not None:
            parts.append(documents.c.collection_id.in_(principal.collections))
        labels = principal.readable_labels
        if labels is not None:
            parts.append(self._conditions.any_element(documents.c.readers, sorted(labels)))
        return parts

    def _one(self, connection: Connection, principal: Principal, letter_id: str, *, held: bool = False) -> Row[Any]:
        query = select_letters().where(dead_letters.c.id == letter_id, *self._may_see(principal))
        if held:
            query = query.with_for_update(of=dead_letters)
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("There is no such dead letter.")
        return row
