"""Clients are opened and closed here, so that one that fails leaves nothing behind.

A kafka-python client starts its thread before it looks for a broker, and its constructor that finds none leaves the
thread running: whoever tries again every second would have a thousand of them within the hour.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kafka import KafkaConsumer, KafkaProducer
from kafka.net.compat import KafkaNetClient

log = logging.getLogger(__name__)

C = TypeVar("C")


def open_client(kind: Callable[..., C], arguments: Mapping[str, Any]) -> C:
    """The client; raises its `KafkaError` if no broker answers in time."""
    inside: list[KafkaNetClient] = []

    def connected(**configuration: Any) -> KafkaNetClient:
        inside.append(KafkaNetClient(**configuration))
        return inside[-1]

    try:
        return kind(**arguments, kafka_client=connected)
    except BaseException:
        for client in inside:
            client.close()
        raise


def close_producer(producer: KafkaProducer) -> None:
    """At once, whatever it still holds; never raises. The client's own close gives up half-way when it holds anything,
    and leaves its thread running."""
    try:
        producer.close(timeout=0)
    except Exception as error:
        log.debug("a producer is closed with messages in it: %s", str(error))
        producer._sender.force_close()


def close_consumer(consumer: KafkaConsumer, *, timeout_s: float) -> None:
    """Leaves the group if its coordinator can be told within the time; never raises."""
    try:
        consumer.close(autocommit=False, timeout_ms=int(timeout_s * 1000))
    except Exception as error:
        log.warning("a consumer did not close cleanly: %s", str(error))
    finally:
        consumer._client.close()  # its own close does not come so far when it fails before
