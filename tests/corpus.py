"""A corpus in one process: the real catalogue, index, blobs and stages, with an embedder that needs no model.

Tests drive it by hand, one owed task after the other, so that every step between two commits can be looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ingest import chunk_file
from ingest.chunk_file import ChunkFile
from ingest.chunking import ChunkLimits, chunk
from ingest.embed_stage import EmbedStage, Settle
from ingest.folder_blobs import FolderBlobs
from ingest.intake import FileItem, Intake, IntakeLimits, TextItem
from ingest.janitor import Janitor
from ingest.leasing import NamedLease
from ingest.parse_stage import ParseStage
from ingest.parsing import ParsedDocument, Parser
from ingest.publication import Publisher
from ingest.text_parser import parse_text
from ingest.upkeep import Upkeep
from ingest.workers import Settlement
from retrieval.catalogue import Catalogue
from retrieval.chunks import Chunk, Locator
from retrieval.documents import Attributes, Collection, Document, Lane, Stage
from retrieval.edge_bm25 import Bm25Encoder
from retrieval.embedding import Embedder
from retrieval.errors import NotFound
from retrieval.fixed_embedder import FixedEmbedder
from retrieval.identity import chunk_ids
from retrieval.index import Index
from retrieval.principal import Principal, Scope
from retrieval.search import Bm25, Hit, Query, Searcher
from retrieval.sql_catalogue.catalogue import SqlCatalogue
from retrieval.sql_catalogue.ledger import RetryPolicy
from retrieval.tasks import Claim, ParseOutcome

AT_ONCE = RetryPolicy(base_s=0.0, kill_base_s=0.0)  # what failed is due again without a rest
LIMITS = ChunkLimits()
FINGERPRINT = "f" * 64


class PlainParser:
    """The Parser port on plain text, in this process."""

    def parse(
        self, path: Path, *, media_type: str, name: str, wanted: Callable[[], bool] | None = None
    ) -> ParsedDocument:
        return parse_text(path.read_bytes())

    def close(self) -> None:
        """Nothing to let go of."""


def open_catalogue(folder: Path, *, policy: RetryPolicy = AT_ONCE) -> SqlCatalogue:
    return SqlCatalogue(f"sqlite:///{folder / 'catalogue.db'}", policy=policy, migrate=True)


@dataclass(slots=True)
class Corpus:
    """`index` may be shared with others: each corpus has a tenant of its own."""

    folder: Path
    index: Index
    tenant: str
    catalogue: Catalogue
    embedder: Embedder = field(default_factory=FixedEmbedder)
    bm25: Bm25 = field(default_factory=Bm25Encoder)
    parser: Parser = field(default_factory=PlainParser)
    limits: IntakeLimits = field(default_factory=IntakeLimits)
    most_chunks: int = 20_000
    worker: str = "worker"

    @property
    def blobs(self) -> FolderBlobs:
        return FolderBlobs(self.folder / "blobs")

    @property
    def admin(self) -> Principal:
        return Principal(self.tenant, frozenset(), frozenset(Scope))

    @property
    def intake(self) -> Intake:
        return Intake(
            catalogue=self.catalogue,
            blobs=self.blobs,
            spool=self.folder / "spool",
            limits=self.limits,
            fingerprint=FINGERPRINT,
            ring=lambda: None,
        )

    @property
    def publisher(self) -> Publisher:
        return Publisher(catalogue=self.catalogue, index=self.index)

    @property
    def settlement(self) -> Settlement:
        return Settlement(self.catalogue, rest_s=0.0)

    @property
    def searcher(self) -> Searcher:
        return Searcher(catalogue=self.catalogue, index=self.index, embedder=self.embedder, bm25=self.bm25)

    @property
    def parse_stage(self) -> ParseStage:
        return ParseStage(
            catalogue=self.catalogue,
            blobs=self.blobs,
            parser=self.parser,
            chunker=self._chunks,
            scratch=self.folder,
            most_chunks=self.most_chunks,
        )

    def embed_stage(self, *, slice_chunks: int = 64, settle: Settle | None = None) -> EmbedStage:
        return EmbedStage(
            catalogue=self.catalogue,
            blobs=self.blobs,
            index=self.index,
            embedder=self.embedder,
            bm25=self.bm25,
            publisher=self.publisher,
            settle=settle or self.settlement.settle,
            slice_chunks=slice_chunks,
        )

    def janitor(self, *, keep_blobs_s: float = 86_400) -> Janitor:
        lease = NamedLease(self.catalogue.leases, "janitor", holder=self.worker, seconds=60)
        return Janitor(
            catalogue=self.catalogue,
            index=self.index,
            blobs=self.blobs,
            lease=lease,
            interval_s=60,
            keep_blobs_s=keep_blobs_s,
        )

    def _chunks(self, parsed: ParsedDocument, document: str, title: str) -> Iterator[Chunk]:
        tokenizer = self.embedder.tokenizer
        return chunk(parsed, document_id=document, title=title, tokenizer=tokenizer, limits=LIMITS)

    # --- what a caller does ---

    def collection(self, name: str = "docs", *, readers: tuple[str, ...] | None = None) -> Collection:
        try:
            return self.catalogue.collections.by_name(self.tenant, name)
        except NotFound:
            return self.catalogue.collections.create(self.tenant, name, default_readers=readers)

    def send(
        self,
        text: str,
        external_id: str | None = None,
        *,
        collection: str = "docs",
        title: str | None = None,
        readers: tuple[str, ...] | None = None,
        metadata: dict[str, Any] | None = None,
        lane: Lane = Lane.INTERACTIVE,
    ) -> Document:
        """Takes a text, and parses nothing yet."""
        attributes = Attributes(title=title, external_id=external_id, metadata=metadata, readers=readers)
        item = TextItem(text, "text/plain", attributes, lane)
        (answer,) = self.intake.accept_texts(self.admin, self.collection(collection), [item])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def upload(self, data: bytes, name: str, **attributes: Any) -> Document:
        spooled = self.intake.spool([data])
        item = FileItem(spooled, name, None, Attributes(**attributes), Lane.INTERACTIVE)
        return self.intake.accept_file(self.admin, self.collection(), item)

    def send_parsed(self, name: str, chunks: int, *, lane: Lane = Lane.INTERACTIVE) -> Document:
        """A document whose parse found so many chunks, `name 0` and so on, and which owes its embedding."""
        document = self.send(f"{name} as it was sent", name, lane=lane)
        tasks = self.catalogue.tasks
        due = tasks.due([Stage.PARSE], excluding=[], limit=100)
        pointer = next(pointer for pointer in due if pointer.document_id == document.id)
        claim = tasks.claim(pointer.task_id, worker=self.worker, lease_s=60)
        assert claim is not None
        digest, data = chunk_file.pack(_chunk_file(document.id, [f"{name} {n}" for n in range(chunks)]))
        self.blobs.put_bytes(self.tenant, digest, data)
        assert tasks.parsed(claim, ParseOutcome(digest, None, None, None, chunks, 2 * chunks))
        return document

    def add(self, text: str, external_id: str | None = None, **said: Any) -> Document:
        """Takes a text and works until nothing is owed."""
        document = self.send(text, external_id, **said)
        self.work()
        return self.get(document.id)

    def get(self, document_id: str) -> Document:
        return self.catalogue.documents.get(self.admin, document_id)

    def hits(self, text: str, principal: Principal | None = None, **said: Any) -> Sequence[Hit]:
        return self.searcher.search(principal or self.admin, Query(text, **said)).hits

    # --- what workers do ---

    def claim(self, *stages: Stage, worker: str | None = None) -> Claim:
        """The first task that is due; a test that finds none is wrong."""
        claims = self.claims(*stages, limit=1, worker=worker)
        assert claims, "nothing is due"
        return claims[0]

    def claims(self, *stages: Stage, limit: int = 100, worker: str | None = None) -> list[Claim]:
        tasks = self.catalogue.tasks
        due = tasks.due(stages or tuple(Stage), excluding=[], limit=limit)
        made = [tasks.claim(pointer.task_id, worker=worker or self.worker, lease_s=60) for pointer in due]
        return [claim for claim in made if claim is not None]

    def run(self, claims: Sequence[Claim]) -> None:
        """Runs these claims as a worker would."""
        settle = self.settlement.settle
        upkeep = Upkeep(catalogue=self.catalogue, index=self.index)
        runs = {
            Stage.PARSE: self.parse_stage.run,
            Stage.ERASE: upkeep.run,
            Stage.REPAINT: upkeep.run,
        }
        for claim in claims:
            if claim.stage is not Stage.EMBED:
                settle(claim, lambda claim=claim: runs[claim.stage](claim))  # type: ignore[misc]
        embedding = [claim for claim in claims if claim.stage is Stage.EMBED]
        if embedding:
            self.embed_stage().run(embedding)

    def work(self, *stages: Stage) -> None:
        """Works until nothing of these stages is due."""
        deadline = time.monotonic() + 30
        while self.catalogue.tasks.due(stages or tuple(Stage), excluding=[], limit=1):
            assert time.monotonic() < deadline, "the work does not end"
            self.run(self.claims(*stages))

    def with_(self, **changes: Any) -> Corpus:
        """The same corpus, seen through other implementations of its ports."""
        return replace(self, **changes)


def _chunk_file(document: str, texts: Sequence[str]) -> ChunkFile:
    chunks, start = [], 0
    for n, (chunk_id, text) in enumerate(zip(chunk_ids(document, texts), texts, strict=True)):
        chunks.append(Chunk(chunk_id, document, n, text, text, Locator(start, start + len(text)), 2))
        start += len(text) + 1
    return ChunkFile(" ".join(texts), None, None, None, [], chunks, [])


def reader(corpus: Corpus, *labels: str, collections: frozenset[str] | None = None) -> Principal:
    """A principal of the corpus's tenant without administrative scopes."""
    return Principal(corpus.tenant, frozenset(labels), frozenset({Scope.SEARCH, Scope.READ}), collections)
