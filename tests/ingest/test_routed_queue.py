"""One queue to whoever publishes and takes, several behind it. What every queue promises is in the contract suite."""

from __future__ import annotations

import pytest

from ingest.memory_queue import MemoryQueue
from ingest.routed_queue import RoutedQueue
from retrieval.documents import Lane, Stage
from retrieval.tasks import TaskPointer


def pointer(task_id: int, stage: Stage) -> TaskPointer:
    return TaskPointer(task_id, "t", f"d{task_id}", stage, Lane.INTERACTIVE)


@pytest.fixture
def joined() -> MemoryQueue:
    return MemoryQueue(window=3)


@pytest.fixture
def own() -> MemoryQueue:
    return MemoryQueue(window=5)


@pytest.fixture
def queue(joined: MemoryQueue, own: MemoryQueue) -> RoutedQueue:
    return RoutedQueue({Stage.PARSE: joined, Stage.EMBED: joined, Stage.ERASE: own, Stage.REPAINT: own})


def ids(queue: MemoryQueue | RoutedQueue, *stages: Stage) -> list[int]:
    return [delivery.pointer.task_id for delivery in queue.take(stages, limit=9, timeout_s=0)]


def test_each_stage_goes_to_its_queue_and_keeps_its_order(
    queue: RoutedQueue, joined: MemoryQueue, own: MemoryQueue
) -> None:
    mixed = [Stage.ERASE, Stage.PARSE, Stage.REPAINT, Stage.PARSE, Stage.ERASE]
    queue.publish([pointer(n, stage) for n, stage in enumerate(mixed)])
    assert ids(joined, Stage.PARSE) == [1, 3]
    assert ids(own, Stage.ERASE) == [0, 4]
    assert ids(own, Stage.REPAINT) == [2]


def test_room_and_what_is_outstanding_are_the_stage_s_queue_s(queue: RoutedQueue) -> None:
    queue.publish([pointer(1, Stage.PARSE), pointer(2, Stage.ERASE)])
    assert [queue.room(stage, Lane.INTERACTIVE) for stage in (Stage.PARSE, Stage.EMBED, Stage.ERASE)] == [2, 3, 4]
    [delivery] = queue.take([Stage.PARSE], limit=9, timeout_s=0)
    queue.acknowledge(delivery)
    assert [list(queue.outstanding(stage)) for stage in (Stage.PARSE, Stage.ERASE)] == [[], [2]]


def test_stages_of_one_queue_are_taken_together_and_those_of_two_are_a_mistake(queue: RoutedQueue) -> None:
    queue.publish([pointer(1, Stage.ERASE), pointer(2, Stage.REPAINT), pointer(3, Stage.PARSE)])
    assert ids(queue, Stage.ERASE, Stage.REPAINT) == [1, 2]
    with pytest.raises(ValueError, match="too many values"):
        queue.take([Stage.PARSE, Stage.ERASE], limit=9, timeout_s=0)


def test_closing_closes_every_queue(queue: RoutedQueue) -> None:
    queue.publish([pointer(1, Stage.PARSE), pointer(2, Stage.ERASE)])
    queue.close()
    assert (ids(queue, Stage.PARSE), ids(queue, Stage.ERASE)) == ([], [])
