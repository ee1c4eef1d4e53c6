"""What only a real broker can show of the queue on Kafka."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from ingest.kafka_queue.messages import encode
from ingest.kafka_queue.stage_consumer import PROOF_S, Marks
from ingest.kafka_queue.task_queue import KafkaQueue
from ingest.kafka_queue.topics import ensure_topics
from ingest.task_queue import Delivery
from retrieval.documents import Lane, Stage
from retrieval.errors import QueueUnavailable
from retrieval.tasks import TaskPointer
from tests.kafka_broker import KafkaBroker, KafkaCorner
from tests.running import eventually

# The client leaves sockets of connections that failed to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

ROOT = Path(__file__).resolve().parents[3]
PARSE = [Stage.PARSE]


@pytest.fixture
def corner(kafka_broker: KafkaBroker) -> Iterator[KafkaCorner]:
    with KafkaCorner(kafka_broker) as corner:
        yield corner


def pointer(task_id: int, *, lane: Lane = Lane.INTERACTIVE, weight: int = 0) -> TaskPointer:
    return TaskPointer(task_id, "t", f"d{task_id}", Stage.PARSE, lane, weight=weight)


def pointers(count: int, **said: Any) -> list[TaskPointer]:
    return [pointer(n, **said) for n in range(1, count + 1)]


def taken(queue: KafkaQueue, count: int, *, within_s: float = 15.0) -> list[Delivery]:
    found: list[Delivery] = []
    deadline = time.monotonic() + within_s
    while len(found) < count and time.monotonic() < deadline:
        found += queue.take(PARSE, limit=count - len(found), timeout_s=0.2)
    return found


def ids(deliveries: list[Delivery]) -> list[int]:
    return [delivery.pointer.task_id for delivery in deliveries]


def committed(corner: KafkaCorner, *, lane: Lane = Lane.INTERACTIVE) -> int:
    """The group's committed offset of the first partition; -1 before the first commit."""
    partition = TopicPartition(corner.topics.of(Stage.PARSE, lane), 0)
    group = corner.topics.group(Stage.PARSE)
    admin = KafkaAdminClient(**corner.connection.admin())
    try:
        return int(admin.list_group_offsets({group: [partition]})[group][partition].offset)
    finally:
        admin.close()


def send(corner: KafkaCorner, *messages: dict[str, Any], lane: Lane = Lane.INTERACTIVE) -> None:
    """Raw messages, as anybody may send them."""
    producer = KafkaProducer(**corner.connection.producer())
    topic = corner.topics.of(Stage.PARSE, lane)
    for message in messages:
        producer.send(topic, **message).get(10)
    producer.close()


# --- the dispatcher's end ----------------------------------------------------------------------------------------


def test_a_successor_knows_what_its_predecessor_published(corner: KafkaCorner) -> None:
    corner.queue().publish(pointers(5))
    successor = corner.queue(window=6)
    assert list(successor.outstanding(Stage.PARSE)) == [1, 2, 3, 4, 5]
    assert successor.room(Stage.PARSE, Lane.INTERACTIVE) == 1
    successor.publish([pointer(3)])
    [first, *_] = taken(corner.queue(), 5)
    assert first.pointer == pointer(1)
    assert corner.queue().take(PARSE, limit=9, timeout_s=0.5) == []


def test_a_queue_elsewhere_sees_acknowledgements(corner: KafkaCorner) -> None:
    dispatching, working = corner.queue(), corner.queue()
    dispatching.publish(pointers(5))
    for delivery in taken(working, 5)[1:]:
        working.acknowledge(delivery)
    eventually(lambda: list(dispatching.outstanding(Stage.PARSE)) == [1])


def test_a_topic_that_was_made_anew_has_nothing_outstanding_and_is_consumed_on(corner: KafkaCorner) -> None:
    dispatching, working = corner.queue(), corner.queue()
    dispatching.publish(pointers(5))
    for delivery in taken(working, 5)[2:]:
        working.acknowledge(delivery)
    eventually(lambda: list(dispatching.outstanding(Stage.PARSE)) == [1, 2])
    admin = KafkaAdminClient(**corner.connection.admin())
    admin.delete_topics([corner.topics.of(Stage.PARSE, Lane.INTERACTIVE)])
    admin.close()
    with pytest.raises(QueueUnavailable, match="has no topic"):
        eventually(lambda: dispatching.outstanding(Stage.PARSE) is None)
    ensure_topics(corner.connection, corner.topics, corner.policy)
    eventually(lambda: _quiet(lambda: list(dispatching.outstanding(Stage.PARSE)) == []))
    dispatching.publish(pointers(3))
    assert sorted(ids(taken(working, 3))) == [1, 2, 3]


