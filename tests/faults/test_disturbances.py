"""Servers that go away and workers that come and go, while a schedule of operations runs over several processes."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from ingest.kafka_queue.connection import KafkaConnection
from ingest.kafka_queue.messages import Message
from ingest.kafka_queue.sending import KafkaSender
from ingest.kafka_queue.topics import TopicPolicy, Topics, ensure_topics
from retrieval.documents import Lane, Stage
from tests.faults.cluster import LEASE_S, SESSION_S, Cluster
from tests.faults.conftest import SEED, SHORT
from tests.faults.evidence import Place, differences
from tests.faults.journal import COLLECTIONS, Client, Operation, expectation, operations
from tests.kafka_broker import KafkaBroker, make_broker
from tests.postgres_server import PostgresServer

DOCUMENTS = 40
WORKERS = ("parse", "embed", "janitor", "documents")


@pytest.fixture(scope="module")
def broker(kafka_broker: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One of its own: others should not suffer from what is done to it."""
    with make_broker(tmp_path_factory.mktemp("kafka")) as made:
        yield made


@pytest.fixture
def cluster(broker: KafkaBroker, postgres: PostgresServer, tmp_path: Path) -> Iterator[Cluster]:
    with postgres.database() as url:
        made = Cluster(tmp_path / "cluster", postgres=postgres, database=url, bootstrap=broker.bootstrap)
        try:
            yield made.start()
        finally:
            made.end()


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether this is `make faults`."""
    kills: int = request.config.getoption("--kills", default=SHORT)
    return kills > SHORT


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    found: int = request.config.getoption("--seed", default=SEED)
    return found


Disturbance = Callable[[threading.Event], None]


def endured(cluster: Cluster, disturbance: Disturbance, *, seed: int, documents: int = DOCUMENTS) -> None:
    """Performs a schedule while the disturbance goes on, then looks at what is there against an undisturbed run.

    The disturbance has the main thread: servers that a thread starts would die with it.
    """
    order = operations(seed, documents)
    over = threading.Event()
    problems: list[BaseException] = []
    for name in COLLECTIONS:
        cluster.collection(name)

    def perform() -> None:
        try:
            client = Client(cluster.send)
            for operation in order:
                client.perform(operation)
        except BaseException as error:
            problems.append(error)
        finally:
            over.set()

    performing = threading.Thread(target=perform)
    performing.start()
    disturbance(over)
    performing.join()
    if problems:
        raise problems[0]
    found = _looked_at(cluster, order)
    assert found == [], "\n".join([f"seed {seed}", *found, cluster.printed])


def _looked_at(cluster: Cluster, order: list[Operation]) -> list[str]:
    stored = cluster.stored()
    try:
        if not stored.settled():
            return ["it never became quiet"]
        expected = expectation(order)
        live = {f"{collection}/{key}": one.text for (collection, key), one in expected.items() if one.text is not None}
        reference: Counter[Place] = Counter()
        for place, chunks in cluster.undisturbed("reference", live).items():
            collection, _, key = place.partition("/")
            reference.update({(collection, key, text): number for text, number in chunks.items()})
        return differences(stored, expected, reference)
    finally:
        stored.close()


def test_workers_killed_at_random_lose_and_double_nothing(cluster: Cluster, seed: int, long: bool) -> None:
    chance = random.Random(seed)
    print(f"\nseed {seed}")

    def kill(over: threading.Event) -> None:
        while not over.wait(chance.uniform(0.5, 2.5)):
            cluster.signal(chance.choice(cluster.names(*WORKERS)), signal.SIGKILL)

    endured(cluster, kill, seed=seed, documents=200 if long else DOCUMENTS)
    print(f"deaths {dict(cluster.deaths)}")


@pytest.mark.long_only
def test_workers_that_stand_still_and_wake_up_late_do_no_harm(cluster: Cluster, seed: int) -> None:
    chance = random.Random(seed + 1)

    def freeze(over: threading.Event) -> None:
        while not over.wait(chance.uniform(0.1, 1)):
            name = chance.choice(cluster.names("parse", "embed", "janitor"))
            cluster.signal(name, signal.SIGSTOP)
            time.sleep(LEASE_S + SESSION_S)
            cluster.signal(name, signal.SIGCONT)

    endured(cluster, freeze, seed=seed + 1)


@pytest.mark.long_only
def test_a_rebalance_storm_loses_and_doubles_nothing(cluster: Cluster, seed: int) -> None:
    """Workers leave well and come back, again and again, so that partitions never stay where they are."""
    chance = random.Random(seed + 2)

    def storm(over: threading.Event) -> None:
        while not over.wait(chance.uniform(0.2, 1)):
            cluster.signal(chance.choice(cluster.names("parse", "embed")), signal.SIGTERM)

    endured(cluster, storm, seed=seed + 2)


def test_a_broker_that_is_away_delays_and_loses_nothing(
    cluster: Cluster, broker: KafkaBroker, seed: int, long: bool
) -> None:
    def outage(over: threading.Event) -> None:
        over.wait(1)
        broker.stop()
        time.sleep(30 if long else 6)
        broker.start()

    endured(cluster, outage, seed=seed + 3)


@pytest.mark.long_only
def test_a_restart_of_postgresql_loses_and_doubles_nothing(
    cluster: Cluster, postgres: PostgresServer, seed: int
) -> None:
    def restart(over: threading.Event) -> None:
        for _ in range(2):
            over.wait(2)
            postgres.kill()
            time.sleep(1)
            postgres.start()

    endured(cluster, restart, seed=seed + 4)


@pytest.mark.long_only
def test_an_index_that_dies_and_stands_still_loses_and_doubles_nothing(cluster: Cluster, seed: int) -> None:
    chance = random.Random(seed + 5)

    def trouble(over: threading.Event) -> None:
        while not over.wait(chance.uniform(1, 2)):
            if chance.random() < 0.5:
                cluster.signal("index", signal.SIGKILL)
            else:
                cluster.signal("index", signal.SIGSTOP)
                time.sleep(2)
                cluster.signal("index", signal.SIGCONT)

    endured(cluster, trouble, seed=seed + 5)


@pytest.mark.long_only
def test_a_slow_index_delays_and_loses_nothing(cluster: Cluster, seed: int) -> None:
    """It works a tenth of the time, in pieces, from before the first call to after the last."""

    def slowness(over: threading.Event) -> None:
        while not over.is_set():
            cluster.signal("index", signal.SIGSTOP)
            time.sleep(0.45)
            cluster.signal("index", signal.SIGCONT)
            time.sleep(0.05)

    endured(cluster, slowness, seed=seed + 8)


@pytest.mark.long_only
def test_a_topic_that_is_deleted_and_made_again_loses_nothing(cluster: Cluster, broker: KafkaBroker, seed: int) -> None:
    connection, topics = KafkaConnection((broker.bootstrap,), timeout_s=10), Topics(cluster.prefix)

    def remake(over: threading.Event) -> None:
        over.wait(1)
        admin = KafkaAdminClient(**connection.admin())
        admin.delete_topics([topics.of(Stage.PARSE, Lane.INTERACTIVE), topics.of(Stage.EMBED, Lane.INTERACTIVE)])
        admin.close()
        time.sleep(1)
        ensure_topics(connection, topics, TopicPolicy(partitions=4))

    endured(cluster, remake, seed=seed + 6)


def test_foreign_messages_hold_up_nobody(cluster: Cluster, broker: KafkaBroker, seed: int) -> None:
    chance = random.Random(seed + 7)
    topics = Topics(cluster.prefix)

    def litter(over: threading.Event) -> None:
        sender = KafkaSender(KafkaConnection((broker.bootstrap,), timeout_s=10))
        foreign = (b"", b"{", b"\xff\xfe", b'{"v": 99, "task": {}}', b'{"v": 1, "task": {"id": "x"}}', b"x" * 3_000)
        while not over.wait(0.05):
            topic = chance.choice(sorted(topics.work))
            sender.send([(topic, Message(chance.randbytes(8), chance.choice(foreign), []))])
        sender.close()

    endured(cluster, litter, seed=seed + 7)
