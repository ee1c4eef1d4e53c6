"""A corpus of synthetic vectors, written straight into a data folder: what is measured is search, not ingestion."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import update

from retrieval import identity
from retrieval.chunks import Chunk, EmbeddedChunk, Locator
from retrieval.documents import Attributes, Content, Document, DocumentState, Lane, Submission
from retrieval.edge_bm25 import Bm25Encoder
from retrieval.edge_index import EdgeIndex
from retrieval.embedding import EmbeddingSpec
from retrieval.identity import IdentityKind
from retrieval.index import Placement, Point, Selection
from retrieval.principal import Principal, Scope
from retrieval.sql_catalogue.catalogue import SqlCatalogue
from retrieval.sql_catalogue.database import Database
from retrieval.sql_catalogue.tables import documents, tasks
from services.layout import Layout

CHUNKS_PER_DOCUMENT = 50
WORDS_PER_CHUNK = 60
_PORTION = 500
TENANT = "default"
COLLECTION = "corpus"


def words() -> list[str]:
    """5,000 pronounceable words; frequent ones first, as `text` draws them."""
    chance = random.Random(1)
    syllables = [a + b for a in "bdfgklmnprstv" for b in "aeiou"]
    return sorted({"".join(chance.choices(syllables, k=chance.randint(2, 4))) for _ in range(6_000)})[:5_000]


def text(chance: random.Random, vocabulary: list[str], count: int = WORDS_PER_CHUNK) -> str:
    """Words drawn as in real text: the n-th with a weight of 1/n."""
    picks = (int(len(vocabulary) ** chance.random()) - 1 for _ in range(count))
    return " ".join(vocabulary[pick] for pick in picks) + "."


def fill(data: Path, spec: EmbeddingSpec, *, chunks: int) -> None:
    """Makes a data folder in which `chunks` chunks are live."""
    layout = Layout(data)
    layout.prepare()
    catalogue = SqlCatalogue(layout.catalogue_url, migrate=True)
    collection = catalogue.collections.create(TENANT, COLLECTION)
    count = -(-chunks // CHUNKS_PER_DOCUMENT)
    accepted = catalogue.documents.accept([_submission(collection.id, number) for number in range(count)])
    live = [answer for answer in accepted if isinstance(answer, Document)]
    index = EdgeIndex(layout.index, spec)
    for points in _portions(live, spec.dimension):
        index.upsert(TENANT, points)
    for document in live:
        index.set_live(TENANT, Selection(document.id))
    index.close()
    _make_live(layout.catalogue_url)
    catalogue.close()


def _submission(collection_id: str, number: int) -> Submission:
    body = f"Document {number} of a synthetic corpus."
    return Submission(
        submitter=Principal(TENANT, frozenset(), frozenset(Scope)),
        collection_id=collection_id,
        identity_kind=IdentityKind.EXTERNAL_ID,
        identity_value=str(number),
        content=Content(identity.text_digest(body), len(body), "text/plain", "document.txt", body),
        attributes=Attributes(external_id=str(number), title=f"Document {number}", metadata={"number": number}),
        default_title="",
        source=None,
        lane=Lane.BULK,
        fingerprint="synthetic",
    )


def _portions(live: list[Document], dimension: int) -> Iterator[list[Point]]:
    chance, vocabulary, bm25 = random.Random(2), words(), Bm25Encoder()
    generator = np.random.default_rng(3)
    portion: list[Point] = []
    for document in live:
        texts = [text(chance, vocabulary) for _ in range(CHUNKS_PER_DOCUMENT)]
        vectors = _unit(generator, CHUNKS_PER_DOCUMENT, dimension)
        for ordinal, (key, quote) in enumerate(zip(identity.chunk_ids(document.id, texts), texts, strict=True)):
            chunk = Chunk(key, document.id, ordinal, quote, quote, Locator(0, len(quote)), WORDS_PER_CHUNK)
            portion.append(_point(document, EmbeddedChunk(chunk, vectors[ordinal], bm25.passage(quote))))
        if len(portion) >= _PORTION:
            yield portion
            portion = []
    if portion:
        yield portion


def _point(document: Document, embedded: EmbeddedChunk) -> Point:
    placement = Placement(
        tenant=TENANT,
        collection_id=document.collection_id,
        document_id=document.id,
        version=1,
        attempt=1,
        rev=1,
        readers=document.readers,
        fields=document.filter_fields(),
    )
    key = identity.point_id(embedded.chunk.id, 1)
    return Point(key, embedded, identity.text_digest(embedded.chunk.embedded_text), placement)


def _unit(generator: np.random.Generator, count: int, dimension: int) -> NDArray[np.float32]:
    vectors = generator.standard_normal((count, dimension), dtype=np.float32)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _make_live(url: str) -> None:
    """The rows as publication leaves them, but for the attempts: nobody looks at those here."""
    database = Database(url)
    with database.write() as connection:
        connection.execute(
            update(documents).values(
                state=DocumentState.SEARCHABLE.value, live_version=1, live_attempt=1, chunks=CHUNKS_PER_DOCUMENT
            )
        )
        connection.execute(update(tasks).values(done_at=time.time()))
    database.close()