def _quiet(claim: Any) -> bool:
    """False instead of an answer that is not there yet."""
    try:
        return bool(claim())
    except QueueUnavailable:
        return False


# --- the workers' end --------------------------------------------------------------------------------------------


def test_completions_out_of_order_are_committed_in_order(corner: KafkaCorner) -> None:
    queue = corner.queue()
    queue.publish(pointers(6))
    found = taken(queue, 6)
    for delivery in (found[5], found[1], found[3]):
        queue.acknowledge(delivery)
    eventually(lambda: list(queue.outstanding(Stage.PARSE)) == [1, 3, 5])
    assert committed(corner) == 0
    queue.acknowledge(found[0])
    eventually(lambda: committed(corner) == 2)
    queue.acknowledge(found[2])
    eventually(lambda: committed(corner) == 4)
    queue.acknowledge(found[4])
    eventually(lambda: committed(corner) == 6)


def test_closing_commits_what_was_acknowledged_and_the_rest_is_delivered_again(corner: KafkaCorner) -> None:
    queue = corner.queue()
    queue.publish(pointers(4))
    for delivery in taken(queue, 3)[:2]:
        queue.acknowledge(delivery)
    queue.close()
    assert committed(corner) == 2
    assert ids(taken(corner.queue(), 2)) == [3, 4]


def test_what_is_acknowledged_while_closing_is_committed(corner: KafkaCorner) -> None:
    queue = corner.queue(drain_s=10)
    queue.publish(pointers(1))
    [delivery] = taken(queue, 1)
    closing = threading.Thread(target=queue.close)
    closing.start()
    time.sleep(0.5)
    assert queue.take(PARSE, limit=1, timeout_s=5) == []
    queue.acknowledge(delivery)
    closing.join(5)
    assert not closing.is_alive()
    assert committed(corner) == 1


DYING = """
import sys, time
from ingest.kafka_queue.connection import KafkaConnection
from ingest.kafka_queue.stage_consumer import PROOF_S, Marks
from ingest.kafka_queue.task_queue import KafkaQueue
from ingest.kafka_queue.topics import Topics
from retrieval.documents import Stage
connection = KafkaConnection((sys.argv[1],), session_timeout_s=2)
queue = KafkaQueue(connection, Topics(sys.argv[2]), window=9, marks={Stage.PARSE: Marks(9, 9)}, drain_s=1)
first, second = queue.take([Stage.PARSE], limit=1, timeout_s=30) + queue.take([Stage.PARSE], limit=1, timeout_s=30)
queue.acknowledge(first)
time.sleep(1)
print(first.pointer.task_id, second.pointer.task_id, flush=True)
time.sleep(60)
"""


def test_what_a_dead_process_had_is_delivered_to_another(corner: KafkaCorner) -> None:
    queue = corner.queue()
    queue.publish(pointers(4))
    command = [sys.executable, "-c", DYING, corner.connection.bootstrap[0], corner.topics.prefix]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as dying:
        assert dying.stdout is not None
        assert dying.stdout.readline().split() == ["1", "2"]
        dying.kill()
    assert ids(taken(queue, 3)) == [2, 3, 4]


def test_consumers_that_come_and_go_lose_nothing(kafka_broker: KafkaBroker) -> None:
    seen: list[int] = []
    with KafkaCorner(kafka_broker, partitions=6) as corner:
        publishing = corner.queue(window=1000)

        def work(queue: KafkaQueue, stop: threading.Event) -> None:
            while not stop.is_set():
                for delivery in queue.take(PARSE, limit=2, timeout_s=0.1):
                    time.sleep(0.005)
                    seen.append(delivery.pointer.task_id)
                    queue.acknowledge(delivery)

        consumers = [corner.queue() for _ in range(3)]
        stops = [threading.Event() for _ in consumers]
        workers = [threading.Thread(target=work, args=pair) for pair in zip(consumers, stops, strict=True)]
        for part, worker in enumerate(workers):
            worker.start()
            publishing.publish([pointer(n) for n in range(100 * part + 1, 100 * part + 101)])
            time.sleep(0.7)
        stops[0].set()
        workers[0].join()
        consumers[0].close()
        eventually(lambda: not publishing.outstanding(Stage.PARSE), within_s=30)
        health = [consumer.health()[0] for consumer in consumers[1:]]
        for stop, worker in zip(stops[1:], workers[1:], strict=True):
            stop.set()
            worker.join()
    assert set(seen) == set(range(1, 301))
    assert len(seen) < 600
    assert sorted(one.partitions for one in health) == [6, 6] or all(one.member for one in health)


