"""Parking: what is no message of ours is put aside with its bytes, and its partition moves on."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from kafka import TopicPartition

from ingest.kafka_queue.messages import Message
from ingest.kafka_queue.sending import KafkaSender
from retrieval.errors import QueueUnavailable

log = logging.getLogger(__name__)

# The brokers' default for one message is 1 MiB: what they took from a stranger fits but for what is written around it.
LETTER_BYTES = 960 << 10
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Letter:
    """`key` and `value` are None where the client could not read them at all; they stay in their topic then."""

    partition: TopicPartition
    offset: int
    reason: str
    sentence: str
    key: bytes | None = None
    value: bytes | None = None

    def message(self) -> Message:
        value = self.value or b""
        headers = {
            "ragstone-reason": self.reason,
            "ragstone-sentence": self.sentence,
            "ragstone-topic": self.partition.topic,
            "ragstone-partition": str(self.partition.partition),
            "ragstone-offset": str(self.offset),
        }
        if self.value is not None:
            headers["ragstone-bytes"] = str(len(value))
            headers["ragstone-sha256"] = hashlib.sha256(value).hexdigest()
        key = (self.key or b"")[: LETTER_BYTES // 4]
        kept = value[: LETTER_BYTES - len(key)]
        return Message(key, kept, [(name, said.encode()) for name, said in headers.items()])


class Parking:
    """A thread that hands letters to the dead-letter topic until the brokers have them. It is started by the first
    one: mostly there is none."""

    def __init__(self, sender: KafkaSender, *, topic: str) -> None:
        self._sender = sender
        self._topic = topic
        self._letters: SimpleQueue[tuple[Letter, Callable[[], None]] | None] = SimpleQueue()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def park(self, letter: Letter, then: Callable[[], None]) -> None:
        """Does not wait; `then` is called once the letter is safe."""
        log.warning("parked %s, partition %s, offset %s: %s", *letter.partition, letter.offset, letter.sentence)
        self._letters.put((letter, then))
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kafka-parking", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._closed.is_set():
            waiting = self._letters.get()
            if waiting is not None:
                self._deliver(*waiting)

    def _deliver(self, letter: Letter, then: Callable[[], None]) -> None:
        while not self._closed.is_set():
            try:
                self._sender.send([(self._topic, letter.message())])
            except QueueUnavailable as error:
                log.warning("parking: %s", str(error))
                self._closed.wait(_RETRY_S)
            else:
                then()
                return

    def close(self) -> None:
        """What is not safe yet stays uncommitted, and is parked by whoever reads it next."""
        self._closed.set()
        self._letters.put(None)
        if self._thread is not None:
            self._thread.join()
