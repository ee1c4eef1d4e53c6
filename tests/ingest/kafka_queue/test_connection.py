"""What our clients are told: nothing that matters is left to a default."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from ingest.kafka_queue.connection import KafkaConnection
from services.settings import KafkaSettings

CONNECTION = KafkaConnection(
    ("a:9092", "b:9092"),
    security_protocol="SASL_SSL",
    sasl_mechanism="SCRAM-SHA-512",
    username="ragstone",
    password="secret",
    ca_file="ca.pem",
    cert_file="cert.pem",
    key_file="key.pem",
)


def test_a_member_of_a_group_loses_nothing_and_skips_nothing() -> None:
    arguments = CONNECTION.consumer("ragstone.parse")
    expected = {
        "group_id": "ragstone.parse",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "max_poll_records": 1,
        "max_poll_interval_ms": 300_000,
        "session_timeout_ms": 45_000,
        "heartbeat_interval_ms": 3_000,
        "isolation_level": "read_uncommitted",
        "allow_auto_create_topics": False,
        "check_crcs": True,
    }
    assert expected.items() <= arguments.items()
    [assignor] = arguments["partition_assignment_strategy"]
    assert isinstance(assignor, CooperativeStickyAssignor)


def test_a_reader_without_a_group_commits_nothing() -> None:
    arguments = CONNECTION.consumer(None)
    assert (arguments["group_id"], arguments["enable_auto_commit"]) == (None, False)
    assert "session_timeout_ms" not in arguments


def test_what_is_published_is_with_all_replicas_once() -> None:
    arguments = CONNECTION.producer()
    expected = {
        "enable_idempotence": True,
        "acks": "all",
        "max_in_flight_requests_per_connection": 5,
        "delivery_timeout_ms": 10_000,
        "request_timeout_ms": 5_000,
        "max_block_ms": 10_000,
        "allow_auto_create_topics": False,
    }
    assert expected.items() <= arguments.items()
    assert "retries" not in arguments  # endless within the delivery timeout; a number would bound it below that
    assert arguments["delivery_timeout_ms"] >= arguments["request_timeout_ms"] + arguments["linger_ms"]


def test_every_client_says_who_it_is_the_same_way() -> None:
    expected = {
        "bootstrap_servers": ["a:9092", "b:9092"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ragstone",
        "sasl_plain_password": "secret",
        "ssl_cafile": "ca.pem",
        "ssl_certfile": "cert.pem",
        "ssl_keyfile": "key.pem",
        "ssl_check_hostname": True,
        "request_timeout_ms": 10_000,
    }
    for arguments in (CONNECTION.consumer("g"), CONNECTION.consumer(None), CONNECTION.admin()):
        assert expected.items() <= arguments.items()
    assert (expected | {"request_timeout_ms": 5_000}).items() <= CONNECTION.producer().items()


def test_the_library_knows_every_argument() -> None:
    assert CONNECTION.consumer("g").keys() <= KafkaConsumer.DEFAULT_CONFIG.keys()
    assert CONNECTION.producer().keys() <= KafkaProducer.DEFAULT_CONFIG.keys()
    assert CONNECTION.admin().keys() <= KafkaAdminClient.DEFAULT_CONFIG.keys()


def test_a_short_session_is_heard_three_times() -> None:
    arguments = KafkaConnection(("a:1",), session_timeout_s=3).consumer("g")
    assert arguments["heartbeat_interval_ms"] == 1_000


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(CONNECTION)


SECURE = {
    "bootstrap": "a:9092, b:9092",
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "username": "ragstone",
    "password": "secret",
    "ca_file": "ca.pem",
    "cert_file": "cert.pem",
    "key_file": "key.pem",
}


def test_settings_become_the_connection() -> None:
    assert KafkaConnection(**KafkaSettings(**SECURE).connection()) == CONNECTION
    plain = KafkaConnection(**KafkaSettings(bootstrap="localhost:9092", timeout_s=3).connection())
    assert plain == KafkaConnection(("localhost:9092",), timeout_s=3)
    assert KafkaSettings().brokers == ()


def without(*names: str, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in SECURE.items() if name not in names} | changes


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"bootstrap": "localhost"}, "host:port"),
        ({"bootstrap": "a:9092,,b:9092"}, "host:port"),
        ({"bootstrap": "kafka://a:9092"}, "host:port"),
        (without("password"), "go together"),
        (without("sasl_mechanism"), "go together"),
        (without(security_protocol="SSL"), "go together"),
        (
            without("ca_file", "cert_file", "key_file", security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN"),
            "readable",
        ),
        (without(security_protocol="SASL_PLAINTEXT"), "CA_FILE"),
        ({"ca_file": "ca.pem"}, "CA_FILE"),
        (without("key_file"), "KEY_FILE together"),
        ({"prefix": "über"}, "prefix"),
        ({"sasl_mechanism": "GSSAPI"}, "sasl_mechanism"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(said: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        KafkaSettings(**said)
    assert "secret" not in str(refused.value)
