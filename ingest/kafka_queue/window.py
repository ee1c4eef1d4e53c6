"""The window as the brokers see it: what was published, by whomever, and is not acknowledged.

A reader without a group follows all topics from the groups' committed offsets on and remembers which task each message
names. What was committed, what a commit's metadata calls done, what is no longer in the log, and a topic that was made
anew are forgotten; a task that is forgotten wrongly is published twice, which is harmless.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError, NoError, RetriableError, UnknownTopicOrPartitionError, for_code

from ingest.kafka_queue import progress
from ingest.kafka_queue.clients import close_consumer, open_client
from ingest.kafka_queue.connection import KafkaConnection
from ingest.kafka_queue.messages import BadMessage, decode
from ingest.kafka_queue.progress import Position
from ingest.kafka_queue.reading import Record, Unreadable, poll
from ingest.kafka_queue.sending import Sent
from ingest.kafka_queue.topics import STAGES, Topics
from retrieval.documents import Lane, Stage
from retrieval.errors import QueueUnavailable

# A round of the dispatcher asks several times: what one round sees is one look. Workers commit five times a second.
LOOK_S = 0.05
# While there is plenty of room: nobody else publishes, so what is out of date is only what was done with meanwhile. A
# task that failed is then published again so much later, and a look is the dearest part of a round.
RARE_LOOK_S = 0.5
_POLL_S = 0.1
_RETRY_S = 0.1  # while the brokers are choosing a coordinator


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Of one partition: from where on messages count, which of them are done, and where the log ends."""

    floor: int
    done: Sequence[range]
    end: int

    def holds(self, offset: int) -> bool:
        return self.floor <= offset < self.end and not any(offset in run for run in self.done)


