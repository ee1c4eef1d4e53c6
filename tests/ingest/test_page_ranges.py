"""Which pages are read next, and what comes of those that fail."""

from __future__ import annotations

import pytest

from ingest.document_budget import DocumentBudget
from ingest.page_ranges import RANGE_PAGES, PageRange, PageRanges, ReadingOver
from ingest.parser_limits import ParserLimits
from ingest.parser_verdicts import PageFailure

LIMITS = ParserLimits(cpu_s=40, wall_s=40.0, result_bytes=10_000)
CRASH = PageFailure("It crashed.", RuntimeError("crashed"))
SLOW = PageFailure("It was slow.", RuntimeError("slow"), by_time=True)


def ranges(pages: int) -> PageRanges:
    return PageRanges(pages, limits=LIMITS, budget=DocumentBudget(LIMITS, children=2))


def test_every_page_is_in_one_range() -> None:
    reading = ranges(2 * RANGE_PAGES + 1)
    assert len(reading) == 3
    taken = [reading.take() for _ in range(4)]
    assert taken == [
        PageRange(1, RANGE_PAGES),
        PageRange(RANGE_PAGES + 1, 2 * RANGE_PAGES),
        PageRange(2 * RANGE_PAGES + 1, 2 * RANGE_PAGES + 1),
        None,
    ]


def test_a_page_that_crashes_is_tried_again_first_and_by_a_fresh_child_and_then_passed_over() -> None:
    reading = ranges(10)
    assert reading.take() == PageRange(1, 10)
    reading.failed_at(4, 10, CRASH)
    assert reading.take() == PageRange(4, 10, fresh=True)
    reading.failed_at(4, 10, CRASH)
    assert reading.take() == PageRange(5, 10, fresh=True)
    reading.failed_at(10, 10, SLOW)
    assert reading.take() is None
    assert reading.first_failure() is CRASH.error


def test_a_slow_page_is_not_tried_again() -> None:
    reading = ranges(10)
    reading.take()
    reading.failed_at(4, 10, SLOW)
    assert reading.take() == PageRange(5, 10, fresh=True)


def test_what_is_judged_is_read_no_further() -> None:
    reading = ranges(10)
    reading.judge(RuntimeError("first"))
    reading.judge(RuntimeError("second"))
    assert reading.take() is None
    with pytest.raises(ReadingOver):
        reading.check()
    with pytest.raises(RuntimeError, match="first"):
        reading.are_decided()


def test_empty_pages_without_end_reach_the_limit_of_the_result() -> None:
    reading = ranges(1_000_000)
    for number in range(1, LIMITS.result_bytes):
        reading.keep(number, b"", cpu_s=0.0)
        if reading.budget.spent() == "result":
            break
    assert number < 200


@pytest.mark.parametrize("children", [1, 2, 64])
def test_pages_read_at_once_may_together_take_no_more_than_the_document(children: int) -> None:
    limits = ParserLimits(cpu_s=640, wall_s=640.0)
    budget = DocumentBudget(limits, children=children)
    for pages_left in (2, 3, 64, 1_000):
        at_once = min(children, pages_left)
        assert at_once * (budget.page_cpu_s(pages_left) - 1) < 640  # rounded up to whole seconds
        assert at_once * budget.page_wall_s(pages_left) <= 640.001


def test_the_only_page_may_take_all_that_its_document_may() -> None:
    budget = DocumentBudget(LIMITS, children=2)
    assert (budget.page_cpu_s(1), budget.page_wall_s(1)) == (40, 40.0)


def test_time_of_children_at_once_is_added() -> None:
    budget = DocumentBudget(LIMITS, children=2)
    with budget.clock(), budget.clock():
        first = budget.wall_s()
        while budget.wall_s() > first - 0.02:
            pass
    assert budget.wall_s() < 40.0 - 0.02
    assert budget.spent() is None
    budget.charge(cpu_s=41.0)
    assert budget.spent() == "cpu"
