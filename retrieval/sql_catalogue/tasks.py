"""Tasks in SQL: claims by compare-and-set, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, or_, select, update

from retrieval.catalogue import ALL
from retrieval.documents import Document, DocumentState, Lane, Outcome, Stage
from retrieval.page import Page
from retrieval.sql_catalogue import claims, deaths, due_tasks, ledger
from retrieval.sql_catalogue.database import Database, again_on_collision, time_of
from retrieval.sql_catalogue.ledger import RetryPolicy
from retrieval.sql_catalogue.rows import as_document, select_documents
from retrieval.sql_catalogue.shown_version import showing
from retrieval.sql_catalogue.tables import attempts, documents, leases, tasks, versions
from retrieval.tasks import Claim, Failure, LiveAttempt, ParseOutcome, Switch, TaskPointer

_GONE = (DocumentState.DELETING.value, DocumentState.DELETED.value)


class SqlTasks:
    def __init__(self, database: Database, policy: RetryPolicy) -> None:
        self._database = database
        self._policy = policy

    # --- what is owed ---

    def due(
        self, stages: Sequence[Stage], *, lane: Lane | None = None, excluding: Sequence[int], limit: int
    ) -> list[TaskPointer]:
        rows: list[Row[Any]] = []
        with self._database.read() as connection:
            for one in (Lane.INTERACTIVE, Lane.BULK) if lane is None else (lane,):
                rows += due_tasks.due(connection, stages, one, excluding=excluding, limit=limit - len(rows))
        return [self._pointer(row) for row in rows]

    def _pointer(self, row: Row[Any]) -> TaskPointer:
        return TaskPointer(
            task_id=row.id,
            tenant=row.tenant,
            document_id=row.document_id,
            stage=Stage(row.stage),
            lane=Lane(row.lane),
            solitary=row.suspicions >= self._policy.suspicions,
            weight=row.weight,
        )

    def open_count(self, *, at_most: int = ALL) -> int:
        with self._database.read() as connection:
            return due_tasks.open_count(connection, at_most=at_most)

    def backlog(self, *, at_most: int) -> int:
        with self._database.read() as connection:
            return due_tasks.backlog(connection, at_most=at_most)

    def leased_attempts(self) -> set[int]:
        query = select(tasks.c.attempt).where(tasks.c.done_at.is_(None), tasks.c.worker.is_not(None))
        with self._database.read() as connection:
            return {row.attempt for row in connection.execute(query)}

    def attempts_of_use(self, *, earlier: int) -> set[int]:
        held = tasks.c.worker.is_not(None)
        # The attempts are found by their document: that is what they are indexed by.
        its_own = and_(attempts.c.document_id == tasks.c.document_id, attempts.c.task_id == tasks.c.id)
        query = (
            select(attempts.c.id, attempts.c.task_id, held.label("held"))
            .select_from(tasks)
            .join(documents, documents.c.id == tasks.c.document_id)
            .join(attempts, its_own)
            .where(tasks.c.stage == Stage.EMBED.value, tasks.c.done_at.is_(None), tasks.c.attempt.is_not(None))
            .where(or_(held, claims.wanted()))
            .order_by(attempts.c.id.desc())
        )
        room: dict[int, int] = {}
        found: set[int] = set()
        with self._database.read() as connection:
            for row in connection.execute(query):
                left = room.get(row.task_id, earlier + bool(row.held))
                room[row.task_id] = left - 1
                if left > 0:
                    found.add(row.id)
        return found

    def live_attempts(self, *, after: str | None, limit: int) -> Page[LiveAttempt]:
        query = select(documents).where(documents.c.live_attempt.is_not(None)).order_by(documents.c.id).limit(limit + 1)
        if after is not None:
            query = query.where(documents.c.id > after)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        items = [LiveAttempt(row.tenant, row.id, row.live_attempt, row.chunks or 0, row.rev) for row in rows[:limit]]
        return Page(items, items[-1].document_id if len(rows) > limit else None)

    @again_on_collision
    def owe_embedding(self, document_id: str, *, attempt: int) -> bool:
        with self._database.write() as connection:
            query = select(documents).where(documents.c.id == document_id).with_for_update()
            row = connection.execute(query).one_or_none()
            if row is None or row.live_attempt != attempt:
                return False
            if row.live_version != row.version and row.state != DocumentState.FAILED.value:
                return False
            live = dict(row._mapping) | {"version": row.live_version}
            task = ledger.task_row(live, Stage.EMBED, now=time_of(connection))
            ledger.owe(connection, task, unless_open=True)
            return True

    @again_on_collision
    def owe_repaint(self, document_id: str) -> bool:
        with self._database.write() as connection:
            query = select(documents).where(documents.c.id == document_id).with_for_update()
            row = connection.execute(query).one_or_none()
            if row is None or row.live_attempt is None:
                return False
            ledger.owe_repaint(connection, dict(row._mapping), now=time_of(connection), unless_open=True)
            return True

    # --- claims ---

    @again_on_collision
    def claim(self, task_id: int, *, worker: str, lease_s: float) -> Claim | None:
        with self._database.write() as connection:
            now = time_of(connection)
            found = connection.execute(select(tasks.c.document_id).where(tasks.c.id == task_id)).one_or_none()
            if found is None:
                return None
            document = _document(connection, found.document_id)
            task = connection.execute(select(tasks).where(tasks.c.id == task_id).with_for_update()).one()
            if task.done_at is not None or task.retry_at > now:
                return None
            if task.lease_until is not None and task.lease_until > now:
                return None
            if not claims.is_wanted(task, document):
                claims.close(connection, task, now=now)
                return None
            if deaths.was_its_own(connection, task, claimer=worker, now=now):
                task = self._count_lapse(connection, task, now=now)
                if task.done_at is not None or task.retry_at > now:
                    return None
            return claims.take(connection, task, document, worker=worker, until=now + lease_s, now=now)

    @again_on_collision
    def heartbeat(self, worker: str, *, lease_s: float) -> None:
        with self._database.write() as connection:
            connection.execute(
                update(tasks)
                .where(tasks.c.worker == worker, tasks.c.done_at.is_(None))
                .values(lease_until=self._database.clock + lease_s, seen_at=self._database.clock)
            )

    # --- outcomes ---

    @again_on_collision
    def parsed(self, claim: Claim, outcome: ParseOutcome) -> bool:
        with self._database.write() as connection:
            now = time_of(connection)
            task = claims.held(connection, claim)
            if task is None:
                return False
            claims.finish(connection, claim, Outcome.DONE, outcome.counts, now=now)
            claims.close(connection, task, now=now)
            row = _document(connection, claim.document.id)
            if not claims.is_wanted(task, row):
                return False
            version = _write_outcome(connection, claim, outcome)
            document = _plain(row)
            if row.version == claim.version:
                document |= {"state": DocumentState.EMBEDDING.value, "updated_at": now}
                if row.live_version is None:
                    document = showing(document, version)
                connection.execute(update(documents).where(documents.c.id == row.id).values(**document))
            ledger.owe(connection, ledger.task_row(document | {"version": claim.version}, Stage.EMBED, now=now))
            return True

    @again_on_collision
    def switch(self, claim: Claim, *, rev: int, counts: Mapping[str, Any]) -> tuple[Switch, Document]:
        with self._database.write() as connection:
            now = time_of(connection)
            row = _document(connection, claim.document.id)
            task = claims.held(connection, claim)
            if row.live_attempt == claim.attempt:  # asked again: the answer was lost, the switch was not
                return Switch.SWITCHED, as_document(row)
            if task is None:
                self._owe_erase_of_attempt(connection, claim, row, now=now)
                return Switch.LOST, as_document(row)
            if not claims.is_wanted(task, row):
                claims.finish(connection, claim, Outcome.DONE, counts, now=now, error="overtaken by a newer version")
                claims.close(connection, task, now=now)
                self._owe_erase_of_attempt(connection, claim, row, now=now)
                return Switch.OVERTAKEN, as_document(row)
            if row.rev != rev:
                return Switch.ATTRIBUTES_MOVED, as_document(row)
            document = self._published(connection, claim, row, now=now)
            claims.finish(connection, claim, Outcome.DONE, counts, now=now)
            claims.close(connection, task, now=now)
            ledger.owe(connection, ledger.task_row(document | {"version": claim.version}, Stage.ERASE, now=now))
            return Switch.SWITCHED, as_document(_document(connection, claim.document.id))

    def _published(self, connection: Connection, claim: Claim, row: Row[Any], *, now: float) -> dict[str, Any]:
        version = claims.version_row(connection, row.id, claim.version)
        assert version is not None  # the newest version has its row, and so has the live one
        live = {"live_version": claim.version, "live_attempt": claim.attempt, "updated_at": now}
        document = showing(_plain(row) | live, dict(version._mapping))
        if claim.version == row.version:
            partial = version.partial_code is not None
            document |= {
                "state": (DocumentState.PARTIAL if partial else DocumentState.SEARCHABLE).value,
                "code": version.partial_code,
                "reason": version.partial_reason,
            }
            ledger.close_letters(connection, row.id, by="published", now=now)
            ledger.release(connection, version, now=now)
        # The points were written with these fields; what was painted meanwhile had the ones of the version before.
        moved = document["fields"] != row.fields
        document["rev"] = row.rev + moved
        connection.execute(update(documents).where(documents.c.id == row.id).values(**document))
        if moved:
            ledger.owe_repaint(connection, document, now=now)
        return document

    def _owe_erase_of_attempt(self, connection: Connection, claim: Claim, row: Row[Any], *, now: float) -> None:
        document = _plain(row) | {"version": claim.version}
        ledger.owe(connection, ledger.task_row(document, Stage.ERASE, now=now, subject=str(claim.attempt)))

    @again_on_collision
    def done(self, claim: Claim, *, counts: Mapping[str, Any]) -> None:
        with self._database.write() as connection:
            now = time_of(connection)
            task = claims.held(connection, claim)
            if task is None:
                return
            claims.finish(connection, claim, Outcome.DONE, counts, now=now)
            claims.close(connection, task, now=now)
            if claim.stage is not Stage.ERASE or claim.subject:
                return
            row = _document(connection, claim.document.id)
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
            tasks.c.lease_until > self._database.clock,
            tasks.c.stage.in_([Stage.PARSE.value, Stage.EMBED.value]),
        )
        with self._database.read() as connection:
            return bool(connection.execute(query).scalar_one())

    @again_on_collision
    def failed(self, claim: Claim, failure: Failure) -> None:
        with self._database.write() as connection:
            now = time_of(connection)
            task = claims.held(connection, claim)
            if task is None:
                return
            claims.finish(connection, claim, Outcome.FAILED, {}, now=now, error=f"{failure.code}: {failure.reason}")
            failures = task.failures + 1
            if failure.permanent or failures >= self._policy.failures:
                self._park(connection, task, failure, now=now)
                return
            retry_at = now + self._policy.delay(failures)
            claims.free(connection, task, failures=failures, postponements=0, retry_at=retry_at)

    def _park(self, connection: Connection, task: Row[Any], failure: Failure, *, now: float) -> None:
        version = claims.version_row(connection, task.document_id, task.version)
        if task.stage in {Stage.ERASE.value, Stage.REPAINT.value} or version is None:
            # The index owes the catalogue this: it is never given up, only rested.
            claims.free(connection, task, retry_at=now + self._policy.cap_s)
            return
        tried = connection.execute(select(func.count()).where(attempts.c.task_id == task.id)).scalar_one()
        ledger.park(connection, task=task, version=version, failure=failure, attempts=tried, now=now)

    def postpone(self, claim: Claim, *, delay_s: float, growing: bool = True) -> None:
        self._give_back(claim, delay_s, growing=growing)

    def released(self, claim: Claim) -> None:
        self._give_back(claim, 0.0, growing=False)

    @again_on_collision
    def _give_back(self, claim: Claim, delay_s: float, *, growing: bool) -> None:
        with self._database.write() as connection:
            now = time_of(connection)
            task = claims.held(connection, claim)
            if task is not None:
                claims.finish(connection, claim, Outcome.RELEASED, {}, now=now)
                before = task.postponements if growing else 0
                retry_at = now + self._policy.rest(delay_s, before)
                claims.free(connection, task, postponements=task.postponements + growing, retry_at=retry_at)

    @again_on_collision
    def killed_alone(self, claim: Claim, *, reason: str) -> None:
        with self._database.write() as connection:
            now = time_of(connection)
            task = claims.held(connection, claim)
            if task is not None:
                claims.finish(connection, claim, Outcome.INTERRUPTED, {}, now=now, error=reason)
                self._count_kill(connection, task, reason=reason, alone=True, now=now)

    @again_on_collision
    def worker_died(self, worker: str) -> None:
        with self._database.write() as connection:
            now = time_of(connection)
            held = claims.all_held(connection, worker)
            reason = "the worker's process died while it worked on this"
            claims.end_open_attempts(
                connection, attempts.c.worker == worker, Outcome.INTERRUPTED, now=now, error=reason
            )
            for task in held:
                self._count_kill(connection, task, reason=reason, alone=len(held) == 1, now=now)
            connection.execute(delete(leases).where(leases.c.holder == worker))

    def _count_lapse(self, connection: Connection, task: Row[Any], *, now: float) -> Row[Any]:
        """The task as it is after the death of its worker, which nobody reported, was counted."""
        reason = "the worker's process died or stood still while it worked on this"
        alone = deaths.left_alone(connection, task)
        claims.end_open_attempts(connection, attempts.c.task_id == task.id, Outcome.INTERRUPTED, now=now, error=reason)
        self._count_kill(connection, task, reason=reason, alone=alone, now=now)
        return connection.execute(select(tasks).where(tasks.c.id == task.id)).one()

    def _count_kill(self, connection: Connection, task: Row[Any], *, reason: str, alone: bool, now: float) -> None:
        kills = task.kills + alone
        if kills >= self._policy.kills:
            failure = Failure("kills_worker", f"After {kills} tries alone: {reason}.", permanent=True)
            self._park(connection, task, failure, now=now)
            return
        delay = self._policy.kill_delay(kills)
        claims.free(connection, task, kills=kills, suspicions=task.suspicions + 1, retry_at=now + delay)

    @again_on_collision
    def worker_stopped(self, worker: str) -> None:
        with self._database.write() as connection:
            now = time_of(connection)
            held = claims.all_held(connection, worker)
            claims.end_open_attempts(connection, attempts.c.worker == worker, Outcome.RELEASED, now=now)
            for task in held:
                claims.free(connection, task, retry_at=now)
            connection.execute(delete(leases).where(leases.c.holder == worker))

    @again_on_collision
    def predecessors_died(self) -> int:
        with self._database.write() as connection:
            now = time_of(connection)
            reason = "the whole group of processes died"
            claims.end_open_attempts(
                connection, attempts.c.outcome.is_(None), Outcome.INTERRUPTED, now=now, error=reason
            )
            freed = connection.execute(
                update(tasks)
                .where(tasks.c.done_at.is_(None), tasks.c.worker.is_not(None))
                .values(worker=None, lease_until=None)
            )
            connection.execute(delete(leases))
            return int(freed.rowcount)


def _document(connection: Connection, document_id: str) -> Row[Any]:
    query = select_documents().where(documents.c.id == document_id)
    return connection.execute(query.with_for_update(of=documents)).one()


def _plain(row: Row[Any]) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name in documents.c}


def _write_outcome(connection: Connection, claim: Claim, outcome: ParseOutcome) -> dict[str, Any]:
    """The version's row with what its parse found."""
    row = claims.version_row(connection, claim.document.id, claim.version)
    assert row is not None  # it is the newest, or the live one
    title = outcome.title or row.title
    version = dict(row._mapping) | {
        "title": title,
        "chunk_file": outcome.chunk_file,
        "embedded_title": claim.document.title if claim.document.title_given else title,
        "pages": outcome.pages,
        "chunks": outcome.chunks,
        "tokens": outcome.tokens,
        "language": outcome.language,
        "partial_code": outcome.code,
        "partial_reason": outcome.reason,
    }
    here = and_(versions.c.document_id == row.document_id, versions.c.version == row.version)
    connection.execute(update(versions).where(here).values(**version))
    return version


def _forget_versions(connection: Connection, row: Row[Any], *, below: int) -> None:
    """Rows of versions that nothing can need again; their blobs become unreferenced with them."""
    kept = [number for number in (row.live_version, row.version) if number is not None]
    connection.execute(
        delete(versions).where(
            versions.c.document_id == row.id, versions.c.version < below, versions.c.version.not_in(kept)
        )
    )
