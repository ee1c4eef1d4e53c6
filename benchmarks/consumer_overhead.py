"""What our consumer costs per message: `python -m benchmarks.consumer_overhead [--messages N]`.

`KafkaQueue` (its owner thread polls, decodes, keeps the marks and commits; a worker takes and acknowledges) against a
bare loop around kafka-python's `poll` with the same settings, on the same topic, each with a group of its own. Bare
means that nothing is decoded and nothing is committed. Both take turns, and the best round of each counts.

The goals: ≤ 3 × in processor time, since a message is decoded, locked twice, handed to another thread and its offset
committed, where the bare loop only counts; and ≤ 1 % of what a one-page document costs at all, for which two messages
are read. That is taken for 100 ms of processor time, about what `distributed_cost` finds with embedding.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from kafka import KafkaConsumer

from benchmarks.several_processes import kafka
from ingest.kafka_queue.clients import close_consumer, open_client
from ingest.kafka_queue.stage_consumer import Marks
from ingest.kafka_queue.task_queue import KafkaQueue
from ingest.kafka_queue.topics import STAGES
from retrieval.documents import Lane, Stage
from retrieval.tasks import TaskPointer
from tests.kafka_broker import KafkaBroker, KafkaCorner

ALLOWED_RATIO = 3.0
DOCUMENT_MS = 100.0
MESSAGES_OF_DOCUMENT = 2
ALLOWED_SHARE = 0.01
PARTITIONS = 12
# A parsing process's, with two children.
MARKS = dict.fromkeys(STAGES, Marks(4, 256 << 20))
_PORTION = 500


@dataclass(frozen=True, slots=True)
class Spent:
    """Milliseconds per message."""

    processor: float
    wall: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with kafka() as broker:
        rounds = [one_round(broker, arguments.messages) for _ in range(arguments.rounds)]
    bare, ours = (min(one, key=lambda spent: spent.processor) for one in zip(*rounds, strict=True))
    for name, spent in (("bare poll loop", bare), ("consumer, take and acknowledge", ours)):
        print(f"{name:<32} {spent.processor:.3f} ms of processor time a message, {spent.wall:.3f} ms by the clock")
    ratio = ours.processor / bare.processor
    share = MESSAGES_OF_DOCUMENT * (ours.processor - bare.processor) / DOCUMENT_MS
    print(
        f"ratio {ratio:.2f} (allowed {ALLOWED_RATIO}), {100 * share:.2f} % of a document (allowed {ALLOWED_SHARE:.0%})"
    )
    return 0 if ratio <= ALLOWED_RATIO and share <= ALLOWED_SHARE else 1


def one_round(broker: KafkaBroker, messages: int) -> tuple[Spent, Spent]:
    """Bare and ours, on topics of this round's own."""
    corner = KafkaCorner(broker, partitions=PARTITIONS)
    publishing = KafkaQueue(corner.connection, corner.topics, window=messages, marks=MARKS, drain_s=0)
    for start in range(0, messages, _PORTION):
        publishing.publish([pointer(number) for number in range(start + 1, min(messages, start + _PORTION) + 1)])
    publishing.close()
    return bare_loop(corner, messages), our_consumer(corner, messages)


def pointer(number: int) -> TaskPointer:
    document = f"00000000-0000-0000-0000-{number:012}"
    return TaskPointer(number, "default", document, Stage.PARSE, Lane.INTERACTIVE, weight=2_000)


def bare_loop(corner: KafkaCorner, messages: int) -> Spent:
    consumer = open_client(KafkaConsumer, corner.connection.consumer(f"{corner.topics.prefix}.bare"))
    consumer.subscribe(topics=sorted(corner.topics.of_stage(Stage.PARSE)))

    def read() -> int:
        return sum(map(len, consumer.poll(timeout_ms=100).values()))

    return measured(read, messages, close=lambda: close_consumer(consumer, timeout_s=5))


def our_consumer(corner: KafkaCorner, messages: int) -> Spent:
    queue = KafkaQueue(corner.connection, corner.topics, window=messages, marks=MARKS, drain_s=5)

    def read() -> int:
        taken = queue.take([Stage.PARSE], limit=1, timeout_s=0.5)
        for delivery in taken:
            queue.acknowledge(delivery)
        return len(taken)

    return measured(read, messages, close=queue.close)


def measured(read: Callable[[], int], messages: int, *, close: Callable[[], None]) -> Spent:
    """From the first message on, so that joining the group is not in it, until all is committed and the group left."""
    while not (seen := read()):
        pass
    processor, wall = time.process_time(), time.perf_counter()
    while seen < messages:
        seen += read()
    close()
    took = time.process_time() - processor, time.perf_counter() - wall
    return Spent(*(1000 * seconds / messages for seconds in took))


if __name__ == "__main__":
    sys.exit(main())
