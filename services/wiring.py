"""Wiring: settings in, objects out. Heavy imports are inside the branches that need them.

The port of each engine is chosen here and nowhere else; a process gets what its roles need and loads no other engine.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from retrieval.catalogue import Catalogue
from retrieval.embedding import Embedder, EmbeddingSpec
from retrieval.errors import Unavailable
from retrieval.index import Index
from retrieval.model_preparation import PreparedModel, prepare
from retrieval.wordpiece_tokenizer import WordPieceTokenizer
from services.courtesy import Courtesy
from services.layout import Layout
from services.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ingest.blobs import Blobs
    from ingest.intake import Intake, IntakeLimits
    from ingest.janitor import Janitor
    from ingest.workers import Workplace
    from summarize.generation import Generator

# Raised when parsing or chunking changes what it makes of the same bytes.
PIPELINE = 1
# A passage batch while somebody searches: short enough that a query waits for at most one.
_POLITE_BATCH_S = 0.05


@dataclass(frozen=True, slots=True)
class Shared:
    """What every process but the index has."""

    settings: Settings
    layout: Layout
    catalogue: Catalogue
    index: Index
    prepared: PreparedModel

    @property
    def spec(self) -> EmbeddingSpec:
        return self.prepared.spec


def open_catalogue(settings: Settings, layout: Layout, *, migrate: bool = False) -> Catalogue:
    """Refuses a database whose schema is not this program's, unless it may bring it there."""
    from retrieval.sql_catalogue.catalogue import SqlCatalogue
    from retrieval.sql_catalogue.ledger import RetryPolicy

    work = settings.work
    policy = RetryPolicy(failures=work.failures, kills=work.kills, base_s=work.retry_base_s)
    given = settings.database.url
    url = layout.catalogue_url if given is None else given.get_secret_value()
    return SqlCatalogue(url, policy=policy, migrate=migrate)


def open_model(settings: Settings) -> PreparedModel:
    return prepare(settings.embedder.model, settings.model_cache, threads=_threads(settings))


def open_embedder(
    prepared: PreparedModel, *, threads: int, passage_token_budget: Callable[[], int | None] | None = None
) -> Embedder:
    """The embedder chosen for this machine. A process on OpenVINO never loads torch.

    `passage_token_budget` is asked before every passage batch; None, or an answer of None, is the engine's own best.
    """
    engine, spec = prepared.measured.engine, prepared.spec
    tokenizer = WordPieceTokenizer(prepared.folder.path)
    if engine.name == "openvino" and prepared.converted is not None:
        from retrieval.openvino_embedder import OpenVinoEmbedder

        return OpenVinoEmbedder(
            prepared.converted,
            spec,
            tokenizer,
            precision="bf16" if engine.precision == "bf16" else "f32",
            threads=threads,
            passage_token_budget=passage_token_budget,
        )
    from retrieval.torch_embedder import TorchEmbedder

    return TorchEmbedder(
        prepared.folder.path,
        spec,
        tokenizer,
        device=engine.device,
        precision=engine.precision,
        threads=threads,
        passage_token_budget=passage_token_budget,
    )


def open_index_client(settings: Settings, layout: Layout) -> Index:
    from retrieval.socket_index import SocketIndex

    return SocketIndex(settings.qdrant.url or str(layout.index_socket))


def share(settings: Settings) -> Shared:
    layout = Layout(settings.data)
    return Shared(
        settings=settings,
        layout=layout,
        catalogue=open_catalogue(settings, layout),
        index=open_index_client(settings, layout),
        prepared=open_model(settings),
    )


def spec_facts(spec: EmbeddingSpec) -> dict[str, Any]:
    return asdict(spec)


def fingerprint_of(spec: EmbeddingSpec) -> str:
    """What a version was parsed, chunked and embedded with; a parser that changed releases what it could not read."""
    return hashlib.sha256(f"{PIPELINE}:{spec.digest}".encode()).hexdigest()


# --- the process that answers HTTP ---


