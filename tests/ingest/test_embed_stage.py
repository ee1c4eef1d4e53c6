"""Embedding: only what changed, many documents at once, each on its own responsibility."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ingest.open_document import READ_AHEAD
from retrieval.documents import DocumentState, Outcome, Stage
from retrieval.embedding import Embedder
from retrieval.errors import EmbedderBusy, IndexUnavailable
from retrieval.index import Index, Point, Selection
from retrieval.tasks import Claim, Failure
from tests.corpus import Corpus


class Counting:
    """The Embedder port, counting what it is asked; raises where a text holds `poison`."""

    def __init__(self, embedder: Embedder, poison: str | None = None, error: Exception | None = None) -> None:
        self._embedder = embedder
        self._poison = poison
        self._error = error or RuntimeError("the engine fell over")
        self.calls: list[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    @property
    def texts(self) -> list[str]:
        return [text for call in self.calls for text in call]

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls.append(list(texts))
        if self._poison is not None and any(self._poison in text for text in texts):
            raise self._error
        return self._embedder.embed_passages(texts)


class Refusing:
    """An index that takes no point of one document."""

    def __init__(self, index: Index, document: str) -> None:
        self._index = index
        self._document = document

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def upsert(self, tenant: str, points: Sequence[Point]) -> None:
        if any(point.placement.document_id == self._document for point in points):
            raise IndexUnavailable
        self._index.upsert(tenant, points)


def paragraphs(*names: str) -> str:
    """A text of one chunk a name."""
    return "\n\n".join(f"{name} begins. " + f"{name} " * 180 for name in names)


@pytest.fixture
def counting(corpus: Corpus) -> Counting:
    return Counting(corpus.embedder)


def test_an_edit_embeds_only_the_chunks_that_changed(corpus: Corpus, counting: Counting) -> None:
    seen = corpus.with_(embedder=counting)
    document = seen.add(paragraphs("otter", "heron", "trout"), "a", title="T")
    assert document.chunks is not None
    assert len(counting.texts) == document.chunks >= 3
    counting.calls.clear()
    document = seen.add(paragraphs("otter", "newt", "trout"), "a", title="T")
    assert document.live_version == 2
    assert document.chunks is not None
    assert 0 < len(counting.texts) < document.chunks
    assert all("newt" in text for text in counting.texts)
    entries = corpus.catalogue.documents.timelines([document.id])[document.id]
    counts = next(e.counts for e in entries if e.version == 2 and e.stage is Stage.EMBED)
    assert (counts["embedded"], counts["reused"]) == (
        len(counting.texts),
        document.chunks - len(counting.texts),
    )
    points = list(corpus.index.points_of(corpus.tenant, Selection(document.id), vectors=True))
    for point in points:
        assert point.vector is not None
        assert np.array_equal(point.vector, corpus.embedder.embed_passages([point.chunk.embedded_text])[0])


def test_a_new_title_embeds_everything_because_it_is_embedded(corpus: Corpus, counting: Counting) -> None:
    seen = corpus.with_(embedder=counting)
    seen.add(paragraphs("otter", "heron"), "a", title="One")
    first = len(counting.texts)
    seen.add(paragraphs("otter", "heron"), "a", title="Two")
    assert len(counting.texts) == 2 * first


def test_reprocessing_reuses_no_vector(corpus: Corpus, counting: Counting) -> None:
    seen = corpus.with_(embedder=counting)
    document = seen.add(paragraphs("otter", "heron"), "a")
    first = len(counting.texts)
    corpus.catalogue.documents.reprocess(corpus.admin, document.id, fingerprint="f2")
    seen.work()
    assert len(counting.texts) == 2 * first
    assert corpus.get(document.id).live_version == 2


def test_documents_are_embedded_together(corpus: Corpus, counting: Counting) -> None:
    documents = [corpus.send(f"An otter, number {n}.", f"{n}") for n in range(5)]
    corpus.work(Stage.PARSE)
    corpus.with_(embedder=counting).run(corpus.claims(Stage.EMBED))
    assert [len(call) for call in counting.calls] == [5]
    assert {corpus.get(document.id).state for document in documents} == {DocumentState.SEARCHABLE}


def test_a_document_longer_than_a_slice_is_published_once_and_whole(corpus: Corpus, counting: Counting) -> None:
    sizes = {"a": 12, "b": 23, "c": 3}
    documents = {name: corpus.send_parsed(name, count).id for name, count in sizes.items()}
    corpus.with_(embedder=counting).embed_stage(slice_chunks=16).run(corpus.claims(Stage.EMBED))
    assert [len(call) for call in counting.calls] == [16, 16, 6]
    for name, document in documents.items():
        assert corpus.get(document).state is DocumentState.SEARCHABLE
        assert corpus.index.count(corpus.tenant, Selection(document, live=True)) == sizes[name]


def test_a_document_longer_than_what_is_read_ahead_is_whole(corpus: Corpus, counting: Counting) -> None:
    document = corpus.send_parsed("a", READ_AHEAD + 70)
    corpus.with_(embedder=counting).embed_stage(slice_chunks=100).run(corpus.claims(Stage.EMBED))
    assert counting.texts == [f"a {n}" for n in range(READ_AHEAD + 70)]
    assert corpus.get(document.id).state is DocumentState.SEARCHABLE


def _embed_slices(corpus: Corpus, embedder: Embedder, slices: int) -> list[Claim]:
    """A stage that ends after so many slices of eight chunks; what it leaves is nobody's yet."""
    stage = corpus.with_(embedder=embedder).embed_stage(slice_chunks=8)
    for claim in corpus.claims(Stage.EMBED):
        stage.open(claim)
    for _ in range(slices):
        stage.turn()
    return stage.let_go()