class KafkaWindow:
    """Used by one thread at a time. Raises `QueueUnavailable`; then its clients are made anew at the next look."""

    def __init__(self, connection: KafkaConnection, topics: Topics) -> None:
        self._connection = connection
        self._topics = topics
        self._admin: KafkaAdminClient | None = None
        self._reader: KafkaConsumer | None = None
        self._incarnations: dict[str, tuple[object, int]] = {}  # topic → its id and number of partitions
        self._tasks: dict[TopicPartition, dict[int, int]] = {}  # offset → task id
        self._looked_at = float("-inf")

    def tasks(self, stage: Stage, lane: Lane) -> set[int]:
        """Task ids as of the last look; `look` first."""
        topic = self._topics.of(stage, lane)
        return {
            task_id
            for partition, tasks in self._tasks.items()
            if partition.topic == topic
            for task_id in tasks.values()
        }

    def add(self, sent: Sent, task_id: int) -> None:
        """What was just published, before it is read back."""
        self._tasks.setdefault(sent.partition, {})[sent.offset] = task_id

    def look(self, *, every_s: float = LOOK_S) -> None:
        """Asks the brokers, unless that was so short a time ago."""
        if time.monotonic() - self._looked_at < every_s:
            return
        deadline = time.monotonic() + self._connection.timeout_s
        while True:
            try:
                self._look(deadline)
            except RetriableError as error:
                if time.monotonic() > deadline:
                    self.close()
                    raise QueueUnavailable(f"Kafka does not say what is in flight: {error}") from error
                time.sleep(_RETRY_S)
            except KafkaError as error:
                self.close()
                raise QueueUnavailable(f"Kafka does not say what is in flight: {error}") from error
            else:
                self._looked_at = time.monotonic()
                return

    def _look(self, deadline: float) -> None:
        if self._admin is None:
            self._admin = open_client(KafkaAdminClient, self._connection.admin())
        if self._reader is None:
            self._reader = open_client(KafkaConsumer, self._connection.consumer(None))
            self._incarnations = {}
        self._follow(self._reader, self._admin)
        bounds = self._bounds(self._admin)
        for partition, tasks in self._tasks.items():
            self._tasks[partition] = {offset: task for offset, task in tasks.items() if bounds[partition].holds(offset)}
        self._catch_up(self._reader, bounds, deadline)

    def _follow(self, reader: KafkaConsumer, admin: KafkaAdminClient) -> None:
        """Assigns all partitions; those of a topic that was made anew are read again from their beginning."""
        found = {}
        for topic in admin.describe_topics(list(self._topics.work)):
            error = for_code(topic["error_code"])
            if error is UnknownTopicOrPartitionError:
                raise QueueUnavailable(f"Kafka has no topic {topic['name']}: a start of ragstone makes it.")
            if error is not NoError:
                raise error(topic["name"])
            found[topic["name"]] = (topic["topic_id"], len(topic["partitions"]))
        if found == self._incarnations:
            return
        kept = {
            partition: reader.position(partition)
            for partition in reader.assignment()
            if found[partition.topic] == self._incarnations.get(partition.topic)
        }
        partitions = [TopicPartition(name, n) for name, (_, count) in found.items() for n in range(count)]
        reader.assign(partitions)
        for partition in partitions:
            reader.seek(partition, kept.get(partition) or 0)
        self._tasks = {
            partition: self._tasks.get(partition, {}) if partition in kept else {} for partition in partitions
        }
        self._incarnations = found

    def _bounds(self, admin: KafkaAdminClient) -> dict[TopicPartition, _Bounds]:
        groups = {
            self._topics.group(stage): [one for one in self._tasks if one.topic in self._topics.of_stage(stage)]
            for stage in STAGES
        }
        # The ends last: whatever was committed lies before them.
        committed = {
            partition: Position(found.offset, found.metadata or "")
            for offsets in admin.list_group_offsets(groups).values()
            for partition, found in offsets.items()
        }
        starts = _offsets(admin, self._tasks, OffsetSpec.EARLIEST)
        ends = _offsets(admin, self._tasks, OffsetSpec.LATEST)
        return {one: _bounds(committed.get(one), starts[one], ends[one]) for one in self._tasks}

    def _catch_up(self, reader: KafkaConsumer, bounds: Mapping[TopicPartition, _Bounds], deadline: float) -> None:
        behind = set()
        for partition, bound in bounds.items():
            if bound.floor == bound.end:
                continue  # nothing counts there, wherever the reader stands
            position = reader.position(partition)
            if position is None or not bound.floor <= position <= bound.end:
                reader.seek(partition, bound.floor)
            if position is None or position < bound.end:
                behind.add(partition)
        while behind:
            try:
                for record in poll(reader, timeout_s=_POLL_S):
                    if bounds[record.partition].holds(record.offset):
                        self._remember(record)
            except Unreadable:
                pass  # it is no pointer; a worker's consumer parks it
            behind = {one for one in behind if (reader.position(one) or 0) < bounds[one].end}
            if behind and time.monotonic() > deadline:
                raise QueueUnavailable("Kafka's topics are still being read.")

    def _remember(self, record: Record) -> None:
        stage, lane = self._topics.work[record.partition.topic]
        try:
            pointer = decode(record.key, record.value, record.headers, stage=stage, lane=lane)
        except BadMessage:
            return
        self._tasks[record.partition][record.offset] = pointer.task_id

    def close(self) -> None:
        """What is known stays known; the next look asks about all of it."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None
        if self._reader is not None:
            close_consumer(self._reader, timeout_s=0)
            self._reader = None


def _offsets(
    admin: KafkaAdminClient, partitions: Mapping[TopicPartition, object], spec: OffsetSpec
) -> dict[TopicPartition, int]:
    found = admin.list_partition_offsets(dict.fromkeys(partitions, spec))
    return {partition: one.offset for partition, one in found.items()}


def _bounds(committed: Position | None, start: int, end: int) -> _Bounds:
    if committed is None or not start <= committed.offset <= end:
        # Nobody committed yet, or it was to a topic of the same name that is gone, or the log has moved past it.
        return _Bounds(start, (), end)
    return _Bounds(committed.offset, progress.read(committed), end)
