"""Sending: messages are with the brokers, all replicas of them, before it returns."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from ingest.kafka_queue.clients import close_producer, open_client
from ingest.kafka_queue.connection import KafkaConnection
from ingest.kafka_queue.messages import Message
from retrieval.errors import QueueUnavailable


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a message came to lie."""

    partition: TopicPartition
    offset: int


class KafkaSender:
    """A producer that is made at first use, and made anew after a failure: what it still held may be in the topics or
    not, and nobody waits for it any longer."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._producer: KafkaProducer | None = None
        self._closed = False

    def send(self, messages: Sequence[tuple[str, Message]]) -> list[Sent]:
        """Messages with their topics; raises `QueueUnavailable`, and some of them may have arrived all the same."""
        with self._lock:
            if self._closed:
                raise QueueUnavailable("The queue is closed.")
            try:
                return self._send(messages)
            except KafkaError as error:
                self._drop()
                raise QueueUnavailable(f"Kafka does not take messages now: {error}") from error

    def _send(self, messages: Sequence[tuple[str, Message]]) -> list[Sent]:
        if self._producer is None:
            self._producer = open_client(KafkaProducer, self._connection.producer())
        deadline = time.monotonic() + self._connection.timeout_s
        futures = [
            self._producer.send(topic, key=message.key, value=message.value, headers=message.headers)
            for topic, message in messages
        ]
        sent = []
        for future in futures:
            # A millisecond at least: what arrived is not called late.
            metadata = future.get(timeout=max(0.001, deadline - time.monotonic()))
            sent.append(Sent(metadata.topic_partition, metadata.offset))
        return sent

    def _drop(self) -> None:
        if self._producer is not None:
            close_producer(self._producer)
            self._producer = None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._drop()
