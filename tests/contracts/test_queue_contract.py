"""What every Queue promises. Another broker is another parameter of the `queue` fixture."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from ingest.memory_queue import MemoryQueue
from ingest.task_queue import Queue
from retrieval.documents import Lane, Stage
from retrieval.tasks import TaskPointer

WINDOW = 8
PARSE = [Stage.PARSE]


@pytest.fixture(params=["memory"])
def queue(request: pytest.FixtureRequest) -> Iterator[Queue]:
    assert request.param == "memory"
    made = MemoryQueue(window=WINDOW)
    yield made
    made.close()


def pointer(
    task_id: int, *, stage: Stage = Stage.PARSE, lane: Lane = Lane.INTERACTIVE, solitary: bool = False
) -> TaskPointer:
    return TaskPointer(task_id, "t", f"d{task_id}", stage, lane, solitary)


def taken(queue: Queue, stages: list[Stage] = PARSE, *, limit: int = 9) -> list[int]:
    return [delivery.pointer.task_id for delivery in queue.take(stages, limit=limit, timeout_s=0)]


def test_what_was_published_is_taken_once_in_order(queue: Queue) -> None:
    queue.publish([pointer(n) for n in (3, 1, 2)])
    assert taken(queue, limit=2) == [3, 1]
    assert taken(queue) == [2]
    assert taken(queue) == []


def test_the_window_is_taken_up_until_a_delivery_is_acknowledged(queue: Queue) -> None:
    queue.publish([pointer(n) for n in range(WINDOW)])
    assert (queue.room(Stage.PARSE), queue.room(Stage.EMBED)) == (0, WINDOW)
    deliveries = queue.take(PARSE, limit=3, timeout_s=0)
    assert queue.room(Stage.PARSE) == 0
    assert list(queue.outstanding(Stage.PARSE)) == list(range(WINDOW))
    for delivery in deliveries:
        queue.acknowledge(delivery)
        queue.acknowledge(delivery)
    assert queue.room(Stage.PARSE) == 3
    assert list(queue.outstanding(Stage.PARSE)) == [3, 4, 5, 6, 7]


def test_a_pointer_that_is_outstanding_is_not_published_twice(queue: Queue) -> None:
    queue.publish([pointer(1)])
    queue.publish([pointer(1)])
    [delivery] = queue.take(PARSE, limit=9, timeout_s=0)
    queue.publish([pointer(1)])
    assert taken(queue) == []
    queue.acknowledge(delivery)
    queue.publish([pointer(1)])
    assert taken(queue) == [1]


def test_interactive_pointers_overtake_bulk_ones(queue: Queue) -> None:
    queue.publish([pointer(1, lane=Lane.BULK), pointer(2, lane=Lane.BULK), pointer(3)])
    assert taken(queue) == [3, 1, 2]


def test_a_worker_takes_its_own_stages_only(queue: Queue) -> None:
    queue.publish([pointer(1), pointer(2, stage=Stage.ERASE), pointer(3, stage=Stage.REPAINT)])
    assert taken(queue, [Stage.ERASE, Stage.REPAINT]) == [2, 3]
    assert taken(queue, [Stage.EMBED]) == []


def test_what_must_run_alone_is_taken_alone(queue: Queue) -> None:
    queue.publish([pointer(1), pointer(2, solitary=True), pointer(3), pointer(4, solitary=True)])
    assert [taken(queue) for _ in range(4)] == [[1], [2], [3], [4]]


def test_a_taker_waits_for_the_first_pointer_and_no_longer(queue: Queue) -> None:
    threading.Timer(0.1, lambda: queue.publish([pointer(1)])).start()
    started = time.monotonic()
    assert [d.pointer.task_id for d in queue.take(PARSE, limit=9, timeout_s=10)] == [1]
    assert time.monotonic() - started < 5
    assert queue.take(PARSE, limit=9, timeout_s=0.05) == []


def test_many_takers_share_without_a_double(queue: Queue) -> None:
    seen: list[int] = []
    lock = threading.Lock()

    def work() -> None:
        while deliveries := queue.take(PARSE, limit=2, timeout_s=1):
            with lock:
                seen.extend(delivery.pointer.task_id for delivery in deliveries)
            for delivery in deliveries:
                queue.acknowledge(delivery)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for n in range(200):
        queue.publish([pointer(n)])
    for worker in workers:
        worker.join(10)
    assert sorted(seen) == list(range(200))
    assert queue.room(Stage.PARSE) == WINDOW


def test_closing_wakes_every_taker_and_nothing_is_taken_after(queue: Queue) -> None:
    answers: list[list[object]] = []
    takers = [
        threading.Thread(target=lambda: answers.append(list(queue.take(PARSE, limit=1, timeout_s=60))))
        for _ in range(3)
    ]
    for taker in takers:
        taker.start()
    queue.close()
    for taker in takers:
        taker.join(10)
    assert answers == [[], [], []]
    queue.publish([pointer(1)])
    assert taken(queue) == []
