"""Wiring of a process that ingests: the parts of its roles, joined by a queue.

One process with all roles has its queue in memory; several processes are joined by Kafka. What erases and repaints
stays in the janitor's process either way.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ingest.fuse import Fuses
from ingest.leasing import NamedLease
from ingest.task_queue import Queue
from ingest.workers import Heartbeat, Settlement, Solitude, Worker, Workplace, one_by_one
from retrieval.catalogue import Catalogue
from retrieval.documents import Stage
from retrieval.errors import Conflict, QueueUnavailable
from retrieval.model_preparation import PreparedModel
from retrieval.tasks import Claim
from services import wiring
from services.access import DEFAULT_TENANT
from services.courtesy import Courtesy
from services.roles import JOINED, WORK
from services.settings import Settings
from services.wiring import Shared

if TYPE_CHECKING:
    from ingest.janitor import Janitor
    from ingest.kafka_queue.connection import KafkaConnection
    from ingest.kafka_queue.task_queue import KafkaQueue
    from ingest.kafka_queue.topics import TopicPolicy, Topics
    from ingest.parser_pool import ParserPool
    from retrieval.model_archive import FetchedModel

log = logging.getLogger(__name__)

# A passage batch while somebody searches: short enough that a query waits for at most one.
_POLITE_BATCH_S = 0.05
# A dispatcher that vanished holds up publishing for so long, and not for as long as a task may be silent.
_DISPATCHER_LEASE_S = 10.0
# Members prove every two seconds that they are; three that are missing are no accident.
_SILENT_PROOFS = 3
_BROKER_REST_S = 1.0

Run = Callable[[threading.Event], None]
Ready = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Work:
    """The threads of an ingesting process by name, and what ends with them. `first_look` is a janitor for one round
    before they start, without the lease."""

    threads: Mapping[str, Run]
    queue: Queue
    first_look: Janitor
    ready: Ready
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Part:
    """What a role adds to its process."""

    threads: Mapping[str, Run]
    ready: Ready = dict
    close: Sequence[Callable[[], None]] = field(default_factory=tuple)


def check_roles(settings: Settings, roles: Sequence[str]) -> None:
    """Refuses roles that nothing would join; said before anything is opened."""
    if settings.kafka.bootstrap is None and 0 < len(JOINED & set(roles)) < len(JOINED):
        raise Conflict(
            "The processes parse, embed and janitor are joined by Kafka: set RAGSTONE_KAFKA__BOOTSTRAP, or start them "
            "as one, watch,parse,embed,janitor."
        )


def make_work(shared: Shared, *, roles: Sequence[str], worker: str, supervised: bool, stop: threading.Event) -> Work:
    """Waits for the brokers, where there are some, until `stop`. `supervised`: the model is prepared by now."""
    bench = _Bench(shared, roles, worker=worker, supervised=supervised, stop=stop)
    made = [_PARTS[role](bench) for role in WORK if role in roles]
    threads = {name: run for part in made for name, run in part.threads.items()}
    if JOINED & set(roles):
        lease_s = shared.settings.work.lease_s
        threads["heartbeat"] = Heartbeat(shared.catalogue, worker=worker, lease_s=lease_s).run

    def ready() -> Mapping[str, Any]:
        shared.catalogue.healthy()
        found: dict[str, Any] = {"catalogue": "ready"}
        for ask in (*(part.ready for part in made), bench.queue_health):
            found.update(ask())
        bench.settlement.fuses.check()
        return found

    def close() -> None:
        for part in made:
            for one in part.close:
                one()

    return Work(
        threads=threads,
        queue=bench.queue,
        first_look=wiring.make_janitor(shared, catalogue=shared.catalogue, holder=worker),
        ready=ready,
        close=close,
    )


class _Bench:
    """What the roles of one process share."""

    def __init__(
        self, shared: Shared, roles: Sequence[str], *, worker: str, supervised: bool, stop: threading.Event
    ) -> None:
        self.shared = shared
        self.worker = worker
        work = shared.settings.work
        fuses = Fuses(limit=work.fuse, first_delay_s=work.fuse_s)
        self.settlement = Settlement(shared.catalogue, rest_s=work.rest_s, fuses=fuses)
        self._kafka = _kafka_queue(shared.settings, stop) if self._needs_kafka(roles) else None
        self.queue = _joined(shared.settings, self._kafka)
        self.place = Workplace(shared.catalogue, self.queue, worker, work.lease_s, Solitude(), self.settlement)
        self.model: PreparedModel | FetchedModel | None = None
        if "embed" in roles:
            self.model = wiring.open_model(shared.settings) if supervised else wiring.keep_model(shared)
        elif "parse" in roles:
            self.model = wiring.fetch_model(shared)
        self.tokenizer = None if self.model is None else wiring.tokenizer_of(self.model)

    def _needs_kafka(self, roles: Sequence[str]) -> bool:
        return self.shared.settings.kafka.bootstrap is not None and bool(JOINED & set(roles))

    def lease(self, name: str, *, seconds: float) -> NamedLease:
        return NamedLease(self.shared.catalogue.leases, name, holder=self.worker, seconds=seconds)

    def fenced(self, name: str) -> Catalogue:
        """For one who may have slept through the end of its lease: then it writes nothing."""
        return self.shared.catalogue.fenced(name, holder=self.worker)

    def queue_health(self) -> Mapping[str, Any]:
        if self._kafka is None:
            return {}
        from ingest.kafka_queue.stage_consumer import PROOF_S

        for one in self._kafka.health():
            if one.silent_s > _SILENT_PROOFS * PROOF_S:
                raise QueueUnavailable(
                    f"The brokers have not answered the {one.stage} consumer for {one.silent_s:.0f} s: {one.failure}"
                )
        return {"queue": {str(one.stage): one.partitions for one in self._kafka.health()}}


def _joined(settings: Settings, kafka: KafkaQueue | None) -> Queue:
    from ingest.memory_queue import MemoryQueue
    from ingest.routed_queue import RoutedQueue

    memory = MemoryQueue(window=settings.work.window)
    if kafka is None:
        return memory
    return RoutedQueue({Stage.PARSE: kafka, Stage.EMBED: kafka, Stage.ERASE: memory, Stage.REPAINT: memory})


def _kafka_queue(settings: Settings, stop: threading.Event) -> KafkaQueue:
    from ingest.kafka_queue.stage_consumer import Marks
    from ingest.kafka_queue.task_queue import KafkaQueue
    from ingest.kafka_queue.topics import TopicPolicy

    kafka = settings.kafka
    connection, topics = _brokers(settings)
    policy = TopicPolicy(
        partitions=kafka.partitions,
        replication_factor=kafka.replication_factor or -1,
        retention_s=kafka.retention_s,
        dead_letter_retention_s=kafka.dead_letter_retention_s,
    )
    _await_topics(connection, topics, policy, stop)
    return KafkaQueue(
        connection,
        topics,
        window=settings.work.window,
        marks={
            Stage.PARSE: Marks(2 * settings.parser.children, kafka.hold_bytes),
            Stage.EMBED: Marks(2 * settings.work.batch, kafka.hold_tokens),
        },
        drain_s=settings.work.drain_s,
    )


def _brokers(settings: Settings) -> tuple[KafkaConnection, Topics]:
    from ingest.kafka_queue.connection import KafkaConnection
    from ingest.kafka_queue.topics import Topics

    return KafkaConnection(**settings.kafka.connection()), Topics(settings.kafka.prefix)


def _await_topics(connection: KafkaConnection, topics: Topics, policy: TopicPolicy, stop: threading.Event) -> None:
    from ingest.kafka_queue.topics import ensure_topics

    while True:
        try:
            ensure_topics(connection, topics, policy)
            return
        except QueueUnavailable as error:
            log.warning("waiting for Kafka: %s", error)
            if stop.wait(_BROKER_REST_S):
                raise


# --- the roles ---


def _watch(bench: _Bench) -> _Part:
    from ingest.drop_folder import DropFolder, WatchTimes

    shared, settings = bench.shared, bench.shared.settings
    spec = bench.model.spec if bench.model is not None else wiring.fetch_spec(shared)
    settings.drop_folder.mkdir(parents=True, exist_ok=True)
    button = wiring.open_doorbell_button(settings, shared.layout)
    watch, catalogue = settings.watch, bench.fenced("watcher")
    drop_folder = DropFolder(
        root=settings.drop_folder,
        tenant=DEFAULT_TENANT,
        catalogue=catalogue,
        intake=wiring.make_intake(shared, catalogue, spec, button.ring),
        lease=bench.lease("watcher", seconds=settings.work.lease_s),
        times=WatchTimes(watch.scan_s, watch.settle_s, watch.grace_s),
        hold_share=watch.hold_share,
    )
    return _Part({"drop-folder": drop_folder.run}, close=[button.close])


def _parse(bench: _Bench) -> _Part:
    from ingest.chunking import ChunkLimits, chunk
    from ingest.parse_stage import ParseStage

    shared, settings = bench.shared, bench.shared.settings
    tokenizer, limits = bench.tokenizer, ChunkLimits()
    assert tokenizer is not None
    parser = _parser_pool(shared)
    button = wiring.open_doorbell_button(settings, shared.layout)
    stage = ParseStage(
        catalogue=shared.catalogue,
        blobs=shared.blobs,
        parser=parser,
        chunker=lambda parsed, document, title: chunk(
            parsed, document_id=document, title=title, tokenizer=tokenizer, limits=limits
        ),
        scratch=shared.layout.scratch,
        most_chunks=settings.work.chunks,
    )
    parse = one_by_one(bench.settlement, stage.run)

    def run(claims: Sequence[Claim]) -> None:
        parse(claims)
        button.ring()  # the embedding is owed

    worker = Worker(bench.place, stages=[Stage.PARSE], batch=1, run=run)
    return _Part(
        {f"parse-{i}": worker.run for i in range(settings.parser.children)},
        ready=lambda: {"sandbox": str(parser.level)},
        close=[parser.close, button.close],
    )


def _parser_pool(shared: Shared) -> ParserPool:
    from ingest.parser_pool import ParserPool

    parser = shared.settings.parser
    pool = ParserPool(
        parsers=parser.entry,
        limits=wiring.parser_limits(shared.settings),
        size=parser.children,
        scratch=shared.layout.scratch,
        allow_none=parser.allow_unsandboxed,
    )
    shared.layout.sandbox_level.write_text(f"{pool.level}\n")
    return pool


def _embed(bench: _Bench) -> _Part:
    from ingest.embed_stage import EmbedStage
    from ingest.embed_worker import EmbedWorker
    from ingest.publication import Publisher
    from ingest.slices import size_for
    from retrieval.canaries import check_canaries
    from retrieval.edge_bm25 import Bm25Encoder

    shared, settings, model = bench.shared, bench.shared.settings, bench.model
    assert isinstance(model, PreparedModel)
    courtesy = Courtesy(shared.layout.last_query)
    polite = model.measured.tokens_within(_POLITE_BATCH_S)
    embedder = wiring.open_embedder(
        model,
        tokenizer=bench.tokenizer,
        threads=wiring.threads_of(settings),
        passage_token_budget=lambda: polite if courtesy.somebody_searches() else None,
    )
    check_canaries(embedder, model.canaries, roles=("passage",))
    stage = EmbedStage(
        catalogue=shared.catalogue,
        blobs=shared.blobs,
        index=shared.index,
        embedder=embedder,
        bm25=Bm25Encoder(),
        publisher=Publisher(catalogue=shared.catalogue, index=shared.index),
        settle=bench.settlement.settle,
        slice_chunks=size_for(model.measured.tokens_per_s),
    )
    return _Part(
        {"embed": EmbedWorker(bench.place, stage, documents=settings.work.batch).run},
        ready=lambda: {"index": dict(shared.index.health()), "embedder": str(embedder.provenance)},
    )


def _janitor(bench: _Bench) -> _Part:
    from ingest.dispatcher import Dispatcher
    from ingest.janitor import LEASE
    from ingest.upkeep import Upkeep

    shared, work = bench.shared, bench.shared.settings.work
    doorbell = wiring.open_doorbell(shared.settings, shared.layout)
    dispatcher = Dispatcher(
        catalogue=bench.fenced("dispatcher"),
        queue=bench.queue,
        doorbell=doorbell,
        lease=bench.lease("dispatcher", seconds=min(_DISPATCHER_LEASE_S, work.lease_s)),
        stages=(Stage.ERASE, Stage.REPAINT, Stage.PARSE, Stage.EMBED),
        poll_s=work.poll_s,
    )
    janitor = wiring.make_janitor(shared, catalogue=bench.fenced(LEASE), holder=bench.worker)
    upkeep = Upkeep(catalogue=shared.catalogue, index=shared.index)
    upkeep_worker = Worker(
        bench.place, stages=[Stage.ERASE, Stage.REPAINT], batch=1, run=one_by_one(bench.settlement, upkeep.run)
    )
    return _Part(
        {"dispatcher": dispatcher.run, "janitor": janitor.run, "upkeep": upkeep_worker.run, **_announcer(bench)},
        ready=lambda: {"index": dict(shared.index.health())},
        close=[doorbell.close],
    )


def _announcer(bench: _Bench) -> Mapping[str, Run]:
    """Dead letters go to a topic, where there are topics."""
    shared, settings = bench.shared, bench.shared.settings
    if settings.kafka.bootstrap is None:
        return {}
    from ingest.kafka_queue.announcing import LEASE, Announcer
    from ingest.kafka_queue.sending import KafkaSender

    connection, topics = _brokers(settings)
    announcer = Announcer(
        shared.catalogue.dead_letters,
        KafkaSender(connection),
        topic=topics.dead_letters,
        lease=bench.lease(LEASE, seconds=settings.work.lease_s),
    )
    return {"announcer": announcer.run}


_PARTS: Mapping[str, Callable[[_Bench], _Part]] = {
    "watch": _watch,
    "parse": _parse,
    "embed": _embed,
    "janitor": _janitor,
}
