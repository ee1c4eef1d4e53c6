"""Deaths that nobody reported: a lease ran out, and whoever comes next judges by what the rows still say.

A worker that is watched has a supervisor who tells what became of it. Of the others only this is known: when they were
last seen to live, and what they left. A death counts as a worker's own if another worker was there before it was last
seen and is there still; where nobody is, the whole group may have died, and that counts for nothing.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, or_, select

from retrieval.documents import Outcome
from retrieval.sql_catalogue.tables import attempts, tasks


def was_its_own(connection: Connection, task: Row[Any], *, claimer: str, now: float) -> bool:
    """Whether the worker of a task whose lease ran out was outlived: by the claimer, or by one with a live lease."""
    if task.worker in (None, claimer):  # it stood still, came back, and is the first to know
        return False
    living = select(tasks.c.worker).where(
        tasks.c.worker.is_not(None), tasks.c.worker != task.worker, tasks.c.done_at.is_(None), tasks.c.lease_until > now
    )
    # Before it was last seen, and not before its lease ran out: after a group's death the next one starts meanwhile.
    was_there = exists().where(
        or_(attempts.c.worker == claimer, attempts.c.worker.in_(living)), attempts.c.started_at <= task.seen_at
    )
    return bool(connection.execute(select(was_there)).scalar_one())


def left_alone(connection: Connection, task: Row[Any]) -> bool:
    """Whether the task is all that its worker left behind. What it left is not ended, or was ended by those who came
    for it earlier; an interruption that it reported itself is older than its last sign of life."""
    by_others = and_(attempts.c.outcome == Outcome.INTERRUPTED.value, attempts.c.ended_at > task.seen_at)
    left = select(func.count()).where(attempts.c.worker == task.worker, or_(attempts.c.outcome.is_(None), by_others))
    return int(connection.execute(left).scalar_one()) == 1
