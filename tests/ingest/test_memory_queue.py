"""What the queue in memory has beyond the contract: all stages, and nothing that waits."""

from __future__ import annotations

from ingest.memory_queue import MemoryQueue
from retrieval.documents import Lane, Stage
from retrieval.tasks import TaskPointer


def pointer(task_id: int, stage: Stage) -> TaskPointer:
    return TaskPointer(task_id, "t", f"d{task_id}", stage, Lane.INTERACTIVE)


def test_erasing_and_repainting_go_through_it_too() -> None:
    queue = MemoryQueue(window=4)
    queue.publish([pointer(1, Stage.PARSE), pointer(2, Stage.ERASE), pointer(3, Stage.REPAINT)])
    taken = queue.take([Stage.ERASE, Stage.REPAINT], limit=9, timeout_s=0)
    assert [delivery.pointer.task_id for delivery in taken] == [2, 3]
    assert queue.room(Stage.ERASE, Lane.INTERACTIVE) == 3
    for delivery in taken:
        queue.acknowledge(delivery)
    assert list(queue.outstanding(Stage.ERASE)) == []
    assert list(queue.outstanding(Stage.PARSE)) == [1]
