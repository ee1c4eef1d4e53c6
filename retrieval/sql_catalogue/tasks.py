"""Tasks in SQL: claims by compare-and-set, and what came of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from retrieval.catalogue import Page
from retrieval.documents import Document, DocumentState, Lane, Outcome, Stage
from retrieval.sql_catalogue import ledger
from retrieval.sql_catalogue.acceptance import encoded_fields
from retrieval.sql_catalogue.database import Database
from retrieval.sql_catalogue.ledger import RetryPolicy
from retrieval.sql_catalogue.rows import as_content, as_document, select_documents
from retrieval.sql_catalogue.tables import attempts, documents, leases, tasks, versions
from retrieval.tasks import Claim, Failure, LiveAttempt, ParseOutcome, Switch, TaskPointer

_GONE = (DocumentState.DELETING.value, DocumentState.DELETED.value)
_WORKING = {Stage.PARSE: DocumentState.PARSING, Stage.EMBED: DocumentState.EMBEDDING}


class SqlTasks:
    def __init__(self, database: Database, policy: RetryPolicy) -> None:
        self._database = database
        self._policy = policy

    # --- what is owed ---

    def due(self, stages: Sequence[Stage], *, excluding: Sequence[int], limit: int) -> list[TaskPointer]:
        now = time.time()
        turn = func.row_number().over(
            partition_by=(tasks.c.tenant, tasks.c.lane), order_by=(tasks.c.retry_at, tasks.c.id)
        )
        ranked = (
            select(tasks, turn.label("turn"))
            .where(
                tasks.c.done_at.is_(None),
                tasks.c.retry_at <= now,
                or_(tasks.c.lease_until.is_(None), tasks.c.lease_until < now),
                tasks.c.stage.in_([stage.value for stage in stages]),
                tasks.c.id.not_in(excluding),
            )
            .subquery()
        )
        query = select(ranked).order_by(ranked.c.lane.desc(), ranked.c.turn, ranked.c.id).limit(limit)
        with self._database.read() as connection:
            return [self._pointer(row) for row in connection.execute(query)]

    def _pointer(self, row: Row[Any]) -> TaskPointer:
        return TaskPointer(
            task_id=row.id,
            tenant=row.tenant,
            document_id=row.document_id,
            stage=Stage(row.stage),
            lane=Lane(row.lane),
            solitary=row.suspicions >= self._policy.suspicions,
        )

    def open_count(self) -> int:
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).where(tasks.c.done_at.is_(None))).scalar_one())

    def leased_attempts(self) -> set[int]:
        query = select(tasks.c.attempt).where(tasks.c.done_at.is_(None), tasks.c.worker.is_not(None))
        with self._database.read() as connection:
            return {row.attempt for row in connection.execute(query)}

    def live_attempts(self, *, after: str | None, limit: int) -> Page[LiveAttempt]:
        query = select(documents).where(documents.c.live_attempt.is_not(None)).order_by(documents.c.id).limit(limit + 1)
        if after is not None:
            query = query.where(documents.c.id > after)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        items = [LiveAttempt(row.tenant, row.id, row.live_attempt, row.chunks or 0, row.rev) for row in rows[:limit]]
        return Page(items, items[-1].document_id if len(rows) > limit else None)

    def owe_embedding(self, document_id: str, *, attempt: int) -> bool:
        with self._database.write() as connection:
            row = connection.execute(select(documents).where(documents.c.id == document_id)).one_or_none()
            if row is None or row.live_attempt != attempt or row.live_version != row.version:
                return False
            task = ledger.task_row(dict(row._mapping), Stage.EMBED, now=time.time())
            ledger.owe(connection, task, unless_open=True)
            return True

    def owe_repaint(self, document_id: str) -> bool:
        with self._database.write() as connection:
            row = connection.execute(select(documents).where(documents.c.id == document_id)).one_or_none()
            if row is None or row.live_attempt is None:
                return False
            ledger.owe_repaint(connection, dict(row._mapping), now=time.time(), unless_open=True)
            return True

    # --- claims ---

    def claim(self, task_id: int, *, worker: str, lease_s: float) -> Claim | None:
        now = time.time()
        with self._database.write() as connection:
            task = connection.execute(select(tasks).where(tasks.c.id == task_id).with_for_update()).one_or_none()
            if task is None or task.done_at is not None or task.retry_at > now:
                return None
            if task.lease_until is not None and task.lease_until > now:
                return None
            stage = Stage(task.stage)
            document = connection.execute(
                select_documents().where(documents.c.id == task.document_id).with_for_update(of=documents)
            ).one()
            if stage in _WORKING and (document.version != task.version or document.state in _GONE):
                _close(connection, task, now=now)
                return None
            _end_open_attempts(connection, attempts.c.task_id == task_id, Outcome.INTERRUPTED, now=now)
            return self._held(connection, task, document, worker=worker, lease_s=lease_s, now=now)

    def _held(
        self, connection: Connection, task: Row[Any], document: Row[Any], *, worker: str, lease_s: float, now: float
    ) -> Claim:
        stage = Stage(task.stage)
        inserted = connection.execute(
            insert(attempts).values(
                task_id=task.id,
                document_id=task.document_id,
                version=task.version,
                stage=task.stage,
                worker=worker,
                started_at=now,
                counts={},
            )
        ).inserted_primary_key
        assert inserted is not None
        attempt = inserted[0]
        connection.execute(
            update(tasks).where(tasks.c.id == task.id).values(worker=worker, lease_until=now + lease_s, attempt=attempt)
        )
        if stage in _WORKING and document.state != _WORKING[stage].value:
            connection.execute(
                update(documents)
                .where(documents.c.id == document.id)
                .values(state=_WORKING[stage].value, updated_at=now)
            )
        version = _version(connection, document.id, task.version)
        return Claim(
            task_id=task.id,
            attempt=attempt,
            worker=worker,
            stage=stage,
            version=task.version,
            subject=task.subject,
            document=as_document(document),
            content=None if version is None else as_content(version),
            chunk_file=None if version is None else version.chunk_file,
            reuse_vectors=True if version is None else version.reuse_vectors,
            failures=task.failures,
        )

    def heartbeat(self, worker: str, *, lease_s: float) -> None:
        with self._database.write() as connection:
            connection.execute(
                update(tasks)
                .where(tasks.c.worker == worker, tasks.c.done_at.is_(None))
                .values(lease_until=time.time() + lease_s)
            )

    # --- outcomes ---

    def parsed(self, claim: Claim, outcome: ParseOutcome) -> bool:
        now = time.time()
        with self._database.write() as connection:
            task = _mine(connection, claim)
            if task is None:
                return False
            _finish(connection, claim, Outcome.DONE, outcome.counts, now=now)
            _close(connection, task, now=now)
            row = _document(connection, claim)
            if row.version != claim.version or row.state in _GONE:
                return False
            connection.execute(
                update(versions)
                .where(versions.c.document_id == claim.document.id, versions.c.version == claim.version)
                .values(
                    chunk_file=outcome.chunk_file,
                    pages=outcome.pages,
                    chunks=outcome.chunks,
                    tokens=outcome.tokens,
                    language=outcome.language,
                    partial_code=outcome.code,
                    partial_reason=outcome.reason,
                )
            )
            document = _plain(row) | {"state": DocumentState.EMBEDDING.value, "updated_at": now}
            if not row.title_given and outcome.title:
                document["title"] = outcome.title
            document["language"] = outcome.language
            if row.live_version is None:
                document |= {"pages": outcome.pages, "chunks": outcome.chunks, "tokens": outcome.tokens}
            _write_fields(connection, row, document, now=now)
            ledger.owe(connection, ledger.task_row(document, Stage.EMBED, now=now))
            return True

    def switch(self, claim: Claim, *, rev: int, counts: Mapping[str, Any]) -> tuple[Switch, Document]:
        now = time.time()
        with self._database.write() as connection:
            row = _document(connection, claim)
            task = _mine(connection, claim)
            if row.live_attempt == claim.attempt:  # asked again: the answer was lost, the switch was not
                return Switch.SWITCHED, as_document(row)
            if task is None:
                self._owe_erase_of_attempt(connection, claim, row, now=now)
                return Switch.LOST, as_document(row)
            if row.version != claim.version or row.state in _GONE:
                _finish(connection, claim, Outcome.DONE, counts, now=now, error="overtaken by a newer version")
                _close(connection, task, now=now)
                self._owe_erase_of_attempt(connection, claim, row, now=now)
                return Switch.OVERTAKEN, as_document(row)
            if row.rev != rev:
                return Switch.ATTRIBUTES_MOVED, as_document(row)
            document = self._published(connection, claim, row, now=now)
            _finish(connection, claim, Outcome.DONE, counts, now=now)
            _close(connection, task, now=now)
            ledger.close_letters(connection, claim.document.id, by="published", now=now)
            ledger.owe(connection, ledger.task_row(document, Stage.ERASE, now=now))
            return Switch.SWITCHED, as_document(_document(connection, claim))

    def _published(self, connection: Connection, claim: Claim, row: Row[Any], *, now: float) -> dict[str, Any]:
        version = _version(connection, row.id, claim.version)
        assert version is not None  # a claim of the newest version has its row
        partial = version.partial_code is not None
        document = _plain(row) | {
            "state": (DocumentState.PARTIAL if partial else DocumentState.SEARCHABLE).value,
            "code": version.partial_code,
            "reason": version.partial_reason,
            "live_version": claim.version,
            "live_attempt": claim.attempt,
            "pages": version.pages,
            "chunks": version.chunks,
            "tokens": version.tokens,
            "updated_at": now,
        }
        _write_fields(connection, row, document, now=now)
        return document

    def _owe_erase_of_attempt(self, connection: Connection, claim: Claim, row: Row[Any], *, now: float) -> None:
        document = _plain(row) | {"version": claim.version}
        ledger.owe(connection, ledger.task_row(document, Stage.ERASE, now=now, subject=str(claim.attempt)))

    def done(self, claim: Claim, *, counts: Mapping[str, Any]) -> None:
        now = time.time()
        with self._database.write() as connection:
            task = _mine(connection, claim)
            if task is None:
                return
            _finish(connection, claim, Outcome.DONE, counts, now=now)
            _close(connection, task, now=now)
            if claim.stage is not Stage.ERASE or claim.subject:
                return
            row = _document(connection, claim)
            if row.state == DocumentState.DELETING.value and row.version == claim.version:
                connection.execute(
                    update(documents)
                    .where(documents.c.id == row.id)
                    .values(state=DocumentState.DELETED.value, updated_at=now)
                )
            _forget_versions(connection, row, below=claim.version)

    def blocking_leases(self, claim: Claim) -> bool:
        query = select(func.count()).where(
            tasks.c.document_id == claim.document.id,
            tasks.c.version < claim.version,
            tasks.c.done_at.is_(None),
            tasks.c.lease_until > time.time(),
            tasks.c.stage.in_([Stage.PARSE.value, Stage.EMBED.value]),
        )
        with self._database.read() as connection:
            return bool(connection.execute(query).scalar_one())

    def failed(self, claim: Claim, failure: Failure) -> None:
        now = time.time()
        with self._database.write() as connection:
            task = _mine(connection, claim)
            if task is None:
                return
            _finish(connection, claim, Outcome.FAILED, {}, now=now, error=f"{failure.code}: {failure.reason}")
            failures = task.failures + 1
            if failure.permanent or failures >= self._policy.failures:
                self._park(connection, task, failure, now=now)
                return
            _free(connection, task, failures=failures, retry_at=now + self._policy.delay(failures))

    def _park(self, connection: Connection, task: Row[Any], failure: Failure, *, now: float) -> None:
        version = _version(connection, task.document_id, task.version)
        if task.stage in {Stage.ERASE.value, Stage.REPAINT.value} or version is None:
            # The index owes the catalogue this: it is never given up, only rested.
            _free(connection, task, retry_at=now + self._policy.cap_s)
            return
        tried = connection.execute(select(func.count()).where(attempts.c.task_id == task.id)).scalar_one()
        ledger.park(connection, task=task, version=version, failure=failure, attempts=tried, now=now)

    def postpone(self, claim: Claim, *, delay_s: float) -> None:
        now = time.time()
        with self._database.write() as connection:
            task = _mine(connection, claim)
            if task is not None:
                _finish(connection, claim, Outcome.RELEASED, {}, now=now)
                _free(connection, task, retry_at=now + delay_s)

    def released(self, claim: Claim) -> None:
        self.postpone(claim, delay_s=0.0)

    def killed_alone(self, claim: Claim, *, reason: str) -> None:
        now = time.time()
        with self._database.write() as connection:
            task = _mine(connection, claim)
            if task is not None:
                _finish(connection, claim, Outcome.INTERRUPTED, {}, now=now, error=reason)
                self._count_kill(connection, task, reason=reason, alone=True, now=now)

    def worker_died(self, worker: str) -> None:
        now = time.time()
        with self._database.write() as connection:
            held = connection.execute(select(tasks).where(tasks.c.worker == worker, tasks.c.done_at.is_(None))).all()
            reason = "the worker's process died while it worked on this"
            _end_open_attempts(connection, attempts.c.worker == worker, Outcome.INTERRUPTED, now=now, error=reason)
            for task in held:
                self._count_kill(connection, task, reason=reason, alone=len(held) == 1, now=now)
            connection.execute(delete(leases).where(leases.c.holder == worker))

    def _count_kill(self, connection: Connection, task: Row[Any], *, reason: str, alone: bool, now: float) -> None:
        kills = task.kills + alone
        if kills >= self._policy.kills:
            failure = Failure("kills_worker", f"After {kills} tries alone: {reason}.", permanent=True)
            self._park(connection, task, failure, now=now)
            return
        delay = self._policy.kill_delay(kills)
        _free(connection, task, kills=kills, suspicions=task.suspicions + 1, retry_at=now + delay)

    def predecessors_died(self) -> int:
        now = time.time()
        with self._database.write() as connection:
            reason = "the whole group of processes died"
            _end_open_attempts(connection, attempts.c.outcome.is_(None), Outcome.INTERRUPTED, now=now, error=reason)
            freed = connection.execute(
                update(tasks)
                .where(tasks.c.done_at.is_(None), tasks.c.worker.is_not(None))
                .values(worker=None, lease_until=None)
            )
            connection.execute(delete(leases))
            return int(freed.rowcount)


def _mine(connection: Connection, claim: Claim) -> Row[Any] | None:
    """The task's row, if this claim still holds it."""
    return connection.execute(
        select(tasks)
        .where(tasks.c.id == claim.task_id, tasks.c.attempt == claim.attempt, tasks.c.worker.is_not(None))
        .where(tasks.c.done_at.is_(None))
        .with_for_update()
    ).one_or_none()


