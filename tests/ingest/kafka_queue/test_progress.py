"""Completions in any order, commits in order."""

from __future__ import annotations

import random

import pytest

from ingest.kafka_queue.progress import METADATA_CHARACTERS, PartitionProgress, Position, read, written


def started(*offsets: int) -> PartitionProgress:
    progress = PartitionProgress()
    for offset in offsets:
        progress.start(offset, weight=10)
    return progress


def test_nothing_is_committed_before_anything_was_delivered() -> None:
    assert PartitionProgress().position is None


def test_what_is_committed_is_the_highest_contiguous_offset() -> None:
    progress = started(5, 6, 7, 8)
    assert progress.position == Position(5)
    progress.finish(6)
    progress.finish(8)
    assert progress.position == Position(5, "done 1,3")
    progress.finish(5)
    assert progress.position == Position(7, "done 1")
    progress.finish(7)
    assert progress.position == Position(9)


def test_offsets_that_the_log_does_not_have_hold_up_nothing() -> None:
    progress = started(5, 9, 12)
    progress.finish(5)
    assert progress.position == Position(9)
    progress.finish(12)
    progress.finish(9)
    assert progress.position == Position(13)


def test_what_is_pending_and_its_weight_are_counted_once() -> None:
    progress = started(1, 2, 3)
    for _ in range(2):
        progress.finish(2)
    progress.finish(99)
    assert (progress.pending, progress.weight) == (2, 20)


def test_any_order_ends_at_the_same_position_and_never_goes_back() -> None:
    for seed in range(200):
        order = list(range(40))
        random.Random(seed).shuffle(order)
        progress = started(*range(40))
        done: set[int] = set()
        for offset in order:
            progress.finish(offset)
            done.add(offset)
            position = progress.position
            assert position is not None
            assert position.offset == next((n for n in range(40) if n not in done), 40)
            beyond = {n for run in read(position) for n in run}
            assert beyond == {n for n in done if n >= position.offset}
        assert progress.position == Position(40)


def test_metadata_never_grows_beyond_what_brokers_take_and_stays_true() -> None:
    done = range(1, 20_001, 2)
    text = written(done, beyond=0)
    assert METADATA_CHARACTERS - 20 < len(text) <= METADATA_CHARACTERS
    found = [offset for run in read(Position(0, text)) for offset in run]
    assert len(found) > 400
    assert set(found) <= set(done)


@pytest.mark.parametrize(
    "text", ["", "1-3", "done ", "done x", "done 3-1", "done -1", "done 1,,2", "done 0-99999999", "done １"]
)
def test_metadata_of_somebody_else_says_nothing(text: str) -> None:
    assert read(Position(100, text)) == []