def make_app(shared: Shared, *, roles: Sequence[str]) -> FastAPI:
    from ingest.doorbell import DoorbellButton
    from retrieval.canaries import check_canaries
    from retrieval.edge_bm25 import Bm25Encoder
    from retrieval.search import Searcher
    from services.access import Access
    from services.http.app import create_app
    from services.http.cursors import Cursors
    from services.http.house import House
    from services.http.permits import Permits
    from services.http.waiting import Waiting
    from summarize.answers import Answerer
    from summarize.summaries import Summarizer

    settings, layout, catalogue = shared.settings, shared.layout, shared.catalogue
    embedder = open_embedder(shared.prepared, threads=_threads(settings))
    # Known answers first; it also means that nobody's query pays for what is made lazily.
    check_canaries(embedder, shared.prepared.canaries, roles=("query",))
    blobs = _blobs(layout)
    button = DoorbellButton(layout.doorbell)
    searcher = Searcher(catalogue=catalogue, index=shared.index, embedder=embedder, bm25=Bm25Encoder())
    generator = _generator(settings, embedder)
    house = House(
        access=Access(settings.bootstrap_key_file),
        catalogue=catalogue,
        index=shared.index,
        blobs=blobs,
        spec=shared.spec,
        intake=_intake(shared, blobs, button.ring),
        searcher=searcher,
        answerer=Answerer(generator, embedder.tokenizer),
        summarizer=Summarizer(generator, embedder.tokenizer),
        cursors=Cursors(layout.secret(settings.secret_file)),
        waiting=Waiting(catalogue),
        search_permits=Permits(settings.search.permits),
        intake_permits=Permits(settings.search.permits),
        generation_permits=Permits(settings.generator.permits),
        fingerprint=fingerprint_of(shared.spec),
        query_chars=settings.search.query_chars,
        noted_query=Courtesy(layout.last_query).note_query,
        ring=button.ring,
        ready=_readiness(shared, embedder, generator),
    )
    return create_app(
        house, roles=tuple(roles), file_bytes=settings.intake.file_bytes, json_bytes=settings.intake.json_bytes
    )


def _readiness(shared: Shared, embedder: Embedder, generator: Generator) -> Callable[[], Mapping[str, Any]]:
    def ready() -> Mapping[str, Any]:
        shared.catalogue.healthy()
        level = shared.layout.sandbox_level
        if not level.exists():
            raise Unavailable("The parsers have not started yet.")
        return {
            "catalogue": "ready",
            "index": dict(shared.index.health()),
            "embedder": asdict(embedder.provenance),
            "generator": generator.name,
            "sandbox": level.read_text().strip(),
        }

    return ready


def _generator(settings: Settings, embedder: Embedder) -> Generator:
    chosen = settings.generator
    if chosen.base_url and chosen.model:
        from summarize.langchain_generator import LangChainGenerator

        return LangChainGenerator(
            model=chosen.model,
            provider=chosen.provider,
            base_url=chosen.base_url,
            api_key=chosen.api_key.get_secret_value(),
            timeout_s=chosen.timeout_s,
            stall_s=chosen.stall_s,
            context_tokens=chosen.context_tokens,
            max_output_tokens=chosen.max_output_tokens,
        )
    from summarize.extractive_generator import ExtractiveGenerator

    return ExtractiveGenerator(embedder)


# --- the process that ingests ---


def make_work(shared: Shared, *, worker: str) -> Work:
    """Everything that ingests, joined by a queue in memory."""
    from ingest.chunking import ChunkLimits, chunk
    from ingest.dispatcher import Dispatcher
    from ingest.doorbell import Doorbell
    from ingest.drop_folder import DropFolder, WatchTimes
    from ingest.embed_stage import EmbedStage
    from ingest.embed_worker import EmbedWorker
    from ingest.janitor import LEASE
    from ingest.leasing import NamedLease
    from ingest.memory_queue import MemoryQueue
    from ingest.parse_stage import ParseStage
    from ingest.publication import Publisher
    from ingest.slices import size_for
    from ingest.upkeep import Upkeep
    from ingest.workers import Heartbeat, Settlement, Solitude, Worker, Workplace, one_by_one
    from retrieval.canaries import check_canaries
    from retrieval.documents import Stage
    from retrieval.edge_bm25 import Bm25Encoder
    from services.access import DEFAULT_TENANT

    settings, layout, catalogue, index = shared.settings, shared.layout, shared.catalogue, shared.index
    work = settings.work
    courtesy = Courtesy(layout.last_query)
    polite = shared.prepared.measured.tokens_within(_POLITE_BATCH_S)
    embedder = open_embedder(
        shared.prepared,
        threads=_threads(settings),
        passage_token_budget=lambda: polite if courtesy.somebody_searches() else None,
    )
    check_canaries(embedder, shared.prepared.canaries, roles=("passage",))
    parser = _parser_pool(settings, layout)
    blobs = _blobs(layout)
    doorbell = Doorbell(layout.doorbell)
    queue = MemoryQueue(window=work.window)
    publisher = Publisher(catalogue=catalogue, index=index)
    settlement = Settlement(catalogue, rest_s=work.rest_s)
    place = Workplace(catalogue, queue, worker, work.lease_s, Solitude(), settlement)
    limits = ChunkLimits()
    parse = ParseStage(
        catalogue=catalogue,
        blobs=blobs,
        parser=parser,
        chunker=lambda parsed, document, title: list(
            chunk(parsed, document_id=document, title=title, tokenizer=embedder.tokenizer, limits=limits)
        ),
        scratch=layout.scratch,
    )
    embed = EmbedStage(
        catalogue=catalogue,
        blobs=blobs,
        index=index,
        embedder=embedder,
        bm25=Bm25Encoder(),
        publisher=publisher,
        settle=settlement.settle,
        slice_chunks=size_for(shared.prepared.measured.tokens_per_s),
    )
    upkeep = Upkeep(catalogue=catalogue, index=index)

    def lease(name: str) -> NamedLease:
        return NamedLease(catalogue.leases, name, holder=worker, seconds=work.lease_s)

    def fenced(name: str) -> Catalogue:
        """For one who may have slept through the end of its lease: then it writes nothing."""
        return catalogue.fenced(name, holder=worker)

    settings.drop_folder.mkdir(parents=True, exist_ok=True)
    watch = settings.watch
    drop_folder = DropFolder(
        root=settings.drop_folder,
        tenant=DEFAULT_TENANT,
        catalogue=fenced("watcher"),
        intake=_intake(replace(shared, catalogue=fenced("watcher")), blobs, lambda: None),
        lease=lease("watcher"),
        times=WatchTimes(watch.scan_s, watch.settle_s, watch.grace_s),
        hold_share=watch.hold_share,
    )
    dispatcher = Dispatcher(
        catalogue=fenced("dispatcher"),
        queue=queue,
        doorbell=doorbell,
        lease=lease("dispatcher"),
        stages=tuple(Stage),
        poll_s=work.poll_s,
    )
    parse_worker = Worker(place, stages=[Stage.PARSE], batch=1, run=one_by_one(settlement, parse.run))
    janitor = make_janitor(replace(shared, catalogue=fenced(LEASE)), holder=worker)
    threads: dict[str, Callable[[Any], None]] = {
        "heartbeat": Heartbeat(catalogue, worker=worker, lease_s=work.lease_s).run,
        "dispatcher": dispatcher.run,
        "janitor": janitor.run,
        "drop-folder": drop_folder.run,
        "embed": EmbedWorker(place, embed, documents=work.batch).run,
        "upkeep": Worker(
            place, stages=[Stage.ERASE, Stage.REPAINT], batch=1, run=one_by_one(settlement, upkeep.run)
        ).run,
        **{f"parse-{i}": parse_worker.run for i in range(settings.parser.children)},
    }

    def close() -> None:
        parser.close()
        doorbell.close()

    return Work(threads=threads, place=place, first_look=make_janitor(shared, holder=worker), close=close)


