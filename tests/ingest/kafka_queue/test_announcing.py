"""Every dead letter comes to the topic, whatever fails in between."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from ingest.kafka_queue import announcing
from ingest.kafka_queue.announcing import Announcer, record
from ingest.kafka_queue.sending import KafkaSender
from ingest.leasing import NamedLease
from retrieval.catalogue import DeadLetters
from retrieval.documents import DeadLetter, Stage
from retrieval.errors import CatalogueUnavailable, QueueUnavailable
from tests.catalogue_steps import HOPELESS
from tests.corpus import Corpus
from tests.kafka_broker import KafkaBroker, KafkaCorner
from tests.running import eventually

# The client leaves sockets of connections that failed to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

LETTER = DeadLetter(
    id="l1",
    tenant="acme",
    collection_id="c1",
    collection="docs",
    document_id="d1",
    title="Secret plans",
    version=3,
    stage=Stage.PARSE,
    code="damaged",
    reason="It ends in the middle.",
    sha256="5" * 64,
    attempts=1,
    evidence={"traceback": "secret text"},
    created_at=1_700_000_000.25,
)


@pytest.fixture
def corner(kafka_broker: KafkaBroker) -> Iterator[KafkaCorner]:
    with KafkaCorner(kafka_broker) as corner:
        yield corner


def announcer(corpus: Corpus, corner: KafkaCorner, *, letters: DeadLetters | None = None) -> Announcer:
    catalogue = corpus.catalogue
    lease = NamedLease(catalogue.leases, announcing.LEASE, holder="a", seconds=60)
    return Announcer(
        letters or catalogue.dead_letters,
        KafkaSender(corner.connection),
        topic=corner.topics.dead_letters,
        lease=lease,
        poll_s=0.02,
    )


def put_aside(corpus: Corpus, count: int, *, start: int = 0) -> list[str]:
    """Documents that fail; their ids, in order."""
    documents = [corpus.send(f"Otter {n}.", f"d{n}").id for n in range(start, start + count)]
    for _ in documents:
        corpus.catalogue.tasks.failed(corpus.claim(), HOPELESS)
    return documents


def waiting(corpus: Corpus) -> list[DeadLetter]:
    return corpus.catalogue.dead_letters.unannounced(limit=1_000)


def heard(corner: KafkaCorner) -> list[dict[str, Any]]:
    """What is on the topic."""
    consumer = KafkaConsumer(**corner.connection.consumer(None))
    partition = TopicPartition(corner.topics.dead_letters, 0)
    consumer.assign([partition])
    consumer.seek(partition, 0)
    end = consumer.end_offsets([partition])[partition]
    found: list[Any] = []
    while len(found) < end:
        found += consumer.poll(200).get(partition, [])
    consumer.close()
    assert all((one.key, dict(one.headers)) == (_key(one.value), dict([announcing.RECORD])) for one in found)
    return [json.loads(one.value)["dead_letter"] for one in found]


def _key(value: bytes) -> bytes:
    document: str = json.loads(value)["dead_letter"]["document"]
    return document.encode()


def test_a_record_says_what_was_put_aside_and_why_and_nothing_of_the_document() -> None:
    message = record(LETTER)
    assert message.key == b"d1"
    assert json.loads(message.value) == {
        "v": "1.0",
        "dead_letter": {
            "id": "l1",
            "tenant": "acme",
            "document": "d1",
            "version": 3,
            "stage": "parse",
            "code": "damaged",
            "reason": "It ends in the middle.",
            "attempts": 1,
            "sha256": "5" * 64,
            "at": "2023-11-14T22:13:20.250000+00:00",
        },
    }


def test_every_dead_letter_is_announced_once_and_in_order(corpus: Corpus, corner: KafkaCorner) -> None:
    documents = put_aside(corpus, announcing.PORTION + 3)
    one = announcer(corpus, corner)
    assert one.round()
    assert not one.round()
    assert not one.round()
    found = heard(corner)
    assert sorted(letter["document"] for letter in found) == sorted(documents)
    assert [letter["at"] for letter in found] == sorted(letter["at"] for letter in found)
    assert {letter["tenant"] for letter in found} == {corpus.tenant}
    assert all(datetime.fromisoformat(letter["at"]).tzinfo for letter in found)
    assert waiting(corpus) == []
    one.run(_set())


def test_what_comes_while_it_runs_is_announced(corpus: Corpus, corner: KafkaCorner) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=announcer(corpus, corner).run, args=(stop,))
    thread.start()
    try:
        for start in range(3):
            put_aside(corpus, 1, start=start)
            eventually(lambda: not waiting(corpus))
    finally:
        stop.set()
        thread.join(10)
    assert len(heard(corner)) == 3


def test_brokers_that_are_away_delay_and_lose_none(
    corpus: Corpus, corner: KafkaCorner, kafka_broker: KafkaBroker
) -> None:
    one = announcer(corpus, corner)
    put_aside(corpus, 1)
    one.round()
    documents = put_aside(corpus, 2, start=1)
    kafka_broker.hang()
    try:
        with pytest.raises(QueueUnavailable):
            one.round()
    finally:
        kafka_broker.wake()
    assert len(waiting(corpus)) == 2
    one.round()
    assert {letter["document"] for letter in heard(corner)} >= set(documents)
    assert waiting(corpus) == []
    one.run(_set())


class Forgetful:
    """The dead letters of a catalogue that goes away after the brokers have them."""

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters

    def __getattr__(self, name: str) -> Any:
        return getattr(self._letters, name)

    def announced(self, letter_ids: Sequence[str]) -> None:
        raise CatalogueUnavailable


def test_what_could_not_be_marked_is_announced_again_under_the_same_id(corpus: Corpus, corner: KafkaCorner) -> None:
    put_aside(corpus, 1)
    forgetful: Any = Forgetful(corpus.catalogue.dead_letters)
    first = announcer(corpus, corner, letters=forgetful)
    with pytest.raises(CatalogueUnavailable):
        first.round()
    second = announcer(corpus, corner)
    second.round()
    assert len({letter["id"] for letter in heard(corner)}) == 1
    assert len(heard(corner)) == 2
    for one in (first, second):
        one.run(_set())


def test_of_two_announcers_one_works(corpus: Corpus, corner: KafkaCorner) -> None:
    assert corpus.catalogue.leases.hold(announcing.LEASE, holder="somebody else", seconds=60)
    put_aside(corpus, 1)
    stop = threading.Event()
    thread = threading.Thread(target=announcer(corpus, corner).run, args=(stop,))
    thread.start()
    assert not stop.wait(0.2)
    stop.set()
    thread.join(10)
    assert len(waiting(corpus)) == 1


def _set() -> threading.Event:
    """A stop that has come: a run under it only closes."""
    stop = threading.Event()
    stop.set()
    return stop
