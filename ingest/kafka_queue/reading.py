"""Reading: a `poll` that gets past what the client cannot decode, and that wakes what was paused.

Two faults of kafka-python 3.0.12 are mended here, in the one place that knows its inside (the version is pinned, and
both have a test). The client keeps the records of one fetch "in line" and hands them out in portions.

- A record that it fails to decode (a header name that is not UTF-8, a codec that is not installed) makes `poll` raise
  once and spin for ever in the next call, since the dead iterator stays in line. It is taken out here, and the consumer
  goes on behind the record. The rest of the same batch is as unreadable and follows one by one.
- What was in line when its partition was paused comes back into an empty place only, and a place whose records are used
  up does not count as empty: the partition would be silent for ever after it was resumed. The place is emptied here.

The error of a record waits for the next call when there are others before it, and is forgotten if its partition is
paused meanwhile: who pauses takes one record at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError, UnsupportedCodecError


class Unreadable(Exception):
    """The record at this place cannot be decoded by the client; the consumer stands behind it."""

    def __init__(self, partition: TopicPartition, offset: int, cause: Exception) -> None:
        super().__init__(f"The client cannot decode it: {cause}")
        self.partition = partition
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Record:
    partition: TopicPartition
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


def poll(consumer: KafkaConsumer, *, timeout_s: float) -> list[Record]:
    """What came within the time; raises `Unreadable`, or the client's own errors."""
    _empty_the_place(consumer)
    try:
        found = consumer.poll(timeout_ms=int(timeout_s * 1000))
    except Exception as error:
        _step_over(consumer, error)
        raise
    return [_record(one) for records in found.values() for one in records]


def _record(one: Any) -> Record:
    return Record(TopicPartition(one.topic, one.partition), one.offset, one.key, one.value, one.headers or ())


def _empty_the_place(consumer: KafkaConsumer) -> None:
    if not consumer._fetcher._next_partition_records:
        consumer._fetcher._next_partition_records = None


def _step_over(consumer: KafkaConsumer, error: Exception) -> None:
    """Raises `Unreadable` if the error is of the records in line."""
    in_line = consumer._fetcher._next_partition_records
    if isinstance(error, KafkaError) and not isinstance(error, CorruptRecordError | UnsupportedCodecError):
        return
    if not in_line:
        return
    partition, offset = in_line.topic_partition, in_line.next_fetch_offset
    in_line.drain()
    if partition in consumer.assignment():
        consumer.seek(partition, offset + 1)
    raise Unreadable(partition, offset, error) from error
