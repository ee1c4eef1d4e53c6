"""What every Queue promises, on each that we have. Another broker is another parameter of the `queue` fixture."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from ingest.memory_queue import MemoryQueue
from ingest.routed_queue import RoutedQueue
from ingest.task_queue import Delivery, Queue
from retrieval.documents import Lane, Stage
from retrieval.errors import QueueUnavailable
from retrieval.tasks import TaskPointer
from tests.kafka_broker import KafkaBroker, KafkaCorner
from tests.running import eventually

WINDOW = 8
PARSE = [Stage.PARSE]
# A broker's answer is on its way; what is not there by then will not come.
PATIENCE_S = 10.0


@pytest.fixture(params=["memory", "routed", "kafka"])
def queue(request: pytest.FixtureRequest) -> Iterator[Queue]:
    if request.param in {"memory", "routed"}:
        made: Queue = MemoryQueue(window=WINDOW) if request.param == "memory" else routed()
        yield made
        made.close()
        return
    broker: KafkaBroker = request.getfixturevalue("kafka_broker")
    with KafkaCorner(broker) as corner:
        yield corner.queue(window=WINDOW)


def routed() -> RoutedQueue:
    """As processes joined by brokers have it: what erases and repaints is a queue of its own."""
    joined, own = MemoryQueue(window=WINDOW), MemoryQueue(window=WINDOW)
    return RoutedQueue({Stage.PARSE: joined, Stage.EMBED: joined, Stage.ERASE: own, Stage.REPAINT: own})


def pointer(
    task_id: int, *, stage: Stage = Stage.PARSE, lane: Lane = Lane.INTERACTIVE, solitary: bool = False, weight: int = 0
) -> TaskPointer:
    return TaskPointer(task_id, "t", f"d{task_id}", stage, lane, solitary, weight)


def deliveries(queue: Queue, count: int, stages: list[Stage] = PARSE) -> list[Delivery]:
    """As many as are wanted, however they come."""
    found: list[Delivery] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < deadline:
        found += queue.take(stages, limit=count - len(found), timeout_s=0.2)
    return found


def ids(taken: list[Delivery]) -> list[int]:
    return [delivery.pointer.task_id for delivery in taken]


def nothing_comes(queue: Queue, stages: list[Stage] = PARSE) -> bool:
    return queue.take(stages, limit=9, timeout_s=0.5) == []


def settled(queue: Queue, claim: Callable[[], bool]) -> None:
    """Acknowledgements take a moment to be seen from the other end."""
    eventually(claim, within_s=PATIENCE_S)


def test_what_was_published_is_taken_once_in_order(queue: Queue) -> None:
    queue.publish([pointer(n) for n in (3, 1, 2)])
    assert ids(deliveries(queue, 2)) == [3, 1]
    assert ids(deliveries(queue, 1)) == [2]
    assert nothing_comes(queue)


def test_a_pointer_arrives_as_it_was_sent(queue: Queue) -> None:
    sent = TaskPointer(7, "tenant", "déjà-vu", Stage.EMBED, Lane.BULK, True, 1 << 40, f"00-{'ab' * 16}-{'cd' * 8}-01")
    queue.publish([sent])
    [delivery] = deliveries(queue, 1, [Stage.EMBED])
    assert delivery.pointer == sent


def test_the_window_is_taken_up_until_a_delivery_is_acknowledged(queue: Queue) -> None:
    queue.publish([pointer(n) for n in range(1, WINDOW + 1)])
    assert queue.room(Stage.PARSE, Lane.INTERACTIVE) == 0
    assert queue.room(Stage.EMBED, Lane.INTERACTIVE) == WINDOW
    taken = deliveries(queue, 3)
    assert queue.room(Stage.PARSE, Lane.INTERACTIVE) == 0
    assert list(queue.outstanding(Stage.PARSE)) == list(range(1, WINDOW + 1))
    for delivery in taken:
        queue.acknowledge(delivery)
        queue.acknowledge(delivery)
    settled(queue, lambda: queue.room(Stage.PARSE, Lane.INTERACTIVE) == 3)
    assert list(queue.outstanding(Stage.PARSE)) == [4, 5, 6, 7, 8]


def test_what_is_acknowledged_out_of_order_leaves_the_window_at_once(queue: Queue) -> None:
    queue.publish([pointer(n) for n in range(1, 5)])
    taken = deliveries(queue, 4)
    for delivery in taken[1:]:
        queue.acknowledge(delivery)
    settled(queue, lambda: list(queue.outstanding(Stage.PARSE)) == [1])
    queue.publish([pointer(3)])
    assert ids(deliveries(queue, 1)) == [3]


def test_a_full_window_of_bulk_pointers_leaves_the_interactive_one_free(queue: Queue) -> None:
    queue.publish([pointer(n, lane=Lane.BULK) for n in range(1, WINDOW + 1)])
    assert queue.room(Stage.PARSE, Lane.BULK) == 0
    assert queue.room(Stage.PARSE, Lane.INTERACTIVE) == WINDOW


def test_a_pointer_that_is_outstanding_is_not_published_twice(queue: Queue) -> None:
    queue.publish([pointer(1), pointer(1)])
    queue.publish([pointer(1)])
    [delivery] = deliveries(queue, 1)
    queue.publish([pointer(1), pointer(1, lane=Lane.BULK)])
    assert nothing_comes(queue)
    queue.acknowledge(delivery)
    settled(queue, lambda: not queue.outstanding(Stage.PARSE))
    queue.publish([pointer(1)])
    assert ids(deliveries(queue, 1)) == [1]


def test_interactive_pointers_overtake_bulk_ones(queue: Queue) -> None:
    bulk = [pointer(n, lane=Lane.BULK) for n in (1, 2, 3)]
    queue.publish(bulk)
    [first] = deliveries(queue, 1)
    queue.publish([pointer(4)])
    assert first.pointer == bulk[0]
    time.sleep(0.5)  # both lanes are here
    assert ids(deliveries(queue, 3)) == [4, 2, 3]


def test_a_worker_takes_its_own_stages_only(queue: Queue) -> None:
    queue.publish([pointer(1), pointer(2, stage=Stage.EMBED)])
    assert ids(deliveries(queue, 1, [Stage.EMBED])) == [2]
    assert nothing_comes(queue, [Stage.EMBED])
    assert ids(deliveries(queue, 1, [Stage.EMBED, Stage.PARSE])) == [1]


def test_what_must_run_alone_is_taken_alone(queue: Queue) -> None:
    queue.publish([pointer(1), pointer(2, solitary=True), pointer(3), pointer(4, solitary=True)])
    taken = []
    while sum(map(len, taken)) < 4:
        taken.append(ids(queue.take(PARSE, limit=9, timeout_s=PATIENCE_S)))
    assert taken == [[1], [2], [3], [4]]


def test_a_taker_waits_for_the_first_pointer_and_no_longer(queue: Queue) -> None:
    publishing = threading.Timer(0.1, lambda: queue.publish([pointer(1)]))
    publishing.start()
    started = time.monotonic()
    assert ids(queue.take(PARSE, limit=9, timeout_s=PATIENCE_S)) == [1]
    assert time.monotonic() - started < 5
    publishing.join()
    assert queue.take(PARSE, limit=9, timeout_s=0.05) == []


def test_many_takers_share_without_a_double(queue: Queue) -> None:
    seen: list[int] = []
    lock = threading.Lock()

    def work() -> None:
        while taken := queue.take(PARSE, limit=2, timeout_s=2):
            with lock:
                seen.extend(ids(taken))
            for delivery in taken:
                queue.acknowledge(delivery)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for n in range(1, 201, 10):
        queue.publish([pointer(n + more) for more in range(10)])
    for worker in workers:
        worker.join(20)
    assert sorted(seen) == list(range(1, 201))
    settled(queue, lambda: queue.room(Stage.PARSE, Lane.INTERACTIVE) == WINDOW)


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
    with suppress(QueueUnavailable):
        queue.publish([pointer(1)])
    assert nothing_comes(queue)
