"""What is due is found quickly, fairly, and with its weight; on each database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from retrieval.documents import Lane, Stage
from retrieval.sql_catalogue.catalogue import SqlCatalogue
from tests.catalogue_fixtures import AT_ONCE
from tests.catalogue_steps import accept, parse, submission

TENANTS = 12


@pytest.fixture
def catalogue(catalogue_url: str) -> Iterator[SqlCatalogue]:
    one = SqlCatalogue(catalogue_url, policy=AT_ONCE, migrate=True)
    yield one
    one.close()


def fill(catalogue: SqlCatalogue, tenant: str, count: int, *, lane: Lane = Lane.BULK) -> None:
    docs = catalogue.collections.create(tenant, f"docs-{lane}")
    for n in range(count):
        accept(catalogue, submission(docs, f"{lane}{n}", text="x" * (n + 1), lane=lane))


def test_a_lane_is_asked_for_by_itself(catalogue: SqlCatalogue) -> None:
    fill(catalogue, "t", 3)
    fill(catalogue, "t", 2, lane=Lane.INTERACTIVE)
    for lane, count in ((Lane.BULK, 3), (Lane.INTERACTIVE, 2)):
        found = catalogue.tasks.due([Stage.PARSE], lane=lane, excluding=[], limit=9)
        assert [pointer.lane for pointer in found] == [lane] * count


def test_a_pointer_weighs_its_bytes_and_later_its_tokens(catalogue: SqlCatalogue) -> None:
    fill(catalogue, "t", 3)
    assert [pointer.weight for pointer in catalogue.tasks.due([Stage.PARSE], excluding=[], limit=9)] == [1, 2, 3]
    parse(catalogue, tokens=77)
    [pointer] = catalogue.tasks.due([Stage.EMBED], excluding=[], limit=9)
    assert pointer.weight == 77


def test_room_that_small_tenants_leave_goes_to_the_others(catalogue: SqlCatalogue) -> None:
    for tenant, count in (("large", 9), ("small", 1), ("middle", 3)):
        fill(catalogue, tenant, count)
    found = catalogue.tasks.due([Stage.PARSE], lane=Lane.BULK, excluding=[], limit=9)
    assert [pointer.tenant for pointer in found][:3] == ["large", "small", "middle"]
    tenants = [pointer.tenant for pointer in found]
    assert (tenants.count("large"), tenants.count("middle"), tenants.count("small")) == (5, 3, 1)


def test_of_more_tenants_than_there_is_room_everybody_has_a_turn(catalogue: SqlCatalogue) -> None:
    for n in range(TENANTS):
        fill(catalogue, f"t{n}", 1)
    served = {
        pointer.tenant
        for _ in range(60)  # nobody is left out of all of them but once in a hundred thousand runs
        for pointer in catalogue.tasks.due([Stage.PARSE], lane=Lane.BULK, excluding=[], limit=3)
    }
    assert len(served) == TENANTS


def test_no_statement_reads_the_whole_backlog(tmp_path: Path, empty_sqlite: Path) -> None:
    catalogue = SqlCatalogue(f"sqlite:///{tmp_path / 'catalogue.db'}", policy=AT_ONCE, migrate=True)
    statements: list[tuple[str, object]] = []
    engine = catalogue.tasks._database.engine

    @event.listens_for(engine, "before_cursor_execute")
    def _remember(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        statements.append((statement, parameters))

    fill(catalogue, "t", 2)
    statements.clear()
    catalogue.tasks.due([Stage.PARSE], lane=Lane.BULK, excluding=[1], limit=9)
    asked = list(statements)
    assert len(asked) >= 2
    with engine.connect() as connection:
        for statement, parameters in asked:
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            of_tasks = [step for step in plan if " tasks" in step]
            assert of_tasks
            assert all("ix_tasks_due (stage=? AND lane=?" in step for step in of_tasks), plan
    catalogue.close()


def test_a_look_that_finds_nothing_costs_little_more_than_any_statement(catalogue: SqlCatalogue) -> None:
    """An idle install looks all day long."""

    def cost(ask: Callable[[], object]) -> float:
        ask()
        started = time.thread_time()
        for _ in range(20):
            ask()
        return time.thread_time() - started

    def look() -> object:
        return catalogue.tasks.due([Stage.PARSE], lane=Lane.BULK, excluding=[], limit=9)

    assert min(cost(look) for _ in range(3)) < 5 * min(cost(catalogue.healthy) for _ in range(3))
