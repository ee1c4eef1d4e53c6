"""The dispatcher publishes what is due, bounded and fair, and only while it holds the lease."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingest.dispatcher import Dispatcher
from ingest.leasing import NamedLease
from ingest.memory_queue import MemoryQueue
from ingest.socket_doorbell import SocketDoorbell, SocketDoorbellButton
from retrieval.documents import DocumentState, Lane, Stage
from retrieval.errors import CatalogueUnavailable, QueueUnavailable
from retrieval.tasks import TaskPointer
from tests.corpus import Corpus


@pytest.fixture
def bell() -> Iterator[tuple[SocketDoorbell, SocketDoorbellButton]]:
    with tempfile.TemporaryDirectory(prefix="bell") as folder:
        path = Path(folder) / "bell"
        doorbell, button = SocketDoorbell(path), SocketDoorbellButton(path)
        yield doorbell, button
        doorbell.close()
        button.close()


def dispatcher(
    corpus: Corpus,
    queue: MemoryQueue,
    doorbell: SocketDoorbell,
    *,
    holder: str = "me",
    poll_s: float = 60,
    catalogue: Any = None,
) -> Dispatcher:
    return Dispatcher(
        catalogue=catalogue or corpus.catalogue,
        queue=queue,
        doorbell=doorbell,
        lease=NamedLease(corpus.catalogue.leases, "dispatcher", holder=holder, seconds=60),
        stages=tuple(Stage),
        poll_s=poll_s,
    )


@contextmanager
def running(one: Dispatcher) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=one.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.005)
    return holds()


def test_what_is_due_is_published_up_to_the_window_and_never_twice(corpus: Corpus, bell: Any) -> None:
    for n in range(7):
        corpus.send(f"Otter {n}.", f"{n}")
    queue = MemoryQueue(window=4)
    one = dispatcher(corpus, queue, bell[0])
    assert one.round()
    assert queue.room(Stage.PARSE, Lane.INTERACTIVE) == 0
    assert not one.round()
    deliveries = queue.take([Stage.PARSE], limit=9, timeout_s=0)
    assert len(deliveries) == 4
    for delivery in deliveries[:2]:
        assert corpus.catalogue.tasks.claim(delivery.pointer.task_id, worker="w", lease_s=60)
        queue.acknowledge(delivery)
    assert one.round()
    more = queue.take([Stage.PARSE], limit=9, timeout_s=0)
    assert len(more) == 2
    assert not {d.pointer.task_id for d in more} & {d.pointer.task_id for d in deliveries}


def test_a_full_window_of_one_stage_does_not_hold_up_another(corpus: Corpus, bell: Any) -> None:
    corpus.send("An otter.", "embed")
    corpus.work(Stage.PARSE)
    for n in range(3):
        corpus.send(f"Otter {n}.", f"{n}")
    queue = MemoryQueue(window=1)
    dispatcher(corpus, queue, bell[0]).round()
    assert [len(queue.take([stage], limit=9, timeout_s=0)) for stage in (Stage.PARSE, Stage.EMBED)] == [1, 1]


def test_a_full_window_of_bulk_work_does_not_hold_up_interactive_work(corpus: Corpus, bell: Any) -> None:
    for n in range(5):
        corpus.send(f"Otter {n}.", f"{n}", lane=Lane.BULK)
    queue = MemoryQueue(window=3)
    one = dispatcher(corpus, queue, bell[0])
    assert one.round()
    assert not one.round()
    corpus.send("An urgent otter.", "urgent")
    assert not one.round()  # it had more room than there was urgent work
    lanes = [delivery.pointer.lane for delivery in queue.take([Stage.PARSE], limit=9, timeout_s=0)]
    assert lanes == [Lane.INTERACTIVE, Lane.BULK, Lane.BULK, Lane.BULK]


def test_between_full_rounds_what_somebody_waits_for_is_published_and_bulk_within_the_next(
    corpus: Corpus, bell: Any
) -> None:
    queue = MemoryQueue(window=9)
    one = dispatcher(corpus, queue, bell[0], poll_s=5)
    corpus.send("A patient otter.", "bulk", lane=Lane.BULK)
    corpus.send("An urgent otter.", "urgent")
    assert not one.urgent_round()
    assert [queue.room(Stage.PARSE, lane) for lane in (Lane.INTERACTIVE, Lane.BULK)] == [8, 9]
    with running(one):
        assert until(lambda: queue.room(Stage.PARSE, Lane.BULK) == 8)
        corpus.send("Another urgent otter.", "second")
        corpus.send("Another patient otter.", "third", lane=Lane.BULK)
        began = time.monotonic()
        bell[1].ring()
        assert until(lambda: queue.room(Stage.PARSE, Lane.BULK) == 7)
        assert time.monotonic() - began < 3  # and not at the next poll
        assert queue.room(Stage.PARSE, Lane.INTERACTIVE) == 7


class Away(MemoryQueue):
    """A queue that is not there for its first publications."""

    failures = 2

    def publish(self, pointers: Sequence[TaskPointer]) -> None:
        if self.failures:
            self.failures -= 1
            raise QueueUnavailable
        super().publish(pointers)


def test_what_a_queue_did_not_take_is_published_when_it_is_back(corpus: Corpus, bell: Any) -> None:
    corpus.send("An otter.")
    queue = Away(window=4)
    with running(dispatcher(corpus, queue, bell[0], poll_s=0.02)):
        assert until(lambda: queue.room(Stage.PARSE, Lane.INTERACTIVE) == 3)
    assert queue.failures == 0


def test_a_tenant_with_a_large_backlog_does_not_hold_up_another(corpus: Corpus, bell: Any) -> None:
    for n in range(10):
        corpus.send(f"Otter {n}.", f"{n}", lane=Lane.BULK)
    small = corpus.with_(tenant=f"{corpus.tenant}-small")
    small.send("A small otter.", lane=Lane.BULK)
    queue = MemoryQueue(window=2)
    dispatcher(corpus, queue, bell[0]).round()
    tenants = {delivery.pointer.tenant for delivery in queue.take([Stage.PARSE], limit=9, timeout_s=0)}
    assert tenants == {corpus.tenant, small.tenant}


def test_deletions_of_collections_are_taken_on_the_way(corpus: Corpus, bell: Any) -> None:
    document = corpus.add("An otter.", "a")
    corpus.catalogue.collections.delete(corpus.tenant, "docs")
    one = dispatcher(corpus, MemoryQueue(window=4), bell[0])
    assert one.round()
    assert corpus.get(document.id).state is DocumentState.DELETING
    corpus.work()
    one.round()
    assert corpus.catalogue.collections.create(corpus.tenant, "docs")


def test_a_ring_is_followed_by_a_look_at_once(corpus: Corpus, bell: Any) -> None:
    queue = MemoryQueue(window=4)
    with running(dispatcher(corpus, queue, bell[0], poll_s=30)) as stop:
        time.sleep(0.1)
        corpus.send("An otter.")
        bell[1].ring()
        assert until(lambda: queue.room(Stage.PARSE, Lane.INTERACTIVE) == 3)
        stop.set()
        bell[1].ring()


def test_a_lost_ring_costs_one_interval(corpus: Corpus, bell: Any) -> None:
    queue = MemoryQueue(window=4)
    with running(dispatcher(corpus, queue, bell[0], poll_s=0.02)):
        corpus.send("An otter.")
        assert until(lambda: queue.room(Stage.PARSE, Lane.INTERACTIVE) == 3)


def test_of_two_dispatchers_one_works_and_the_other_takes_over(corpus: Corpus, bell: Any) -> None:
    first, second = MemoryQueue(window=4), MemoryQueue(window=4)
    with running(dispatcher(corpus, second, bell[0], holder="second", poll_s=0.02)) as stop:
        corpus.send("An otter.", "a")
        assert until(lambda: second.room(Stage.PARSE, Lane.INTERACTIVE) == 3)
        with running(dispatcher(corpus, first, bell[0], holder="first", poll_s=0.02)):
            corpus.send("Another otter.", "b")
            assert until(lambda: second.room(Stage.PARSE, Lane.INTERACTIVE) == 2)
            assert first.room(Stage.PARSE, Lane.INTERACTIVE) == 4
            stop.set()
            assert until(lambda: first.room(Stage.PARSE, Lane.INTERACTIVE) == 2)


class Unreliable:
    """A catalogue that is not there for its first questions."""

    def __init__(self, corpus: Corpus, failures: int) -> None:
        self._catalogue = corpus.catalogue
        self.failures = failures

    def __getattr__(self, name: str) -> Any:
        if name == "tasks" and self.failures:
            self.failures -= 1
            raise CatalogueUnavailable
        return getattr(self._catalogue, name)


def test_a_catalogue_that_is_away_for_a_while_stops_nothing(corpus: Corpus, bell: Any) -> None:
    corpus.send("An otter.")
    queue = MemoryQueue(window=4)
    with running(dispatcher(corpus, queue, bell[0], poll_s=0.02, catalogue=Unreliable(corpus, 3))):
        assert until(lambda: queue.room(Stage.PARSE, Lane.INTERACTIVE) == 3)