def test_what_an_interrupted_attempt_embedded_is_not_embedded_again(corpus: Corpus, counting: Counting) -> None:
    document = corpus.send_parsed("a", 30)
    for _ in range(3):
        _embed_slices(corpus, counting, 1)
        corpus.catalogue.tasks.predecessors_died()
    _embed_slices(corpus, counting, 4)
    assert sorted(counting.texts) == sorted(f"a {n}" for n in range(30))
    corpus.work()
    assert corpus.get(document.id).state is DocumentState.SEARCHABLE
    points = list(corpus.index.points_of(corpus.tenant, Selection(document.id), vectors=True))
    assert len(points) == 30
    for point in points:
        assert point.vector is not None
        assert np.array_equal(point.vector, corpus.embedder.embed_passages([point.chunk.text])[0])


def test_an_interrupted_reprocessing_takes_up_its_own_vectors_and_no_others(corpus: Corpus, counting: Counting) -> None:
    text = paragraphs(*(f"animal{n}" for n in range(12)))
    document = corpus.add(text, "a")
    chunks = document.chunks
    assert chunks is not None
    assert chunks > 8
    corpus.catalogue.documents.reprocess(corpus.admin, document.id, fingerprint="f2")
    corpus.work(Stage.PARSE)
    _embed_slices(corpus, counting, 1)
    assert len(counting.texts) == 8
    corpus.catalogue.tasks.predecessors_died()
    _embed_slices(corpus, counting, 3)
    assert len(counting.texts) == len(set(counting.texts)) == chunks
    assert corpus.get(document.id).live_version == 2


def _lose(corpus: Corpus, document: str) -> None:
    corpus.catalogue.tasks.predecessors_died()
    corpus.claim(Stage.EMBED, worker="another")


def _overtake(corpus: Corpus, document: str) -> None:
    corpus.send("Something newer.", "a")


def _delete(corpus: Corpus, document: str) -> None:
    corpus.catalogue.documents.delete(corpus.admin, document)


@pytest.mark.parametrize("happens", [_lose, _overtake, _delete])
def test_a_document_that_is_not_wanted_any_more_costs_no_further_slice(
    corpus: Corpus, counting: Counting, happens: Callable[[Corpus, str], None]
) -> None:
    document = corpus.send_parsed("a", 40)
    [claim] = corpus.claims(Stage.EMBED)
    stage = corpus.with_(embedder=counting).embed_stage(slice_chunks=8)
    stage.open(claim)
    stage.turn()
    happens(corpus, document.id)
    stage.turn()
    assert len(counting.calls) == 1
    assert not stage.attempts
    erases = corpus.claims(Stage.ERASE)
    assert str(claim.attempt) in {erase.subject for erase in erases}
    corpus.run(erases)
    assert corpus.index.count(corpus.tenant, Selection(document.id, attempt=claim.attempt)) == 0


