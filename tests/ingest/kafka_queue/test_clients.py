"""Clients that are given up leave nothing behind."""

from __future__ import annotations

from kafka import KafkaProducer

from ingest.kafka_queue.clients import close_producer, open_client
from tests.kafka_broker import KafkaBroker, KafkaCorner
from tests.running import eventually


def test_a_producer_that_holds_messages_is_closed_at_once_and_its_thread_ends(kafka_broker: KafkaBroker) -> None:
    corner = KafkaCorner(kafka_broker)
    producer = open_client(KafkaProducer, corner.connection.producer())
    topic = next(iter(corner.topics.work))
    producer.send(topic, b"first").get(timeout=5)
    kafka_broker.hang()
    try:
        held = producer.send(topic, b"second")
        close_producer(producer)
        assert eventually(lambda: not producer._sender.is_alive())
        assert held.failed()
    finally:
        kafka_broker.wake()
