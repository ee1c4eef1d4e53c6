"""Embed stage: chunks become points, in batches across documents, and each document is published.

Vectors of the live version are reused where the embedded text is the same, so an edit embeds only what changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ingest import chunk_file
from ingest.blobs import Blobs
from ingest.publication import Publisher
from retrieval import identity
from retrieval.chunks import Chunk, EmbeddedChunk
from retrieval.embedding import Embedder
from retrieval.errors import Unavailable
from retrieval.index import Index, Point, Selection
from retrieval.search import Bm25
from retrieval.tasks import Claim

# Chunks in flight between the embedder and the index: enough for full batches of every length, 6 MB of vectors.
SLICE = 256

Settle = Callable[[Claim, Callable[[], None]], None]
"""Runs a step of one claim and records its failure, so that one document's trouble is not its neighbours'."""


@dataclass(slots=True)
class _Work:
    """One claimed document on its way to the index."""

    claim: Claim
    chunks: Sequence[Chunk]
    reusable: dict[str, NDArray[np.float32]]
    sample: Point | None = None
    written: int = 0
    counts: dict[str, int] = field(default_factory=lambda: {"points": 0, "embedded": 0, "reused": 0, "tokens": 0})


class EmbedStage:
    def __init__(
        self, *, blobs: Blobs, index: Index, embedder: Embedder, bm25: Bm25, publisher: Publisher, settle: Settle
    ) -> None:
        self._blobs = blobs
        self._index = index
        self._embedder = embedder
        self._bm25 = bm25
        self._publisher = publisher
        self._settle = settle

    def run(self, claims: Sequence[Claim]) -> None:
        """Embeds and publishes these documents; each ends for itself, as soon as its last chunk is written."""
        opened: list[_Work] = []
        for claim in claims:
            self._settle(claim, lambda claim=claim: opened.append(self._open(claim)))  # type: ignore[misc]
        broken: set[int] = set()
        for portion in _portions(opened):
            self._embed(portion, broken)

    def _open(self, claim: Claim) -> _Work:
        document = claim.document
        assert claim.chunk_file is not None  # the parse commit that owes the embedding wrote it
        file = chunk_file.unpack(self._blobs.read(document.tenant, claim.chunk_file))
        return _Work(claim, file.chunks, self._reusable(claim))

    def _reusable(self, claim: Claim) -> dict[str, NDArray[np.float32]]:
        document = claim.document
        if not claim.reuse_vectors or document.live_attempt is None:
            return {}
        live = Selection(document.id, attempt=document.live_attempt)
        points = self._index.points_of(document.tenant, live, vectors=True)
        return {point.digest: point.vector for point in points if point.vector is not None}

    def _embed(self, portion: Sequence[tuple[_Work, Sequence[Chunk]]], broken: set[int]) -> None:
        """One slice: the missing vectors in one call, then each document's chunks to the index."""
        standing = [(work, chunks) for work, chunks in portion if work.claim.attempt not in broken]
        try:
            vectors = self._vectors(_missing(standing))
        except Exception as error:
            self._not_embedded(standing, error, broken)
            return
        for work, chunks in standing:
            self._finish_portion(work, chunks, vectors, broken)

    def _vectors(self, texts: dict[str, str]) -> dict[str, NDArray[np.float32]]:
        return dict(zip(texts, self._embedder.embed_passages(list(texts.values())), strict=True)) if texts else {}

    def _not_embedded(
        self, portion: Sequence[tuple[_Work, Sequence[Chunk]]], error: Exception, broken: set[int]
    ) -> None:
        """Whose fault it is shows when each document is alone; an engine that is not available is nobody's."""
        if len(portion) > 1 and not isinstance(error, Unavailable):
            for one in portion:
                self._embed([one], broken)
            return
        for work, _ in portion:
            broken.add(work.claim.attempt)
            self._settle(work.claim, lambda: _raise(error))

    def _finish_portion(
        self,
        work: _Work,
        chunks: Sequence[Chunk],
        vectors: dict[str, NDArray[np.float32]],
        broken: set[int],
    ) -> None:
        broken.add(work.claim.attempt)  # until its step ended well
        self._settle(work.claim, lambda: self._write_and_publish(work, chunks, vectors, broken))

    def _write_and_publish(
        self,
        work: _Work,
        chunks: Sequence[Chunk],
        vectors: dict[str, NDArray[np.float32]],
        broken: set[int],
    ) -> None:
        embedded = [self._embedded(work, chunk, vectors) for chunk in chunks]
        points = self._publisher.write(work.claim, embedded)
        work.sample = work.sample or points[0]
        work.written += len(points)
        work.counts["points"] = work.written
        if work.written == len(work.chunks):
            self._publisher.publish(work.claim, expected=work.written, sample=work.sample, counts=work.counts)
        broken.discard(work.claim.attempt)

    def _embedded(self, work: _Work, chunk: Chunk, vectors: dict[str, NDArray[np.float32]]) -> EmbeddedChunk:
        digest = identity.text_digest(chunk.embedded_text)
        reused = work.reusable.get(digest)
        work.counts["reused" if reused is not None else "embedded"] += 1
        work.counts["tokens"] += chunk.tokens if reused is None else 0
        vector = reused if reused is not None else vectors[digest]
        return EmbeddedChunk(chunk, vector, self._bm25.passage(chunk.embedded_text))


def _missing(portion: Sequence[tuple[_Work, Sequence[Chunk]]]) -> dict[str, str]:
    """The texts without a vector, each once, by digest."""
    missing: dict[str, str] = {}
    for work, chunks in portion:
        for chunk in chunks:
            digest = identity.text_digest(chunk.embedded_text)
            if digest not in work.reusable:
                missing[digest] = chunk.embedded_text
    return missing


def _portions(works: Sequence[_Work]) -> Iterator[list[tuple[_Work, Sequence[Chunk]]]]:
    """Slices of at most SLICE chunks, across documents, in order."""
    flat = ((work, chunk) for work in works for chunk in work.chunks)
    while portion := list(islice(flat, SLICE)):
        grouped: dict[int, tuple[_Work, list[Chunk]]] = {}
        for work, chunk in portion:
            grouped.setdefault(work.claim.attempt, (work, []))[1].append(chunk)
        yield list(grouped.values())


def _raise(error: Exception) -> None:
    raise error