def test_a_live_version_that_is_embedded_again_is_wanted_though_a_newer_one_failed(corpus: Corpus) -> None:
    document = corpus.send_parsed("a", 20)
    corpus.work()
    document = corpus.get(document.id)
    corpus.send("It will fail.", "a")
    failure = Failure("damaged", "It is damaged.", permanent=True)
    corpus.catalogue.tasks.failed(corpus.claim(Stage.PARSE), failure)
    assert document.live_attempt is not None
    corpus.index.delete(corpus.tenant, Selection(document.id))
    assert corpus.catalogue.tasks.owe_embedding(document.id, attempt=document.live_attempt)
    corpus.embed_stage(slice_chunks=8).run(corpus.claims(Stage.EMBED))
    assert corpus.index.count(corpus.tenant, Selection(document.id, live=True)) == 20
    assert corpus.get(document.id).live_version == 1


def test_a_document_that_breaks_in_a_later_slice_takes_nobody_with_it(corpus: Corpus) -> None:
    poisoned = Counting(corpus.embedder, poison="guilty 17")
    documents = {name: corpus.send_parsed(name, count) for name, count in (("guilty", 20), ("long", 30), ("short", 2))}
    stage = corpus.with_(embedder=poisoned).embed_stage(slice_chunks=8)
    stage.run(corpus.claims(Stage.EMBED))
    states = {name: corpus.get(document.id).state for name, document in documents.items()}
    assert states["long"] is states["short"] is DocumentState.SEARCHABLE
    assert states["guilty"] is DocumentState.EMBEDDING
    guilty = documents["guilty"].id
    entries = corpus.catalogue.documents.timelines([guilty])[guilty]
    assert [entry.outcome for entry in entries if entry.stage is Stage.EMBED] == [Outcome.FAILED]
    assert corpus.catalogue.tasks.leased_attempts() == set()


def test_a_text_that_breaks_the_embedder_fails_its_own_document_only(corpus: Corpus) -> None:
    poisoned = Counting(corpus.embedder, poison="cyanide")
    innocent = [corpus.send(f"An innocent otter {n}.", f"{n}") for n in range(3)]
    guilty = corpus.send("An otter with cyanide.", "guilty")
    seen = corpus.with_(embedder=poisoned)
    seen.work()
    assert {corpus.get(document.id).state for document in innocent} == {DocumentState.SEARCHABLE}
    document = corpus.get(guilty.id)
    assert (document.state, document.code) == (DocumentState.FAILED, "internal")
    entries = corpus.catalogue.documents.timelines([innocent[0].id, guilty.id])
    assert all(entry.outcome is Outcome.DONE for entry in entries[innocent[0].id])
    assert [e.outcome for e in entries[guilty.id] if e.stage is Stage.EMBED] == [Outcome.FAILED] * 3


def test_an_embedder_that_is_busy_fails_nobody_and_is_not_asked_for_each(corpus: Corpus) -> None:
    busy = Counting(corpus.embedder, poison="otter", error=EmbedderBusy())
    documents = [corpus.send(f"An otter {n}.", f"{n}") for n in range(3)]
    corpus.work(Stage.PARSE)
    corpus.with_(embedder=busy).run(corpus.claims(Stage.EMBED))
    assert len(busy.calls) == 1
    assert {corpus.get(document.id).state for document in documents} == {DocumentState.EMBEDDING}
    corpus.work()
    assert {corpus.get(document.id).state for document in documents} == {DocumentState.SEARCHABLE}


def test_an_index_that_refuses_one_document_takes_its_neighbours(corpus: Corpus) -> None:
    first, second = corpus.send("One otter.", "1"), corpus.send("Two otters.", "2")
    corpus.work(Stage.PARSE)
    corpus.with_(index=Refusing(corpus.index, first.id)).run(corpus.claims(Stage.EMBED))
    assert corpus.get(first.id).state is DocumentState.EMBEDDING
    assert corpus.get(second.id).state is DocumentState.SEARCHABLE


def test_a_chunk_file_that_is_gone_fails_its_document_and_no_other(corpus: Corpus) -> None:
    first, second = corpus.send("One otter.", "1"), corpus.send("Two otters.", "2")
    corpus.work(Stage.PARSE)
    claims = corpus.claims(Stage.EMBED)
    lost = next(claim for claim in claims if claim.document.id == first.id)
    assert lost.chunk_file is not None
    corpus.blobs.delete(corpus.tenant, lost.chunk_file)
    corpus.run(claims)
    assert corpus.get(first.id).state is DocumentState.FAILED
    assert corpus.get(second.id).state is DocumentState.SEARCHABLE