def make_janitor(shared: Shared, *, holder: str) -> Janitor:
    from ingest.janitor import LEASE, Janitor
    from ingest.leasing import NamedLease

    settings, catalogue = shared.settings, shared.catalogue
    return Janitor(
        catalogue=catalogue,
        index=shared.index,
        blobs=_blobs(shared.layout),
        lease=NamedLease(catalogue.leases, LEASE, holder=holder, seconds=settings.work.lease_s),
        interval_s=settings.janitor.interval_s,
        keep_blobs_s=settings.janitor.keep_blobs_s,
    )


@dataclass(frozen=True, slots=True)
class Work:
    """The threads of an ingesting process by name, and what ends with them. `first_look` is a janitor for one round
    before they start, without the lease."""

    threads: Mapping[str, Callable[[Any], None]]
    place: Workplace
    first_look: Janitor
    close: Callable[[], None]


def _parser_pool(settings: Settings, layout: Layout) -> Any:
    from ingest.parser_limits import MIB, ParserLimits
    from ingest.parser_pool import ParserPool

    parser = settings.parser
    pool = ParserPool(
        parsers=parser.entry,
        limits=ParserLimits(
            memory_bytes=parser.memory_mib * MIB,
            cpu_s=parser.cpu_s,
            wall_s=parser.wall_s,
            file_bytes=parser.file_mib * MIB,
            result_bytes=parser.result_mib * MIB,
            documents_per_child=parser.documents_per_child,
        ),
        size=parser.children,
        scratch=layout.scratch,
        allow_none=parser.allow_unsandboxed,
    )
    layout.sandbox_level.write_text(f"{pool.level}\n")
    return pool


def _blobs(layout: Layout) -> Blobs:
    from ingest.folder_blobs import FolderBlobs

    return FolderBlobs(layout.blobs)


def _intake(shared: Shared, blobs: Blobs, ring: Callable[[], None]) -> Intake:
    from ingest.intake import Intake

    return Intake(
        catalogue=shared.catalogue,
        blobs=blobs,
        spool=shared.layout.spool,
        limits=_intake_limits(shared.settings),
        fingerprint=fingerprint_of(shared.spec),
        ring=ring,
    )


def _intake_limits(settings: Settings) -> IntakeLimits:
    from ingest.intake import IntakeLimits

    intake = settings.intake
    return IntakeLimits(file_bytes=intake.file_bytes, inline_bytes=intake.inline_bytes, readers=intake.readers)


# --- the process that holds the index ---


def open_edge_index(settings: Settings, layout: Layout, prepared: PreparedModel, *, wait_s: float) -> Any:
    from retrieval.edge_index import EdgeIndex

    return EdgeIndex(layout.index, prepared.spec, wait_s=wait_s)


def _threads(settings: Settings) -> int:
    return settings.embedder.threads or len(os.sched_getaffinity(0))
