"""A claim in rows: how a task comes to be held, whether it still is, and how the hold ends.

A claim is the task's worker, lease and attempt number, set together; the attempt has a row of its own for the timeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, insert, or_, select, update

from retrieval.documents import DocumentState, Outcome, Stage
from retrieval.sql_catalogue.rows import as_content, as_document
from retrieval.sql_catalogue.shown_version import read_as
from retrieval.sql_catalogue.tables import attempts, documents, tasks, versions
from retrieval.tasks import Claim

_WORKING = {Stage.PARSE: DocumentState.PARSING, Stage.EMBED: DocumentState.EMBEDDING}
_GONE = (DocumentState.DELETING.value, DocumentState.DELETED.value)


def is_wanted(task: Row[Any], document: Row[Any]) -> bool:
    """Whether the task still leads anywhere: a version is worked on while it is the newest, or the live one (whose
    points were lost); an erase and a repaint are right however late."""
    if Stage(task.stage) not in _WORKING:
        return True
    return document.state not in _GONE and task.version in (document.version, document.live_version)


def wanted() -> ColumnElement[bool]:
    """The same of a parse or an embedding, to be asked of a join of tasks and documents."""
    leads_to = or_(tasks.c.version == documents.c.version, tasks.c.version == documents.c.live_version)
    return and_(documents.c.state.not_in(_GONE), leads_to)


def take(connection: Connection, task: Row[Any], document: Row[Any], *, worker: str, until: float, now: float) -> Claim:
    """Holds a task that is free: the next fencing number, the lease, the document's state."""
    stage = Stage(task.stage)
    end_open_attempts(connection, attempts.c.task_id == task.id, Outcome.INTERRUPTED, now=now)
    attempt = _begun_attempt(connection, task, worker=worker, now=now)
    held = {"worker": worker, "lease_until": until, "seen_at": now, "attempt": attempt}
    connection.execute(update(tasks).where(tasks.c.id == task.id).values(**held))
    working = _WORKING.get(stage)
    if working is not None and task.version == document.version and document.state != working.value:
        connection.execute(
            update(documents).where(documents.c.id == document.id).values(state=working.value, updated_at=now)
        )
    version = version_row(connection, document.id, task.version)
    found = as_document(document)
    return Claim(
        task_id=task.id,
        attempt=attempt,
        worker=worker,
        stage=stage,
        version=task.version,
        subject=task.subject,
        document=found if version is None or working is None else read_as(found, dict(version._mapping)),
        content=None if version is None else as_content(version),
        chunk_file=None if version is None else version.chunk_file,
        reuse_vectors=True if version is None else version.reuse_vectors,
        failures=task.failures,
    )


def _begun_attempt(connection: Connection, task: Row[Any], *, worker: str, now: float) -> int:
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
    number: int = inserted[0]
    return number


def held(connection: Connection, claim: Claim) -> Row[Any] | None:
    """The task's row, if this claim still holds it; its document is held from now on."""
    connection.execute(select(documents.c.id).where(documents.c.id == claim.document.id).with_for_update())
    return connection.execute(
        select(tasks)
        .where(tasks.c.id == claim.task_id, tasks.c.attempt == claim.attempt, tasks.c.worker.is_not(None))
        .where(tasks.c.done_at.is_(None))
        .with_for_update()
    ).one_or_none()


def all_held(connection: Connection, worker: str) -> Sequence[Row[Any]]:
    """The tasks that a worker holds; their documents are held from now on."""
    its_own = and_(tasks.c.worker == worker, tasks.c.done_at.is_(None))
    of_them = documents.c.id.in_(select(tasks.c.document_id).where(its_own))
    connection.execute(select(documents.c.id).where(of_them).order_by(documents.c.id).with_for_update())
    return connection.execute(select(tasks).where(its_own).order_by(tasks.c.id).with_for_update()).all()


def close(connection: Connection, task: Row[Any], *, now: float) -> None:
    """The task is not owed any more."""
    connection.execute(update(tasks).where(tasks.c.id == task.id).values(done_at=now, worker=None, lease_until=None))


def free(connection: Connection, task: Row[Any], **values: Any) -> None:
    """The task is owed still, and nobody is at it."""
    connection.execute(update(tasks).where(tasks.c.id == task.id).values(worker=None, lease_until=None, **values))


def finish(
    connection: Connection,
    claim: Claim,
    outcome: Outcome,
    counts: Mapping[str, Any],
    *,
    now: float,
    error: str | None = None,
) -> None:
    """How the claim's attempt ended, for the timeline."""
    connection.execute(
        update(attempts)
        .where(attempts.c.id == claim.attempt)
        .values(outcome=outcome.value, ended_at=now, counts=dict(counts), error=error)
    )


def end_open_attempts(
    connection: Connection, where: Any, outcome: Outcome, *, now: float, error: str | None = None
) -> None:
    """The same of attempts whose workers cannot say it themselves."""
    connection.execute(
        update(attempts)
        .where(where, attempts.c.outcome.is_(None))
        .values(outcome=outcome.value, ended_at=now, error=error)
    )


def version_row(connection: Connection, document_id: str, version: int) -> Row[Any] | None:
    return connection.execute(
        select(versions).where(versions.c.document_id == document_id, versions.c.version == version)
    ).one_or_none()
