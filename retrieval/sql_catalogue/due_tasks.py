"""What is due, fair between tenants, and quick however long the backlog is.

The tenants who have open tasks of a stage and lane are found by leaps over an index (one look for each), and of each
the first few tasks are read from the same index: the cost is of tenants and of the room there is, never of the backlog.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, bindparam, case, or_, select
from sqlalchemy import func as sql

from retrieval.documents import Lane, Stage
from retrieval.sql_catalogue.database import time_of
from retrieval.sql_catalogue.tables import documents, tasks, versions

# How much work a task is; see TaskPointer.
_WEIGHT: Final = sql.coalesce(
    case(
        (tasks.c.stage == Stage.PARSE.value, versions.c.bytes),
        (tasks.c.stage == Stage.EMBED.value, versions.c.tokens),
        else_=0,
    ),
    0,
).label("weight")


def due(
    connection: Connection, stages: Sequence[Stage], lane: Lane, *, excluding: Sequence[int], limit: int
) -> list[Row[Any]]:
    """Rows of tasks with their `weight`, the tenants in turn. Of more tenants than there is room, it is drawn who has
    a turn, so that nobody waits for the alphabet."""
    if limit <= 0:
        return []
    waiting = sorted({tenant for stage in stages for tenant in _tenants(connection, stage, lane)})
    if len(waiting) > limit:
        waiting = random.sample(waiting, limit)
    now = time_of(connection)
    found: dict[str, list[Row[Any]]] = {}
    while waiting:
        # Who has fewer than an equal share leaves the rest to the others.
        room = limit - sum(len(found.get(tenant, ())) for tenant in found if tenant not in waiting)
        share = -(-room // len(waiting))
        for tenant in waiting:
            found[tenant] = _of_tenant(connection, stages, lane, tenant, now=now, excluding=excluding, limit=share)
        more = [tenant for tenant in waiting if len(found[tenant]) == share]
        waiting = more if sum(map(len, found.values())) < limit else []
    turns = [(turn, row.id, row) for rows in found.values() for turn, row in enumerate(rows)]
    return [row for _, _, row in sorted(turns, key=lambda one: one[:2])][:limit]


def open_count(connection: Connection, *, at_most: int) -> int:
    """Tasks not done, in whatever state they are: read from the same index."""
    return int(connection.execute(_OPEN, {"at_most": at_most}).scalar_one())


def backlog(connection: Connection, *, at_most: int) -> int:
    """Open parse and embed tasks whose version is not live."""
    return int(connection.execute(_BACKLOG, {"at_most": at_most}).scalar_one())


def _counted(open_tasks: Select[Any]) -> Select[Any]:
    return select(sql.count()).select_from(open_tasks.limit(bindparam("at_most")).subquery())


_OPEN: Final = _counted(
    select(tasks.c.id).where(tasks.c.stage.in_([stage.value for stage in Stage]), tasks.c.done_at.is_(None))
)
_BACKLOG: Final = _counted(
    select(tasks.c.id)
    .join(documents, documents.c.id == tasks.c.document_id)
    .where(
        tasks.c.stage.in_([Stage.PARSE.value, Stage.EMBED.value]),
        tasks.c.done_at.is_(None),
        documents.c.live_version.is_distinct_from(tasks.c.version),
    )
)


def _leaps() -> Select[Any]:
    """The tenants of one stage and lane, each the smallest after the one before."""
    here = and_(tasks.c.stage == bindparam("stage"), tasks.c.lane == bindparam("lane"), tasks.c.done_at.is_(None))
    known = select(sql.min(tasks.c.tenant).label("tenant")).where(here).cte("known", recursive=True)
    following = select(sql.min(tasks.c.tenant)).where(here, tasks.c.tenant > known.c.tenant)
    known = known.union_all(select(following.scalar_subquery()).where(known.c.tenant.is_not(None)))
    return select(known.c.tenant).where(known.c.tenant.is_not(None))


# Composed once: a dispatcher asks eight times a look, and composing costs ten times what asking does.
_TENANTS: Final = _leaps()


def _tenants(connection: Connection, stage: Stage, lane: Lane) -> list[str]:
    return [row.tenant for row in connection.execute(_TENANTS, {"stage": stage.value, "lane": lane.value})]


def _of_tenant(
    connection: Connection,
    stages: Sequence[Stage],
    lane: Lane,
    tenant: str,
    *,
    now: float,
    excluding: Sequence[int],
    limit: int,
) -> list[Row[Any]]:
    """The tasks whose time came first, of all stages together."""
    rows: list[Row[Any]] = []
    for stage in stages:
        query = (
            select(tasks, _WEIGHT)
            .outerjoin(
                versions,
                and_(versions.c.document_id == tasks.c.document_id, versions.c.version == tasks.c.version),
            )
            .where(
                _open(stage, lane),
                tasks.c.tenant == tenant,
                tasks.c.retry_at <= now,
                or_(tasks.c.lease_until.is_(None), tasks.c.lease_until < now),
                tasks.c.id.not_in(excluding),
            )
            .order_by(tasks.c.retry_at, tasks.c.id)
            .limit(limit)
        )
        rows += connection.execute(query)
    return sorted(rows, key=lambda row: (row.retry_at, row.id))[:limit]


def _open(stage: Stage, lane: Lane) -> Any:
    return and_(tasks.c.stage == stage.value, tasks.c.lane == lane.value, tasks.c.done_at.is_(None))
