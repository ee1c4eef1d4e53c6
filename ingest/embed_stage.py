"""Embed stage: chunks become points, a slice at a time, and each document is published when its last one is written.

Any number of documents are open at once. A turn embeds one slice of them, composed so that nobody waits for somebody
else to end (`slices`). Vectors that the index holds of the same texts are reused: the live version's, so that an edit
embeds only what changed, and those of an earlier attempt at the same version, which was interrupted or released.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest import chunk_file
from ingest.blobs import Blobs
from ingest.open_document import OpenDocument
from ingest.publication import Publisher
from ingest.slices import compose
from retrieval import identity
from retrieval.catalogue import Catalogue
from retrieval.chunks import Chunk, EmbeddedChunk
from retrieval.documents import Stage
from retrieval.embedding import Embedder
from retrieval.errors import CatalogueUnavailable, Unavailable
from retrieval.index import Index
from retrieval.search import Bm25
from retrieval.tasks import Claim

log = logging.getLogger(__name__)

# Earlier attempts that are asked for vectors: one more is a look-up of a slice's ids, a millisecond or two.
EARLIER_ATTEMPTS = 3

Settle = Callable[[Claim, Callable[[], None]], bool]
"""Runs a step of one claim and records its failure, so that one document's trouble is not its neighbours'; whether the
step ended well."""


@dataclass(frozen=True, slots=True)
class _Portion:
    """One document's part of a slice; `vectors` are the reusable ones, by digest of the embedded text."""

    document: OpenDocument
    chunks: Sequence[Chunk]
    vectors: dict[str, NDArray[np.float32]]

    def missing(self) -> dict[str, str]:
        """The texts without a vector, by digest."""
        texts = {identity.text_digest(chunk.embedded_text): chunk.embedded_text for chunk in self.chunks}
        return {digest: text for digest, text in texts.items() if digest not in self.vectors}


