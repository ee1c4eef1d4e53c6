"""Topics are made as the design needs them, or looked at and refused with the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kafka.admin import ConfigResource, KafkaAdminClient

from ingest.kafka_queue.connection import KafkaConnection
from ingest.kafka_queue.topics import TopicPolicy, Topics, ensure_topics
from retrieval.documents import Lane, Stage
from retrieval.errors import Conflict, QueueUnavailable
from tests.kafka_broker import KafkaBroker, KafkaCorner
from tests.running import eventually

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture
def corner(kafka_broker: KafkaBroker) -> Iterator[KafkaCorner]:
    with KafkaCorner(kafka_broker, partitions=2) as corner:
        yield corner


@pytest.fixture
def admin(corner: KafkaCorner) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(**corner.connection.admin())
    yield admin
    admin.close()


def test_a_topic_is_named_after_its_stage_and_lane() -> None:
    topics = Topics()
    assert list(topics.work) == [
        "ragstone.documents",
        "ragstone.documents.bulk",
        "ragstone.passages",
        "ragstone.passages.bulk",
    ]
    assert (topics.dead_letters, topics.group(Stage.PARSE)) == ("ragstone.dead-letters", "ragstone.parse")
    assert Topics("test.ours").of(Stage.EMBED, Lane.BULK) == "test.ours.passages.bulk"


def test_topics_are_made_as_the_design_needs_them(corner: KafkaCorner, admin: KafkaAdminClient) -> None:
    name = corner.topics.of(Stage.PARSE, Lane.BULK)
    [found] = admin.describe_topics([name])
    assert len(found["partitions"]) == 2
    configuration = admin.describe_configs([ConfigResource("TOPIC", name)], config_filter="all")["topic"][name]
    assert configuration["cleanup.policy"]["value"] == "delete"
    assert configuration["retention.ms"]["value"] == str(7 * 86_400_000)
    assert int(configuration["max.message.bytes"]["value"]) < 64 << 10
    [letters] = admin.describe_topics([corner.topics.dead_letters])
    assert len(letters["partitions"]) == 1


def test_looking_again_changes_nothing_and_more_than_is_wanted_is_right(corner: KafkaCorner) -> None:
    ensure_topics(corner.connection, corner.topics, corner.policy)
    ensure_topics(corner.connection, corner.topics, TopicPolicy(partitions=1))


def test_too_few_partitions_are_refused_with_the_remedy(corner: KafkaCorner) -> None:
    with pytest.raises(Conflict, match=r"has 2 partitions and 3 are wanted: kafka-topics\.sh --alter .*--partitions 3"):
        ensure_topics(corner.connection, corner.topics, TopicPolicy(partitions=3))


@pytest.mark.parametrize(
    "setting", [("cleanup.policy", "compact"), ("retention.ms", "60000"), ("max.message.bytes", "1000")]
)
def test_a_topic_that_would_lose_or_refuse_messages_is_refused_with_the_remedy(
    corner: KafkaCorner, admin: KafkaAdminClient, setting: tuple[str, Any]
) -> None:
    name = corner.topics.of(Stage.EMBED, Lane.INTERACTIVE)
    admin.alter_configs([ConfigResource("TOPIC", name, dict([setting]))])
    expected = f"{name} has {setting[0]}={setting[1]}, .*--add-config {setting[0]}="
    with pytest.raises(Conflict, match=expected):  # a broker takes a moment to believe it
        eventually(lambda: ensure_topics(corner.connection, corner.topics, corner.policy), within_s=10)


def test_a_retention_without_end_is_right(corner: KafkaCorner, admin: KafkaAdminClient) -> None:
    name = corner.topics.of(Stage.EMBED, Lane.INTERACTIVE)
    admin.alter_configs([ConfigResource("TOPIC", name, {"retention.ms": "-1"})])
    ensure_topics(corner.connection, corner.topics, corner.policy)


def test_without_a_broker_the_start_says_so() -> None:
    with pytest.raises(QueueUnavailable, match="Kafka"):
        ensure_topics(KafkaConnection(("127.0.0.1:1",), timeout_s=0.5), Topics(), TopicPolicy())
