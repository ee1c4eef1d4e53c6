"""Pages of what was made, newest first; a page's `next` is the time and id that it ends with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, Table, and_, or_

from retrieval.page import Page

T = TypeVar("T")


def newest_first(
    connection: Connection,
    query: Select[Any],
    of: Table,
    as_item: Callable[[Row[Any]], T],
    *,
    after: str | None,
    limit: int,
) -> Page[T]:
    """The rows of `query` from where the page before ended; `of` has the columns `created_at` and `id`."""
    if after is not None:
        created_at, _, key = after.partition("|")
        moment = float(created_at)
        query = query.where(or_(of.c.created_at < moment, and_(of.c.created_at == moment, of.c.id > key)))
    query = query.order_by(of.c.created_at.desc(), of.c.id).limit(limit + 1)
    rows = connection.execute(query).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return Page([as_item(row) for row in rows[:limit]], None if last is None else f"{last.created_at!r}|{last.id}")
