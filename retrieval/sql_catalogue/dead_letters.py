"""Dead letters in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, exists, func, or_, select, update

from retrieval.documents import DeadLetter, Document, DocumentState, LetterSelection, Stage
from retrieval.errors import Conflict, NotFound
from retrieval.page import Page
from retrieval.principal import Principal
from retrieval.requests import Recording
from retrieval.sql_catalogue import ledger
from retrieval.sql_catalogue.database import Database, again_on_collision, time_of
from retrieval.sql_catalogue.paging import newest_first
from retrieval.sql_catalogue.requests import record
from retrieval.sql_catalogue.rows import as_document, as_letter, select_documents, select_letters
from retrieval.sql_catalogue.sql_filters import SqlConditions
from retrieval.sql_catalogue.tables import dead_letters, documents, versions
from retrieval.sql_catalogue.visibility import may_see

# The state of a document whose stage is tried again.
_BEGINS: Final = {Stage.PARSE: DocumentState.RECEIVED, Stage.EMBED: DocumentState.EMBEDDING}


class SqlDeadLetters:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._conditions = SqlConditions(sqlite=database.is_sqlite, fields=documents.c.fields)

    def page(
        self, principal: Principal, *, collection_id: str | None, code: str | None, after: str | None, limit: int
    ) -> Page[DeadLetter]:
        query = select_letters().where(dead_letters.c.closed_at.is_(None), may_see(self._conditions, principal))
        if collection_id is not None:
            query = query.where(documents.c.collection_id == collection_id)
        if code is not None:
            query = query.where(dead_letters.c.code == code)
        with self._database.read() as connection:
            return newest_first(connection, query, dead_letters, as_letter, after=after, limit=limit)

    def get(self, principal: Principal, letter_id: str) -> DeadLetter:
        with self._database.read() as connection:
            return as_letter(self._one(connection, principal, letter_id))

    # --- one is decided ---

    @again_on_collision
    def redrive(self, principal: Principal, letter_id: str, *, recording: Recording | None = None) -> Document:
        with self._database.write() as connection:
            known = self._one(connection, principal, letter_id)
            [document] = _held_documents(connection, [known.document_id])
            letter = self._one(connection, principal, letter_id, held=True)
            if letter.closed_at is not None or document.version != letter.version:
                raise Conflict("The dead letter is closed: its version is no longer the newest, or it was decided.")
            # A refusal at intake has no bytes to parse; the file must be sent again.
            if letter.evidence.get("refused_at") == "intake":
                raise Conflict("The file was refused before it was stored; put a mended one in its place.")
            _start_again(connection, [letter], [document])
            found = as_document(connection.execute(select_documents().where(documents.c.id == document.id)).one())
            record(connection, recording, [found])
            return found

    @again_on_collision
    def drop(self, principal: Principal, letter_id: str) -> None:
        with self._database.write() as connection:
            self._one(connection, principal, letter_id, held=True)
            is_it = and_(dead_letters.c.id == letter_id, or_(dead_letters.c.closed_at.is_(None), ledger.quarantines()))
            if connection.execute(select(dead_letters.c.id).where(is_it)).one_or_none() is None:
                raise NotFound("There is no such dead letter.")
            _close(connection, [letter_id], by="dropped")

    # --- many are decided ---

    def count(self, principal: Principal, which: LetterSelection) -> tuple[int, float]:
        with self._database.read() as connection:
            moment = time_of(connection)  # before the look, so that it holds none of a later moment
            found = select_letters().where(*self._among(principal, replace(which, until=_earlier(which.until, moment))))
            return int(connection.execute(select(func.count()).select_from(found.subquery())).scalar_one()), moment

    @again_on_collision
    def redrive_some(self, principal: Principal, which: LetterSelection, *, limit: int) -> int:
        among = self._among(principal, replace(which, redrivable=True))
        with self._database.write() as connection:
            some = connection.execute(_oldest(select_letters().where(*among), limit)).all()
            held = _held_documents(connection, [row.document_id for row in some])
            its_own = dead_letters.c.id.in_([row.id for row in some])
            query = select_letters().where(its_own, *among).order_by(dead_letters.c.id)
            letters = connection.execute(query.with_for_update(of=dead_letters)).all()
            _start_again(connection, letters, held)
            return len(letters)

    @again_on_collision
    def drop_some(self, principal: Principal, which: LetterSelection, *, limit: int) -> int:
        query = select_letters().where(*self._among(principal, which))
        with self._database.write() as connection:
            letters = connection.execute(_oldest(query, limit).with_for_update(of=dead_letters)).all()
            _close(connection, [row.id for row in letters], by="dropped")
            return len(letters)

    # --- others are told ---

    def unannounced(self, *, limit: int) -> list[DeadLetter]:
        query = select_letters().where(dead_letters.c.announced_at.is_(None))
        with self._database.read() as connection:
            return [as_letter(row) for row in connection.execute(_oldest(query, limit))]

    @again_on_collision
    def announced(self, letter_ids: Sequence[str]) -> None:
        with self._database.write() as connection:
            told = dead_letters.c.id.in_(letter_ids)
            connection.execute(update(dead_letters).where(told).values(announced_at=self._database.clock))

    def _among(self, principal: Principal, which: LetterSelection) -> list[Any]:
        parts = [dead_letters.c.closed_at.is_(None), may_see(self._conditions, principal)]
        if which.collection_id is not None:
            parts.append(documents.c.collection_id == which.collection_id)
        if which.code is not None:
            parts.append(dead_letters.c.code == which.code)
        if which.since is not None:
            parts.append(dead_letters.c.created_at >= which.since)
        if which.until is not None:
            parts.append(dead_letters.c.created_at < which.until)
        if which.redrivable:
            its_own = (
                versions.c.document_id == dead_letters.c.document_id,
                versions.c.version == dead_letters.c.version,
            )
            parts.append(documents.c.version == dead_letters.c.version)
            parts.append(exists().where(*its_own, versions.c.stored))
        return parts

    def _one(self, connection: Connection, principal: Principal, letter_id: str, *, held: bool = False) -> Row[Any]:
        query = select_letters().where(dead_letters.c.id == letter_id, may_see(self._conditions, principal))
        if held:
            query = query.with_for_update(of=dead_letters)
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("There is no such dead letter.")
        return row


def _earlier(one: float | None, other: float) -> float:
    return other if one is None else min(one, other)


def _oldest(query: Select[Any], limit: int) -> Select[Any]:
    return query.order_by(dead_letters.c.created_at, dead_letters.c.id).limit(limit)


def _held_documents(connection: Connection, ids: Sequence[str]) -> Sequence[Row[Any]]:
    query = select(documents).where(documents.c.id.in_(ids)).order_by(documents.c.id)
    return connection.execute(query.with_for_update()).all()


def _close(connection: Connection, letter_ids: Sequence[str], *, by: str) -> None:
    closed = {"closed_at": time_of(connection), "closed_by": by}
    connection.execute(update(dead_letters).where(dead_letters.c.id.in_(letter_ids)).values(**closed))


def _start_again(connection: Connection, letters: Sequence[Row[Any]], held: Sequence[Row[Any]]) -> None:
    """Letters and their documents, all of them held: the stages that failed are owed again."""
    now = time_of(connection)
    _close(connection, [letter.id for letter in letters], by="redriven")
    its_row = {row.id: dict(row._mapping) for row in held}
    for stage, state in _BEGINS.items():
        here = [letter.document_id for letter in letters if letter.stage == stage.value]
        begun = {"state": state.value, "code": None, "reason": None, "updated_at": now}
        connection.execute(update(documents).where(documents.c.id.in_(here)).values(**begun))
        for document_id in here:
            ledger.owe(connection, ledger.task_row(its_row[document_id], stage, now=now))