def test_a_task_longer_than_the_poll_interval_costs_nobody_a_partition(corner: KafkaCorner) -> None:
    queue, other = corner.queue(poll_interval_s=1.5), corner.queue(poll_interval_s=1.5)
    queue.publish(pointers(2))
    [delivery] = taken(queue, 1)
    assert other.take(PARSE, limit=1, timeout_s=3.5) == []
    assert queue.health()[0].member
    queue.acknowledge(delivery)
    eventually(lambda: committed(corner) == 1)
    assert ids(taken(queue, 1)) == [2]


def test_a_process_takes_no_more_pointers_than_its_mark(corner: KafkaCorner) -> None:
    queue = corner.queue(marks=Marks(count=4, weight=1 << 50))
    queue.publish(pointers(10))
    [first, second] = taken(queue, 2)
    time.sleep(0.5)
    assert pending(queue)[Lane.INTERACTIVE] == (4, 0)
    queue.acknowledge(first)
    time.sleep(0.3)
    assert pending(queue)[Lane.INTERACTIVE][0] == 3  # not yet down to half
    queue.acknowledge(second)
    eventually(lambda: pending(queue)[Lane.INTERACTIVE][0] == 4)
    assert ids(taken(queue, 4)) == [3, 4, 5, 6]


def test_a_process_takes_no_more_weight_than_its_mark(corner: KafkaCorner) -> None:
    queue = corner.queue(marks=Marks(count=100, weight=100))
    queue.publish(pointers(10, weight=40))
    found = taken(queue, 3)
    time.sleep(0.5)
    assert pending(queue)[Lane.INTERACTIVE] == (3, 120)
    for delivery in found[:2]:
        queue.acknowledge(delivery)
    eventually(lambda: pending(queue)[Lane.INTERACTIVE] == (3, 120))


def test_one_pointer_over_the_mark_is_taken_alone(corner: KafkaCorner) -> None:
    queue = corner.queue(marks=Marks(count=100, weight=100))
    queue.publish(pointers(2, weight=1_000))
    [delivery] = taken(queue, 2, within_s=1)
    queue.acknowledge(delivery)
    assert ids(taken(queue, 1)) == [2]


def test_a_lane_at_its_mark_does_not_hold_up_the_other(corner: KafkaCorner) -> None:
    queue = corner.queue(marks=Marks(count=2, weight=1 << 50))
    queue.publish(pointers(5, lane=Lane.BULK))
    eventually(lambda: taken(queue, 1) and pending(queue)[Lane.BULK][0] == 2)
    queue.publish([pointer(9)])
    eventually(lambda: pending(queue)[Lane.INTERACTIVE][0] == 1)
    assert ids(taken(queue, 1)) == [9]


def pending(queue: KafkaQueue) -> Any:
    return queue.health()[0].pending


# --- what is no message of ours ----------------------------------------------------------------------------------


class _NotText(str):
    """The name of a header that is no UTF-8, as other clients can write it."""

    def encode(self, *_: Any) -> bytes:
        return b"\xff\xfe"


