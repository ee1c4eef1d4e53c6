"""What several nouns write within one transaction: owing a task, a new version, a dead letter, a tombstone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from retrieval.documents import DocumentState, Lane, Stage
from retrieval.sql_catalogue.tables import dead_letters, documents, tasks, versions
from retrieval.tasks import Failure

_QUARANTINE_CODES: Final = ("kills_worker", "parse_limit")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a task is tried, and how long it rests between two tries.

    `failures`: reported failures until it is parked. `suspicions`: deaths of its own worker until it runs alone.
    `kills`: deaths while it ran alone until it is parked as `kills_worker`.
    """

    failures: int = 3
    suspicions: int = 2
    kills: int = 10
    base_s: float = 1.0
    cap_s: float = 300.0
    rest_cap_s: float = 30.0  # what is back again is noticed within so long
    kill_base_s: float = 0.1  # a parser child costs milliseconds, and its death holds up nobody

    def delay(self, failures: int) -> float:
        """Growing and jittered, so that what failed together does not come back together."""
        return float(min(self.cap_s, self.base_s * 4 ** max(0, failures - 1)) * random.uniform(0.5, 1.0))

    def rest(self, first_s: float, postponements: int) -> float:
        """The same for what was not available: it costs the document nothing, so it is tried for ever."""
        growth = 2.0 ** min(postponements, 30)
        return float(min(max(first_s, self.rest_cap_s), first_s * growth) * random.uniform(0.5, 1.0))

    def kill_delay(self, kills: int) -> float:
        return float(min(self.cap_s, self.kill_base_s * 2 ** max(0, kills - 1), 5.0))


def upsert(connection: Connection, table: Table) -> Any:
    """An INSERT that can say ON CONFLICT, in the connection's dialect."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def task_row(document: Mapping[str, Any], stage: Stage, *, now: float, subject: str = "") -> dict[str, Any]:
    return {
        "tenant": document["tenant"],
        "document_id": document["id"],
        "version": document["version"],
        "stage": stage.value,
        "subject": subject,
        "lane": document["lane"] if stage in {Stage.PARSE, Stage.EMBED} else Lane.INTERACTIVE.value,
        "failures": 0,
        "suspicions": 0,
        "kills": 0,
        "postponements": 0,
        "retry_at": now,
        "worker": None,
        "lease_until": None,
        "seen_at": None,
        "attempt": None,
        "created_at": now,
        "done_at": None,
    }


def owe(connection: Connection, row: Mapping[str, Any], *, unless_open: bool = False) -> None:
    """Writes a task, or opens it again with a clean record: whoever was at it has lost it, unless `unless_open` lets
    one that is open be."""
    statement = upsert(connection, tasks).values(**row)
    kept = {"tenant", "document_id", "version", "stage", "subject", "created_at"}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["document_id", "version", "stage", "subject"],
            set_={name: statement.excluded[name] for name in row if name not in kept},
            where=tasks.c.done_at.is_not(None) if unless_open else None,
        )
    )


def owe_repaint(connection: Connection, document: Mapping[str, Any], *, now: float, unless_open: bool = False) -> None:
    row = task_row(document, Stage.REPAINT, now=now, subject=str(document["rev"]))
    owe(connection, row, unless_open=unless_open)


def quarantines() -> ColumnElement[bool]:
    """The dead letters whose content is refused: until somebody redrives or drops them, or the parser changes. That
    their document was deleted or got another content meanwhile makes theirs no better."""
    undecided = or_(dead_letters.c.closed_at.is_(None), dead_letters.c.closed_by.in_(["superseded", "deleted"]))
    return and_(dead_letters.c.code.in_(_QUARANTINE_CODES), undecided)


def release(connection: Connection, version: Row[Any], *, now: float) -> None:
    """This content came through after all."""
    of_it = and_(dead_letters.c.tenant == version.tenant, dead_letters.c.sha256 == version.sha256)
    closed = dead_letters.c.closed_at.is_not(None)
    connection.execute(
        update(dead_letters)
        .where(of_it, dead_letters.c.fingerprint == version.fingerprint, closed, quarantines())
        .values(closed_at=now, closed_by="published")
    )


def owe_title(connection: Connection, document: Mapping[str, Any], *, now: float) -> None:
    """Owes the live version again, should another title be shown by now than its passages are found by. That is for a
    document whose newest version failed; any other's new version brings the title."""
    here = and_(versions.c.document_id == document["id"], versions.c.version == document["live_version"])
    live = connection.execute(select(versions.c.title, versions.c.embedded_title).where(here)).one_or_none()
    if live is None:
        return
    title = document["title"] if document["title_given"] else live.title
    if live.embedded_title not in {None, title}:
        owe(connection, task_row({**document, "version": document["live_version"]}, Stage.PARSE, now=now))


def close_letters(connection: Connection, document_id: str, *, by: str, now: float) -> None:
    connection.execute(
        update(dead_letters)
        .where(dead_letters.c.document_id == document_id, dead_letters.c.closed_at.is_(None))
        .values(closed_at=now, closed_by=by)
    )


def park(
    connection: Connection,
    *,
    task: Row[Any],
    version: Row[Any],
    failure: Failure,
    attempts: int,
    now: float,
) -> None:
    """Puts the task aside: the document (if this is still its newest version) fails, the evidence is kept."""
    connection.execute(update(tasks).where(tasks.c.id == task.id).values(done_at=now, worker=None, lease_until=None))
    if task.stage not in {Stage.PARSE, Stage.EMBED}:
        return
    changed = connection.execute(
        update(documents)
        .where(
            documents.c.id == task.document_id,
            documents.c.version == task.version,
            documents.c.state.not_in([DocumentState.DELETING.value, DocumentState.DELETED.value]),
        )
        .values(state=DocumentState.FAILED.value, code=failure.code, reason=failure.reason, updated_at=now)
    )
    if changed.rowcount:
        failed = connection.execute(select(documents).where(documents.c.id == task.document_id)).one()
        owe_title(connection, dict(failed._mapping), now=now)
        connection.execute(
            insert(dead_letters).values(
                id=str(uuid4()),
                tenant=task.tenant,
                document_id=task.document_id,
                version=task.version,
                stage=task.stage,
                code=failure.code,
                reason=failure.reason,
                sha256=version.sha256,
                fingerprint=version.fingerprint,
                attempts=attempts,
                evidence=dict(failure.evidence),
                created_at=now,
            )
        )


def bury(connection: Connection, document: Mapping[str, Any], *, now: float) -> None:
    """The tombstone: a new version that nothing will ever fill; search stops with this commit, the erase is owed."""
    version = document["version"] + 1
    connection.execute(
        update(documents)
        .where(documents.c.id == document["id"])
        .values(
            version=version,
            state=DocumentState.DELETING.value,
            live_version=None,
            live_attempt=None,
            code=None,
            reason=None,
            updated_at=now,
        )
    )
    close_letters(connection, document["id"], by="deleted", now=now)
    owe(connection, task_row({**document, "version": version}, Stage.ERASE, now=now))


def new_version(connection: Connection, document: Mapping[str, Any], version: Mapping[str, Any], *, now: float) -> None:
    """A newer version of a known document: its rows are written, what it overtakes is closed."""
    connection.execute(update(documents).where(documents.c.id == document["id"]).values(**document))
    connection.execute(insert(versions).values(**version))
    close_letters(connection, document["id"], by="superseded", now=now)
    owe(connection, task_row(document, Stage.PARSE, now=now))