class EmbedStage:
    """`slice_chunks` is the size of a slice. For one thread."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        blobs: Blobs,
        index: Index,
        embedder: Embedder,
        bm25: Bm25,
        publisher: Publisher,
        settle: Settle,
        slice_chunks: int,
    ) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        self._index = index
        self._embedder = embedder
        self._bm25 = bm25
        self._publisher = publisher
        self._settle = settle
        self._slice_chunks = slice_chunks
        self._open: dict[int, OpenDocument] = {}
        self.published = 0  # documents, ever: who sees it grow knows that the stage works

    @property
    def attempts(self) -> AbstractSet[int]:
        """Of the open documents. One that is not here any more has ended, and its outcome is recorded."""
        return self._open.keys()

    def run(self, claims: Sequence[Claim]) -> None:
        """Embeds and publishes these documents, from start to end."""
        for claim in claims:
            self.open(claim)
        while self._open:
            self.turn()

    def open(self, claim: Claim) -> None:
        self._settle(claim, lambda: self._opened(claim))

    def turn(self) -> None:
        """One slice: composed, embedded, written; documents that are whole by it are published."""
        self._withdraw_unwanted()
        portions: list[_Portion] = []
        for document, count in compose(list(self._open.values()), self._slice_chunks):
            self._step(document, lambda d=document, n=count: portions.append(self._portion(d, n)))  # type: ignore[misc]
        if portions:
            self._embed(portions)

    def let_go(self) -> list[Claim]:
        """Closes all documents where they are, between two turns. What becomes of their claims is the caller's."""
        claims = [document.claim for document in self._open.values()]
        self._open.clear()
        return claims

    # --- opening

    def _opened(self, claim: Claim) -> None:
        document = OpenDocument(claim, lambda: self._chunks(claim))
        document.sources = self._sources(document)
        self._open[claim.attempt] = document

    def _chunks(self, claim: Claim) -> Sequence[Chunk]:
        assert claim.chunk_file is not None  # the parse commit that owes the embedding wrote it
        return chunk_file.unpack(self._blobs.read(claim.document.tenant, claim.chunk_file)).chunks

    def _sources(self, document: OpenDocument) -> Sequence[int]:
        """A reprocessing takes nothing from other versions; what an earlier attempt at it embedded is its own."""
        claim = document.claim
        live = claim.document.live_attempt if claim.reuse_vectors else None
        sources = [] if live is None else [live]
        if document.total > self._slice_chunks:  # an attempt at a shorter one left nothing, or all but its switch
            sources += [attempt for attempt in self._earlier_attempts(claim) if attempt != live]
        return sources

    def _earlier_attempts(self, claim: Claim) -> list[int]:
        entries = self._catalogue.documents.timelines([claim.document.id]).get(claim.document.id, [])
        attempts = (entry.attempt for entry in entries if (entry.stage, entry.version) == (Stage.EMBED, claim.version))
        return sorted((attempt for attempt in attempts if attempt != claim.attempt), reverse=True)[:EARLIER_ATTEMPTS]

    # --- a turn

    def _step(self, document: OpenDocument, step: Callable[[], None]) -> None:
        if not self._settle(document.claim, step):
            self._open.pop(document.attempt, None)

    def _withdraw_unwanted(self) -> None:
        """A claim that was lost or overtaken costs no more embedding. Only documents of several slices are looked up:
        for others the switch is as near."""
        begun = [document for document in self._open.values() if document.written]
        try:
            unwanted = self._unwanted(begun) if begun else []
        except CatalogueUnavailable as error:
            log.warning("embedding goes on without knowing whether it is wanted: %s", error)
            return
        for document in unwanted:
            self._step(document, lambda d=document: self._withdraw(d))  # type: ignore[misc]

    def _unwanted(self, documents: Sequence[OpenDocument]) -> list[OpenDocument]:
        held = self._catalogue.tasks.leased_attempts()
        states = self._catalogue.documents.states([document.claim.document.id for document in documents])

        def is_wanted(document: OpenDocument) -> bool:
            claim = document.claim
            if claim.attempt not in held or claim.document.id not in states:
                return False
            newest, state = states[claim.document.id]
            return claim.version in (newest, claim.document.live_version) and not state.is_gone

        return [document for document in documents if not is_wanted(document)]

    def _withdraw(self, document: OpenDocument) -> None:
        if self._publisher.withdraw(document.claim, document.counts):
            del self._open[document.attempt]

    def _portion(self, document: OpenDocument, count: int) -> _Portion:
        chunks = document.next(count)
        ids = [identity.point_id(chunk.id, attempt) for attempt in document.sources for chunk in chunks]
        found = self._index.retrieve(document.tenant, ids, vectors=True) if ids else []
        return _Portion(document, chunks, {one.digest: one.vector for one in found if one.vector is not None})

    def _embed(self, portions: Sequence[_Portion]) -> None:
        """The missing vectors in one call, then each document's chunks to the index."""
        missing: dict[str, str] = {}
        for portion in portions:
            missing |= portion.missing()
        try:
            vectors = self._vectors(missing)
        except Exception as error:
            self._not_embedded(portions, error)
            return
        for portion in portions:
            self._step(portion.document, lambda p=portion: self._write(p, vectors))  # type: ignore[misc]

    def _vectors(self, texts: dict[str, str]) -> dict[str, NDArray[np.float32]]:
        return dict(zip(texts, self._embedder.embed_passages(list(texts.values())), strict=True)) if texts else {}

    def _not_embedded(self, portions: Sequence[_Portion], error: Exception) -> None:
        """Whose fault it is shows when each document is alone; an engine that is not available is nobody's."""
        if len(portions) > 1 and not isinstance(error, Unavailable):
            for portion in portions:
                self._embed([portion])
            return
        for portion in portions:
            self._step(portion.document, lambda: _raise(error))

    def _write(self, portion: _Portion, vectors: dict[str, NDArray[np.float32]]) -> None:
        document = portion.document
        embedded = [self._embedded(portion, chunk, vectors) for chunk in portion.chunks]
        document.wrote(self._publisher.write(document.claim, embedded))
        if document.remaining:
            return
        assert document.sample is not None  # it has chunks, and all of them are written
        self._publisher.publish(
            document.claim, expected=document.written, sample=document.sample, counts=document.counts
        )
        self.published += 1
        del self._open[document.attempt]

    def _embedded(self, portion: _Portion, chunk: Chunk, vectors: dict[str, NDArray[np.float32]]) -> EmbeddedChunk:
        digest = identity.text_digest(chunk.embedded_text)
        reused = portion.vectors.get(digest)
        counts = portion.document.counts
        counts["reused" if reused is not None else "embedded"] += 1
        counts["tokens"] += chunk.tokens if reused is None else 0
        return EmbeddedChunk(
            chunk, vectors[digest] if reused is None else reused, self._bm25.passage(chunk.embedded_text)
        )


def _raise(error: Exception) -> None:
    raise error