def test_what_is_no_message_of_ours_is_parked_with_its_bytes_and_the_partition_moves_on(corner: KafkaCorner) -> None:
    good = encode(pointer(1))
    future = good.value.replace(b'"1.0"', b'"2.0"')
    strange: list[dict[str, Any]] = [
        {"value": b"\x00\xffnot json", "key": b"k"},
        {"value": b"x" * 20_000},
        {"value": future, "key": good.key},
        {"value": b'{"event":"login"}', "headers": [("traceparent", b"\xff"), ("a", b"b")]},
        {"value": good.value, "key": b"another"},
        {"key": b"deleted", "value": None},
        {"value": b"hidden", "headers": [(_NotText("xx"), b"")]},
    ]
    send(corner, *strange, {"key": good.key, "value": good.value, "headers": good.headers})
    queue = corner.queue()
    [delivery] = taken(queue, 1)
    assert delivery.pointer == pointer(1)
    assert list(queue.outstanding(Stage.PARSE)) == [1]
    queue.acknowledge(delivery)
    eventually(lambda: committed(corner) == 8)
    letters = dead_letters(corner, 7)
    reasons = [letter["ragstone-reason"] for letter in letters]
    assert reasons == ["malformed", "oversized", "version", "foreign", "foreign", "foreign", "unreadable"]
    assert [letter["value"] for letter in letters[:5]] == [message["value"] for message in strange[:5]]
    assert [letter["key"] for letter in letters[:3]] == [b"k", b"", good.key]
    assert [letter["ragstone-offset"] for letter in letters] == ["0", "1", "2", "3", "4", "5", "6"]
    assert {letter["ragstone-topic"] for letter in letters} == {corner.topics.of(Stage.PARSE, Lane.INTERACTIVE)}


def dead_letters(corner: KafkaCorner, count: int) -> list[dict[str, Any]]:
    consumer = KafkaConsumer(**corner.connection.consumer(None))
    partition = TopicPartition(corner.topics.dead_letters, 0)
    consumer.assign([partition])
    consumer.seek(partition, 0)
    found: list[Any] = []
    deadline = time.monotonic() + 10
    while len(found) < count and time.monotonic() < deadline:
        found += consumer.poll(200).get(partition, [])
    consumer.close()
    return [
        {name: value.decode() for name, value in one.headers} | {"key": one.key, "value": one.value} for one in found
    ]


# --- brokers that go away ----------------------------------------------------------------------------------------


def test_a_broker_that_goes_away_for_a_while_costs_nothing(corner: KafkaCorner, kafka_broker: KafkaBroker) -> None:
    dispatching, working = corner.queue(timeout_s=2), corner.queue(timeout_s=2)
    dispatching.publish(pointers(3))
    found = taken(working, 2)
    kafka_broker.stop()
    try:
        with pytest.raises(QueueUnavailable):
            dispatching.publish([pointer(4)])
        with pytest.raises(QueueUnavailable):
            dispatching.room(Stage.PARSE, Lane.BULK)
        assert ids(taken(working, 1, within_s=1)) == [3]  # it was here already
        for delivery in found:
            working.acknowledge(delivery)
        assert working.take(PARSE, limit=1, timeout_s=0.5) == []
        eventually(lambda: working.health()[0].silent_s > PROOF_S + 1)
    finally:
        kafka_broker.start()
    eventually(lambda: _quiet(lambda: dispatching.publish([pointer(4)]) is None), within_s=30)
    # The session may have ended meanwhile: then also what could not be committed comes again.
    eventually(lambda: 4 in ids(taken(working, 1, within_s=1)))
    eventually(lambda: working.health()[0].silent_s < PROOF_S)


def test_a_broker_that_hangs_is_unavailable_within_the_time(corner: KafkaCorner, kafka_broker: KafkaBroker) -> None:
    queue = corner.queue(timeout_s=1)
    queue.publish(pointers(1))
    kafka_broker.hang()
    try:
        started = time.monotonic()
        with pytest.raises(QueueUnavailable):
            queue.publish([pointer(2)])
        assert time.monotonic() - started < 15
    finally:
        kafka_broker.wake()
    eventually(lambda: _quiet(lambda: queue.publish([pointer(2)]) is None))
    assert sorted(set(ids(taken(queue, 2)))) == [1, 2]


def test_without_any_broker_nothing_can_be_taken_and_closing_is_quick(corner: KafkaCorner) -> None:
    queue = corner.queue(bootstrap=("127.0.0.1:1",), timeout_s=1)
    assert queue.take(PARSE, limit=1, timeout_s=1.5) == []
    with pytest.raises(QueueUnavailable):
        queue.room(Stage.PARSE, Lane.BULK)
    [health] = queue.health()
    assert not health.member
    assert health.failure
    threads = threading.active_count()
    assert not queue.take(PARSE, limit=1, timeout_s=3)
    assert threading.active_count() <= threads + 1  # a try leaves no thread behind
    started = time.monotonic()
    queue.close()
    assert time.monotonic() - started < 5
