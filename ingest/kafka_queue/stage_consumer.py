"""A stage's consumer: one thread owns it and never stops polling, whatever the workers do.

The thread takes pointers up to a mark and pauses the partitions of a lane there, so that a long task costs nobody their
partitions; it commits what is done with, in order, a few times a second and when a partition is given up. Workers touch
no client: they take from the waiting line and tick off receipts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    RetriableError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
)
from kafka.future import Future
from kafka.structs import MemberState, OffsetAndMetadata

from ingest.kafka_queue.clients import close_consumer, open_client
from ingest.kafka_queue.connection import KafkaConnection
from ingest.kafka_queue.messages import BadMessage, decode
from ingest.kafka_queue.parking import Letter, Parking
from ingest.kafka_queue.progress import PartitionProgress, Position
from ingest.kafka_queue.reading import Record, Unreadable, poll
from ingest.kafka_queue.topics import Topics
from ingest.task_queue import Delivery
from ingest.waiting_line import WaitingLine
from retrieval.documents import Lane, Stage
from retrieval.tasks import TaskPointer

log = logging.getLogger(__name__)

# How long one poll waits: marks and commits are looked at as often.
POLL_S = 0.1
IDLE_POLL_S = 0.3  # while there is nothing to look at; a record that comes ends every poll
COMMIT_S = 0.2
PROOF_S = 2.0  # an idle member proves as often that it still is one
_MOVED_S = 1.0  # a consumer that the library moved back is looked for as often: its topic was made anew
# Between two tries while the brokers are away.
_FIRST_REST_S = 0.2
_LONGEST_REST_S = 5.0
# For leaving a group while its coordinator may be away; nobody is told then, and the session's end tells.
_LEAVE_S = 2.0

# Not committed, and redelivered to whoever has the partition by now: no failure.
_NOT_COMMITTED = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)


@dataclass(frozen=True, slots=True)
class Marks:
    """How much of one lane a process holds, waiting or being worked on: at `count` pointers or `weight` (a task's
    bytes or tokens) it takes no more before both are down to half."""

    count: int
    weight: int

    def reached(self, count: int, weight: int) -> bool:
        return count >= self.count or weight >= self.weight

    def left(self, count: int, weight: int) -> bool:
        return count <= self.count // 2 and weight <= self.weight // 2


@dataclass(frozen=True, slots=True)
class ConsumerHealth:
    """What readiness and metrics show. `member` is whether we count ourselves to the group, `silent_s` how long the
    brokers have not confirmed it: a multiple of `PROOF_S` means that they are away. `failure` is the last error of a
    consumer that cannot be used now, `pending` count and weight by lane."""

    stage: Stage
    member: bool
    partitions: int
    pending: Mapping[Lane, tuple[int, int]]
    silent_s: float
    failure: str | None


class _Held:
    """A partition while it is ours. Given up, it is replaced, and what still comes for it changes nothing."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.lock = threading.Lock()
        self.progress = PartitionProgress()
        self.committed: Position | None = None
        self.working: set[int] = set()  # offsets that workers have

    @property
    def uncommitted(self) -> Position | None:
        with self.lock:
            position = self.progress.position
        return None if position == self.committed else position


class Receipt:
    """Of one delivery: the partition as it was held, and the offset."""

    __slots__ = ("held", "offset")

    def __init__(self, held: _Held, offset: int) -> None:
        self.held = held
        self.offset = offset

    def taken(self) -> None:
        with self.held.lock:
            self.held.working.add(self.offset)

    def finish(self) -> None:
        with self.held.lock:
            self.held.working.discard(self.offset)
            self.held.progress.finish(self.offset)


