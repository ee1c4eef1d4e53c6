"""Wiring: settings in, objects out. Heavy imports are inside the branches that need them.

Here is what several kinds of processes have; `api_wiring` and `work_wiring` make the rest. The port of each engine is
chosen in these three files and nowhere else; a process gets what its roles need and loads no other engine.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from retrieval.catalogue import BoundModel, Catalogue
from retrieval.embedder_choice import Engine
from retrieval.embedding import Embedder, EmbeddingSpec
from retrieval.errors import Unavailable
from retrieval.index import Index
from retrieval.model_folder import find_model_folder, weights_digest
from retrieval.model_preparation import PreparedModel, prepare
from services.access import Access
from services.layout import Layout
from services.settings import Settings

if TYPE_CHECKING:
    from ingest.blobs import Blobs
    from ingest.doorbell import Doorbell, DoorbellButton
    from ingest.intake import Intake
    from ingest.janitor import Janitor
    from ingest.parser_limits import ParserLimits
    from retrieval.model_archive import FetchedModel
    from retrieval.wordpiece_tokenizer import WordPieceTokenizer

log = logging.getLogger(__name__)

# Raised when parsing or chunking changes what it makes of the same bytes.
PIPELINE = 1
# Where the blob store keeps models; no tenant's name begins with a dot.
_MODELS = ".models"
# Two minutes: an embedding process prepares the model in half of one.
_MODEL_S = 120.0


@dataclass(frozen=True, slots=True)
class Shared:
    """What every process but the index has. Connections are made by their first use."""

    settings: Settings
    layout: Layout
    catalogue: Catalogue
    index: Index
    blobs: Blobs

    def close(self) -> None:
        self.index.close()
        self.catalogue.close()


def share(settings: Settings) -> Shared:
    layout = Layout(settings.data)
    return Shared(
        settings=settings,
        layout=layout,
        catalogue=open_catalogue(settings, layout),
        index=_index_client(settings, layout),
        blobs=_blobs(settings, layout),
    )


def open_catalogue(settings: Settings, layout: Layout, *, migrate: bool = False) -> Catalogue:
    """Refuses a database whose schema is not this program's, unless it may bring it there."""
    from retrieval.sql_catalogue.catalogue import SqlCatalogue
    from retrieval.sql_catalogue.ledger import RetryPolicy

    work = settings.work
    policy = RetryPolicy(failures=work.failures, kills=work.kills, base_s=work.retry_base_s)
    return SqlCatalogue(_database_url(settings, layout), policy=policy, migrate=migrate)


def open_access(shared: Shared) -> Access:
    """Refuses an address beyond this machine where no key is asked for."""
    settings = shared.settings
    return Access(shared.catalogue.keys, settings.bootstrap_key_file, on_loopback=settings.is_on_loopback)


def _database_url(settings: Settings, layout: Layout) -> str:
    given = settings.database.url
    return layout.catalogue_url if given is None else given.get_secret_value()


def _index_client(settings: Settings, layout: Layout) -> Index:
    from retrieval.socket_index import SocketIndex

    return SocketIndex(settings.qdrant.url or str(layout.index_socket))


def _blobs(settings: Settings, layout: Layout) -> Blobs:
    from ingest.folder_blobs import FolderBlobs

    return FolderBlobs(settings.blobs.folder or layout.blobs)


# --- the model ---


def open_model(settings: Settings) -> PreparedModel:
    """This machine's own, prepared by now."""
    return prepare(settings.embedder.model, settings.model_cache, threads=threads_of(settings))


def configured_spec(settings: Settings) -> EmbeddingSpec:
    """What the configured model's vectors are; the model itself need not be prepared."""
    folder = find_model_folder(settings.embedder.model)
    return folder.spec(weights_digest(folder, settings.model_cache))


def keep_model(shared: Shared) -> PreparedModel:
    """This machine's own, known to the catalogue, and where other machines work on the same, kept for them."""
    prepared = open_model(shared.settings)
    archive = None if shared.settings.is_alone else _kept(shared, prepared)
    shared.catalogue.bind_model(asdict(prepared.spec), archive=archive)
    return prepared


def _kept(shared: Shared, prepared: PreparedModel) -> str:
    from retrieval.model_archive import pack

    with TemporaryDirectory(dir=shared.layout.spool) as folder:
        packed = Path(folder) / "model"
        digest = pack(prepared, packed)
        bound = shared.catalogue.bound_model()
        if bound is None or bound.archive != digest:
            shared.blobs.put(_MODELS, digest, packed)
    return digest


def fetch_model(shared: Shared) -> PreparedModel | FetchedModel:
    """The model that the install is built on, from the blob store; where one machine is the whole install, its own."""
    if shared.settings.is_alone:
        return open_model(shared.settings)
    from retrieval.model_archive import is_unpacked, open_unpacked, unpack

    bound, cache = _bound_model(shared), shared.settings.model_cache
    spec = EmbeddingSpec(**bound.spec)
    if bound.archive is None:
        return open_model(shared.settings)
    if not is_unpacked(cache, spec, bound.archive):
        with shared.blobs.local(_MODELS, bound.archive) as path:
            unpack(path, cache, spec, bound.archive)
    return open_unpacked(cache, spec, bound.archive)


def fetch_spec(shared: Shared) -> EmbeddingSpec:
    """What vectors of this install are, without loading a model."""
    if shared.settings.is_alone:
        return configured_spec(shared.settings)
    return EmbeddingSpec(**_bound_model(shared).spec)


