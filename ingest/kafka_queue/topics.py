"""Topics: their names, and what each must be like before anything is published to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from ingest.kafka_queue.clients import open_client
from ingest.kafka_queue.connection import KafkaConnection
from ingest.kafka_queue.messages import MESSAGE_BYTES
from ingest.kafka_queue.parking import LETTER_BYTES
from retrieval.documents import Lane, Stage
from retrieval.errors import Conflict, QueueUnavailable

# Erasing and repainting are the janitor's own and never leave its process.
STAGES: Final = (Stage.PARSE, Stage.EMBED)

_WORDS = {Stage.PARSE: "documents", Stage.EMBED: "passages"}
# A batch is one message at least, with what Kafka writes around it.
_BATCH_OVERHEAD = 16 << 10


@dataclass(frozen=True, slots=True)
class Topics:
    """One topic for each stage and lane, one for what is no message of ours, one consumer group for each stage."""

    prefix: str = "ragstone"

    def of(self, stage: Stage, lane: Lane) -> str:
        return f"{self.prefix}.{_WORDS[stage]}" + (".bulk" if lane is Lane.BULK else "")

    def of_stage(self, stage: Stage) -> dict[str, Lane]:
        return {self.of(stage, lane): lane for lane in Lane}

    def group(self, stage: Stage) -> str:
        return f"{self.prefix}.{stage.value}"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}.dead-letters"

    @property
    def work(self) -> dict[str, tuple[Stage, Lane]]:
        return {self.of(stage, lane): (stage, lane) for stage in STAGES for lane in Lane}


@dataclass(frozen=True, slots=True)
class TopicPolicy:
    """What the topics are made like, and what they must be like if somebody else made them.

    `partitions`: as many processes of a stage can share its work. `replication_factor`: -1 is the brokers' default.
    `retention_s`: a pointer that nobody took within it is due again in the catalogue, so a week costs nothing but disk.
    """

    partitions: int = 12
    replication_factor: int = -1
    retention_s: float = 7 * 86_400
    dead_letter_retention_s: float = 90 * 86_400


@dataclass(frozen=True, slots=True)
class _Wanted:
    partitions: int
    retention_s: float
    message_bytes: int

    @property
    def configuration(self) -> dict[str, str]:
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(int(self.retention_s * 1000)),
            "max.message.bytes": str(self.message_bytes),
        }


def ensure_topics(connection: KafkaConnection, topics: Topics, policy: TopicPolicy) -> None:
    """Makes the topics that are missing and looks at the others; `Conflict`, with the remedy, for one that is wrong."""
    work = _Wanted(policy.partitions, policy.retention_s, MESSAGE_BYTES + _BATCH_OVERHEAD)
    letters = _Wanted(1, policy.dead_letter_retention_s, LETTER_BYTES + _BATCH_OVERHEAD)
    wanted = {**dict.fromkeys(topics.work, work), topics.dead_letters: letters}
    try:
        admin = open_client(KafkaAdminClient, connection.admin())
        try:
            _make(admin, wanted, policy.replication_factor)
            _check(admin, wanted)
        finally:
            admin.close()
    except KafkaError as error:
        raise QueueUnavailable(f"Kafka's topics could not be made or looked at: {error}") from error


def _make(admin: KafkaAdminClient, wanted: Mapping[str, _Wanted], replication_factor: int) -> None:
    found = {topic["name"] for topic in admin.describe_topics(list(wanted)) if not topic["error_code"]}
    missing = {
        name: {
            "num_partitions": one.partitions,
            "replication_factor": replication_factor,
            "configs": one.configuration,
        }
        for name, one in wanted.items()
        if name not in found
    }
    if missing:
        with suppress(TopicAlreadyExistsError):  # somebody who starts at the same time makes them too
            admin.create_topics(missing)
        admin.wait_for_topics(list(missing))


def _check(admin: KafkaAdminClient, wanted: Mapping[str, _Wanted]) -> None:
    partitions = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(list(wanted))}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted]
    configurations = admin.describe_configs(resources, config_filter="all")["topic"]
    for name, one in wanted.items():
        if partitions[name] < one.partitions:
            raise Conflict(
                f"Kafka's topic {name} has {partitions[name]} partitions and {one.partitions} are wanted: "
                f"kafka-topics.sh --alter --topic {name} --partitions {one.partitions}"
            )
        wrong = _wrong(configurations[name], one)
        if wrong:
            settings = ",".join(f"{key}={one.configuration[key]}" for key in wrong)
            has = ", ".join(f"{key}={configurations[name][key]['value']}" for key in wrong)
            raise Conflict(
                f"Kafka's topic {name} has {has}, which would lose or refuse messages: "
                f"kafka-configs.sh --alter --topic {name} --add-config {settings}"
            )


def _wrong(configuration: Mapping[str, Mapping[str, Any]], wanted: _Wanted) -> Sequence[str]:
    wrong = []
    if configuration["cleanup.policy"]["value"] != "delete":
        wrong.append("cleanup.policy")
    retention_ms = int(configuration["retention.ms"]["value"])
    if retention_ms != -1 and retention_ms < wanted.retention_s * 1000:
        wrong.append("retention.ms")
    if int(configuration["max.message.bytes"]["value"]) < wanted.message_bytes:
        wrong.append("max.message.bytes")
    return wrong