def _document(connection: Connection, claim: Claim) -> Row[Any]:
    query = select_documents().where(documents.c.id == claim.document.id)
    return connection.execute(query.with_for_update(of=documents)).one()


def _plain(row: Row[Any]) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name in documents.c}


def _write_fields(connection: Connection, row: Row[Any], document: dict[str, Any], *, now: float) -> None:
    """Writes the document with its filter fields; points that live with other ones are owed a repaint."""
    document["fields"] = encoded_fields(document)
    moved = document["live_version"] is not None and document["fields"] != row.fields
    document["rev"] = row.rev + moved
    connection.execute(update(documents).where(documents.c.id == row.id).values(**document))
    if moved:
        ledger.owe_repaint(connection, document, now=now)


def _version(connection: Connection, document_id: str, version: int) -> Row[Any] | None:
    return connection.execute(
        select(versions).where(versions.c.document_id == document_id, versions.c.version == version)
    ).one_or_none()


def _close(connection: Connection, task: Row[Any], *, now: float) -> None:
    connection.execute(update(tasks).where(tasks.c.id == task.id).values(done_at=now, worker=None, lease_until=None))


def _free(connection: Connection, task: Row[Any], **values: Any) -> None:
    connection.execute(update(tasks).where(tasks.c.id == task.id).values(worker=None, lease_until=None, **values))


def _finish(
    connection: Connection,
    claim: Claim,
    outcome: Outcome,
    counts: Mapping[str, Any],
    *,
    now: float,
    error: str | None = None,
) -> None:
    connection.execute(
        update(attempts)
        .where(attempts.c.id == claim.attempt)
        .values(outcome=outcome.value, ended_at=now, counts=dict(counts), error=error)
    )


def _end_open_attempts(
    connection: Connection, where: Any, outcome: Outcome, *, now: float, error: str | None = None
) -> None:
    connection.execute(
        update(attempts)
        .where(where, attempts.c.outcome.is_(None))
        .values(outcome=outcome.value, ended_at=now, error=error)
    )


def _forget_versions(connection: Connection, row: Row[Any], *, below: int) -> None:
    """Rows of versions that nothing can need again; their blobs become unreferenced with them."""
    kept = [number for number in (row.live_version, row.version) if number is not None]
    connection.execute(
        delete(versions).where(
            versions.c.document_id == row.id, versions.c.version < below, versions.c.version.not_in(kept)
        )
    )