def _bound_model(shared: Shared) -> BoundModel:
    deadline = time.monotonic() + _MODEL_S
    said = False
    while (bound := shared.catalogue.bound_model()) is None:
        if time.monotonic() > deadline:
            raise Unavailable(
                "The catalogue knows no embedding model yet: start an embed process, or run `python -m services "
                "models prepare` with the settings of this install."
            )
        if not said:
            log.info("waiting for an embed process to prepare the embedding model")
            said = True
        time.sleep(0.5)
    return bound


def engine_of(model: PreparedModel | FetchedModel) -> Engine:
    """How this machine computes vectors: as it was measured, or for a fetched model as its CPU says."""
    return model.measured.engine if isinstance(model, PreparedModel) else model.engine


def open_embedder(
    model: PreparedModel | FetchedModel,
    *,
    threads: int,
    tokenizer: WordPieceTokenizer | None = None,
    passage_token_budget: Callable[[], int | None] | None = None,
) -> Embedder:
    """The embedder chosen for this machine. A process on OpenVINO never loads torch.

    `passage_token_budget` is asked before every passage batch; None, or an answer of None, is the engine's own best.
    """
    engine = engine_of(model)
    tokenizer = tokenizer or tokenizer_of(model)
    if engine.name == "openvino" and model.converted is not None:
        from retrieval.openvino_embedder import OpenVinoEmbedder

        return OpenVinoEmbedder(
            model.converted,
            model.spec,
            tokenizer,
            precision="bf16" if engine.precision == "bf16" else "f32",
            threads=threads,
            passage_token_budget=passage_token_budget,
        )
    from retrieval.torch_embedder import TorchEmbedder

    return TorchEmbedder(
        model.folder.path,
        model.spec,
        tokenizer,
        device=engine.device,
        precision=engine.precision,
        threads=threads,
        passage_token_budget=passage_token_budget,
    )


def tokenizer_of(model: PreparedModel | FetchedModel) -> WordPieceTokenizer:
    from retrieval.wordpiece_tokenizer import WordPieceTokenizer

    return WordPieceTokenizer(model.folder.path)


def threads_of(settings: Settings) -> int:
    return settings.embedder.threads or len(os.sched_getaffinity(0))


# --- what intake needs, at the API and at the drop folder ---


def fingerprint_of(spec: EmbeddingSpec) -> str:
    """What a version was parsed, chunked and embedded with; a parser that changed releases what it could not read."""
    return hashlib.sha256(f"{PIPELINE}:{spec.digest}".encode()).hexdigest()


def make_intake(shared: Shared, catalogue: Catalogue, spec: EmbeddingSpec, ring: Callable[[], None]) -> Intake:
    """With a catalogue of its own, for one whose writes are fenced."""
    from ingest.intake import Intake, IntakeLimits

    intake = shared.settings.intake
    return Intake(
        catalogue=catalogue,
        blobs=shared.blobs,
        spool=shared.layout.spool,
        limits=IntakeLimits(
            file_bytes=intake.file_bytes,
            inline_bytes=intake.inline_bytes,
            readers=intake.readers,
            backlog=intake.backlog,
        ),
        fingerprint=fingerprint_of(spec),
        ring=ring,
    )


def open_doorbell(settings: Settings, layout: Layout) -> Doorbell:
    if settings.database.is_embedded:
        from ingest.socket_doorbell import SocketDoorbell

        return SocketDoorbell(layout.doorbell)
    from retrieval.sql_catalogue.postgres_doorbell import PostgresDoorbell

    return PostgresDoorbell(_database_url(settings, layout))


def open_doorbell_button(settings: Settings, layout: Layout) -> DoorbellButton:
    if settings.database.is_embedded:
        from ingest.socket_doorbell import SocketDoorbellButton

        return SocketDoorbellButton(layout.doorbell)
    from retrieval.sql_catalogue.postgres_doorbell import PostgresDoorbellButton

    return PostgresDoorbellButton(_database_url(settings, layout))


# --- what children that open documents may use, those that parse and those that draw ---


def parser_limits(settings: Settings) -> ParserLimits:
    from ingest.parser_limits import MIB, ParserLimits

    parser = settings.parser
    return ParserLimits(
        memory_bytes=parser.memory_mib * MIB,
        cpu_s=parser.cpu_s,
        wall_s=parser.wall_s,
        file_bytes=parser.file_mib * MIB,
        result_bytes=parser.result_mib * MIB,
        documents_per_child=parser.documents_per_child,
    )


# --- the janitor, also for one round beside a running install ---


def make_janitor(shared: Shared, *, catalogue: Catalogue, holder: str) -> Janitor:
    from ingest.janitor import LEASE, Janitor
    from ingest.leasing import NamedLease

    settings = shared.settings
    return Janitor(
        catalogue=catalogue,
        index=shared.index,
        blobs=shared.blobs,
        lease=NamedLease(catalogue.leases, LEASE, holder=holder, seconds=settings.work.lease_s),
        interval_s=settings.janitor.interval_s,
        keep_blobs_s=settings.janitor.keep_blobs_s,
    )


# --- the process that holds the index ---


def open_edge_index(settings: Settings, layout: Layout, spec: EmbeddingSpec, *, wait_s: float) -> Any:
    from retrieval.edge_index import EdgeIndex

    return EdgeIndex(layout.index, spec, wait_s=wait_s)