class StageConsumer(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Starts at once. Deliveries go to `line`, what is no message of ours to `parking`."""

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Topics,
        stage: Stage,
        *,
        line: WaitingLine,
        parking: Parking,
        marks: Marks,
    ) -> None:
        self._connection = connection
        self._stage = stage
        self._topics = topics.of_stage(stage)
        self._group = topics.group(stage)
        self._line = line
        self._parking = parking
        self._marks = marks
        self._consumer: KafkaConsumer | None = None
        self._held: dict[TopicPartition, _Held] = {}
        self._lock = threading.Lock()  # of _held's keys; never held while the consumer is asked
        self._full: set[Lane] = set()
        self._committing: tuple[Future, dict[TopicPartition, tuple[_Held, Position]]] | None = None
        self._commit_at = 0.0
        self._moved_at = 0.0
        self._heard_at = time.monotonic()
        self._member = False
        self._failure: str | None = None
        self._closing = threading.Event()
        self._drained_from = self._drained_by = 0.0
        self._thread = threading.Thread(target=self._run, name=f"kafka-{stage}", daemon=True)
        self._thread.start()

    def health(self) -> ConsumerHealth:
        return ConsumerHealth(
            stage=self._stage,
            member=self._member,
            partitions=len(self._holdings()),
            pending={lane: self._pending(lane) for lane in Lane},
            silent_s=time.monotonic() - self._heard_at,
            failure=self._failure,
        )

    def close(self, *, drain_s: float) -> None:
        """Nothing more is taken from the topics; the thread ends once what workers have is acknowledged, or after the
        time. For one poll it waits in any case: somebody may just be taking."""
        now = time.monotonic()
        self._drained_from, self._drained_by = now + POLL_S, now + drain_s
        self._closing.set()

    def join(self) -> None:
        self._thread.join()

    # --- the owner thread ---

    def _run(self) -> None:
        rest = _FIRST_REST_S
        while not self._drained():
            try:
                self._turn()
            except KafkaError as error:
                self._failed(error)
                if not isinstance(error, RetriableError):
                    self._leave()
            except Exception:
                # A bug, here or in the client: a new consumer begins where the last commit was.
                log.exception("consumer of %s", self._group)
                self._failure = "an error inside ragstone"
                self._leave()
            else:
                rest = _FIRST_REST_S
                continue
            self._closing.wait(rest)
            rest = min(2 * rest, _LONGEST_REST_S)
        self._leave()

    def _drained(self) -> bool:
        if not self._closing.is_set():
            return False
        now = time.monotonic()
        working = any(held.working for held in self._holdings().values())
        return now > self._drained_from and (now > self._drained_by or not working)

    def _failed(self, error: Exception) -> None:
        if self._failure is None:  # said once, not five times a second
            log.warning("consumer of %s: %s", self._group, str(error))
        self._failure = str(error)

    def _turn(self) -> None:
        if self._consumer is None:
            self._consumer = self._join()
        self._steer(self._consumer)
        try:
            for record in poll(self._consumer, timeout_s=self._poll_s()):
                self._receive(record)
        except Unreadable as unreadable:
            self._park(Letter(unreadable.partition, unreadable.offset, "unreadable", str(unreadable)))
        self._look_back(self._consumer)
        self._commit(self._consumer)
        self._member = self._consumer.group_metadata().state == MemberState.STABLE
        if self._member and not self._consumer.assignment():
            self._heard()  # there are more of us than partitions, and nothing to prove it by

    def _heard(self) -> None:
        self._heard_at = time.monotonic()
        self._failure = None

    def _join(self) -> KafkaConsumer:
        consumer = open_client(KafkaConsumer, self._connection.consumer(self._group))
        consumer.subscribe(topics=sorted(self._topics), listener=self)
        # Who leads the group before it knows the topics gives nobody anything, and the client leaves it at that.
        missing = [topic for topic in self._topics if not consumer.partitions_for_topic(topic)]
        if missing:
            close_consumer(consumer, timeout_s=_LEAVE_S)
            raise UnknownTopicOrPartitionError(missing[0])
        return consumer

    def _steer(self, consumer: KafkaConsumer) -> None:
        """Pauses what is full, also partitions that came while it was, and resumes what has room again."""
        for lane in Lane:
            pending = self._pending(lane)
            if self._closing.is_set() or self._marks.reached(*pending):
                self._full.add(lane)
            elif self._marks.left(*pending):
                self._full.discard(lane)
        assigned, paused = consumer.assignment(), consumer.paused()
        full = {partition for partition in assigned if self._topics[partition.topic] in self._full}
        consumer.pause(*(full - paused))
        consumer.resume(*(paused & assigned - full))

    def _poll_s(self) -> float:
        """Long while workers have nothing to acknowledge and all commits are made."""
        busy = any(held.progress.pending or held.uncommitted for held in self._holdings().values())
        return POLL_S if busy or self._committing is not None else IDLE_POLL_S

    def _pending(self, lane: Lane) -> tuple[int, int]:
        found = [held.progress for held in self._holdings().values() if held.lane is lane]
        return sum(one.pending for one in found), sum(one.weight for one in found)

    def _receive(self, record: Record) -> None:
        lane = self._topics[record.partition.topic]
        try:
            pointer = decode(record.key, record.value, record.headers, stage=self._stage, lane=lane)
        except BadMessage as bad:
            letter = Letter(record.partition, record.offset, bad.reason, str(bad), record.key, record.value)
            self._park(letter)
        else:
            self._deliver(record, pointer)

    def _deliver(self, record: Record, pointer: TaskPointer) -> None:
        self._line.put([Delivery(pointer, self._start(record.partition, record.offset, pointer.weight))])

    def _park(self, letter: Letter) -> None:
        receipt = self._start(letter.partition, letter.offset, 0)
        self._parking.park(letter, receipt.finish)

    def _start(self, partition: TopicPartition, offset: int, weight: int) -> Receipt:
        with self._lock:
            held = self._held.get(partition)
            if held is None:
                held = self._held[partition] = _Held(self._topics[partition.topic])
        with held.lock:
            if held.progress.next is None or offset >= held.progress.next:
                held.progress.start(offset, weight)
                return Receipt(held, offset)
        # The log begins anew: what was held of the old one is worth nothing.
        self._give_up([partition])
        return self._start(partition, offset, weight)

    def _look_back(self, consumer: KafkaConsumer) -> None:
        """A topic that was made anew ends before where we stand, and the client goes to its end without a word: what
        was published to it by then would wait for ever."""
        if time.monotonic() < self._moved_at + _MOVED_S:
            return
        self._moved_at = time.monotonic()
        for partition in consumer.assignment():
            held = self._holdings().get(partition)
            position = consumer.position(partition, timeout_ms=0) if held is not None else None
            if held is None or position is None or held.progress.next is None or position >= held.progress.next:
                continue
            log.warning("%s was made anew: it is read from its beginning", partition.topic)
            self._give_up([partition])
            consumer.seek_to_beginning(partition)

    def _leave(self) -> None:
        """The client gives up the partitions on its way, which commits what is done with."""
        if self._consumer is not None:
            close_consumer(self._consumer, timeout_s=_LEAVE_S)
        self._consumer = None
        self._committing = None
        self._member = False
        self._give_up(list(self._holdings()))

    # --- commits ---

    def _commit(self, consumer: KafkaConsumer) -> None:
        if self._committing is not None:
            future, positions = self._committing
            if not future.is_done:
                return
            self._committing = None
            self._committed(future, positions)
        if time.monotonic() < self._commit_at + COMMIT_S:
            return
        self._commit_at = time.monotonic()
        positions = {
            partition: (held, position)
            for partition, held in self._holdings().items()
            if (position := held.uncommitted) is not None
        }
        offsets = {partition: _offset(position) for partition, (_, position) in positions.items()}
        if not offsets and time.monotonic() > self._heard_at + PROOF_S:
            offsets = self._proof(consumer)
        if offsets:
            self._committing = consumer.commit_async(offsets), positions

    def _proof(self, consumer: KafkaConsumer) -> dict[TopicPartition, OffsetAndMetadata]:
        """A commit that changes nothing. The client calls itself a member for as long as it hears nothing to the
        contrary, also from brokers that are gone; an answered commit is proof."""
        for partition in consumer.assignment():
            held = self._holdings().get(partition)
            if held is None:
                at = consumer.position(partition, timeout_ms=0)
                position = None if at is None else Position(at)
            else:
                position = held.committed
            if position is not None:
                return {partition: _offset(position)}
        return {}

    def _committed(self, future: Future, positions: Mapping[TopicPartition, tuple[_Held, Position]]) -> None:
        if future.succeeded():
            self._heard()
            for held, position in positions.values():
                held.committed = position
        elif isinstance(future.exception, _NOT_COMMITTED):
            log.debug("consumer of %s: not committed: %s", self._group, str(future.exception))
        else:
            self._failed(future.exception)

    # --- partitions come and go; these run on the client's own thread, whose heartbeats they must not hold up ---

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """A partition is held from its first record on."""

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        consumer = self._consumer
        offsets = {partition: _offset(position) for partition, position in self._give_up(revoked).items()}
        if consumer is None or not offsets:
            return
        try:
            await consumer.commit_async(offsets)
        except KafkaError as error:
            log.debug("consumer of %s: not committed at the end: %s", self._group, str(error))

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        self._give_up(lost)

    def _give_up(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Position]:
        """Forgets them; what waits of them will be delivered to somebody else. What there was still to commit."""
        with self._lock:
            given_up = {one: held for one in partitions if (held := self._held.pop(one, None)) is not None}
        gone = set(map(id, given_up.values()))
        self._line.remove(lambda delivery: isinstance(delivery.receipt, Receipt) and id(delivery.receipt.held) in gone)
        return {one: position for one, held in given_up.items() if (position := held.uncommitted) is not None}

    def _holdings(self) -> dict[TopicPartition, _Held]:
        with self._lock:
            return dict(self._held)


def _offset(position: Position) -> OffsetAndMetadata:
    return OffsetAndMetadata(position.offset, position.metadata, -1)
