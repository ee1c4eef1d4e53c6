"""The queue on Kafka: both ends in one object, each opened by its first use."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from ingest.kafka_queue.connection import KafkaConnection
from ingest.kafka_queue.messages import encode
from ingest.kafka_queue.parking import Parking
from ingest.kafka_queue.sending import KafkaSender
from ingest.kafka_queue.stage_consumer import ConsumerHealth, Marks, Receipt, StageConsumer
from ingest.kafka_queue.topics import STAGES, Topics
from ingest.kafka_queue.window import LOOK_S, RARE_LOOK_S, KafkaWindow
from ingest.task_queue import Delivery
from ingest.waiting_line import WaitingLine
from retrieval.documents import Lane, Stage
from retrieval.tasks import TaskPointer


class KafkaQueue:
    """`window` bounds the pointers in flight for each stage and lane, over all processes; one dispatcher keeps to it.
    `marks` bound what this process holds of a stage and lane. Closing waits up to `drain_s` for what was taken."""

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Topics,
        *,
        window: int,
        marks: Mapping[Stage, Marks],
        drain_s: float,
    ) -> None:
        self._connection = connection
        self._topics = topics
        self._window_size = window
        self._marks = marks
        self._drain_s = drain_s
        self._sender = KafkaSender(connection)
        self._parking = Parking(KafkaSender(connection), topic=topics.dead_letters)
        self._window = KafkaWindow(connection, topics)
        self._publishing = threading.Lock()
        self._line = WaitingLine()
        self._consumers: dict[Stage, StageConsumer] = {}
        self._consuming = threading.Lock()
        self._closed = False

    # --- the dispatcher's end ---

    def room(self, stage: Stage, lane: Lane) -> int:
        with self._publishing:
            self._look()
            return self._window_size - len(self._window.tasks(stage, lane))

    def outstanding(self, stage: Stage) -> Sequence[int]:
        with self._publishing:
            self._look()
            return sorted(self._outstanding(stage))

    def publish(self, pointers: Sequence[TaskPointer]) -> None:
        with self._publishing:
            self._look()
            known = {stage: self._outstanding(stage) for stage in {pointer.stage for pointer in pointers}}
            fresh: list[TaskPointer] = []
            for pointer in pointers:
                if pointer.task_id not in known[pointer.stage]:
                    known[pointer.stage].add(pointer.task_id)
                    fresh.append(pointer)
            messages = [(self._topics.of(pointer.stage, pointer.lane), encode(pointer)) for pointer in fresh]
            for pointer, sent in zip(fresh, self._sender.send(messages), strict=True):
                self._window.add(sent, pointer.task_id)

    def _look(self) -> None:
        held = max(len(self._window.tasks(stage, lane)) for stage in STAGES for lane in Lane)
        self._window.look(every_s=LOOK_S if 2 * held > self._window_size else RARE_LOOK_S)

    def _outstanding(self, stage: Stage) -> set[int]:
        return {task_id for lane in Lane for task_id in self._window.tasks(stage, lane)}

    # --- the workers' end ---

    def take(self, stages: Sequence[Stage], *, limit: int, timeout_s: float) -> list[Delivery]:
        for stage in stages:
            self._consumer(stage)
        taken = self._line.take(stages, limit=limit, timeout_s=timeout_s)
        for delivery in taken:
            _receipt(delivery).taken()
        return taken

    def acknowledge(self, delivery: Delivery) -> None:
        _receipt(delivery).finish()

    def health(self) -> list[ConsumerHealth]:
        """Of every stage that this process consumes."""
        with self._consuming:
            return [consumer.health() for consumer in self._consumers.values()]

    def _consumer(self, stage: Stage) -> None:
        with self._consuming:
            if stage not in self._consumers and not self._closed:
                self._consumers[stage] = StageConsumer(
                    self._connection,
                    self._topics,
                    stage,
                    line=self._line,
                    parking=self._parking,
                    marks=self._marks[stage],
                )

    def close(self) -> None:
        self._line.close()
        with self._consuming:
            self._closed = True
            consumers = list(self._consumers.values())
        for consumer in consumers:
            consumer.close(drain_s=self._drain_s)
        for consumer in consumers:
            consumer.join()
        self._parking.close()
        self._sender.close()
        with self._publishing:
            self._window.close()


def _receipt(delivery: Delivery) -> Receipt:
    assert isinstance(delivery.receipt, Receipt)
    return delivery.receipt
