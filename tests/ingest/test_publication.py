"""Publishing: nothing switches before the index holds all of it, and nobody late damages what serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ingest import chunk_file
from ingest.publication import Published
from retrieval.chunks import EmbeddedChunk, SparseVector
from retrieval.documents import Attributes, Document, Stage
from retrieval.errors import IndexUnavailable
from retrieval.filters import parse_filter
from retrieval.index import Arm, Candidate, DenseArm, Index, Point, Selection, StoredPoint
from retrieval.tasks import Claim, Switch
from tests.corpus import Corpus, reader

TEXT = "\n\n".join(f"Otter {n}. " + f"word{n} " * 150 for n in range(3))


class Through:
    """The Index port, passed through: what fails or happens in between is a subclass's."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)


class Losing(Through):
    def upsert(self, tenant: str, points: Sequence[Point]) -> None:
        self._index.upsert(tenant, points[:-1])


class Garbling(Through):
    def retrieve(self, tenant: str, ids: Sequence[str], *, vectors: bool = False) -> list[StoredPoint]:
        found = self._index.retrieve(tenant, ids, vectors=vectors)
        return [replace(one, vector=None if one.vector is None else -one.vector) for one in found]


class Deaf(Through):
    """Holds the points and does not find them by one of the arms."""

    def __init__(self, index: Index, arm: type) -> None:
        super().__init__(index)
        self._arm = arm

    def search_selection(self, tenant: str, where: Selection, arm: Arm, *, limit: int) -> list[Candidate]:
        return [] if isinstance(arm, self._arm) else self._index.search_selection(tenant, where, arm, limit=limit)


class Interrupted(Through):
    """Something happens when the points have just been set live, before the switch."""

    def __init__(self, index: Index, happens: Callable[[], object]) -> None:
        super().__init__(index)
        self._happens = happens

    def set_live(self, tenant: str, where: Selection) -> None:
        self._index.set_live(tenant, where)
        self._happens()


def waiting(corpus: Corpus, text: str = TEXT, name: str = "a") -> Document:
    """A document that owes its embedding."""
    document = corpus.send(text, name)
    corpus.work(Stage.PARSE)
    return corpus.get(document.id)


def embedded(corpus: Corpus, claim: Claim) -> list[EmbeddedChunk]:
    assert claim.chunk_file is not None
    chunks = chunk_file.unpack(corpus.blobs.read(corpus.tenant, claim.chunk_file)).chunks
    vectors = corpus.embedder.embed_passages([chunk.embedded_text for chunk in chunks])
    return [
        EmbeddedChunk(chunk, vector, corpus.bm25.passage(chunk.embedded_text))
        for chunk, vector in zip(chunks, vectors, strict=True)
    ]


def publish(corpus: Corpus, claim: Claim) -> Published:
    publisher = corpus.publisher
    points = publisher.write(claim, embedded(corpus, claim))
    return publisher.publish(claim, expected=len(points), sample=points[0], counts={"points": len(points)})


def points_of(corpus: Corpus, document: Document) -> list[StoredPoint]:
    return list(corpus.index.points_of(corpus.tenant, Selection(document.id)))


@pytest.mark.parametrize("fault", ["loses a point", "garbles vectors", "finds no vector", "finds no term"])
def test_an_index_that_does_not_hold_what_was_sent_never_switches(corpus: Corpus, fault: str) -> None:
    old = corpus.add("The first edition of the otter.", "a")
    waiting(corpus)
    faulty: dict[str, Index] = {
        "loses a point": Losing(corpus.index),
        "garbles vectors": Garbling(corpus.index),
        "finds no vector": Deaf(corpus.index, DenseArm),
        "finds no term": Deaf(corpus.index, object),
    }
    claim = corpus.claim(Stage.EMBED)
    with pytest.raises(IndexUnavailable):
        publish(corpus.with_(index=faulty[fault]), claim)
    document = corpus.get(old.id)
    assert (document.live_version, document.live_attempt) == (1, old.live_attempt)
    assert all(not point.live for point in points_of(corpus, old) if point.attempt == claim.attempt)
    assert [hit.chunk.text for hit in corpus.hits("otter")] == ["The first edition of the otter."]


def test_points_are_found_only_after_they_are_whole_and_the_switch_is_the_last_step(corpus: Corpus) -> None:
    document = waiting(corpus)
    claim = corpus.claim(Stage.EMBED)
    seen: list[tuple[int, bool, int | None]] = []

    def look() -> None:
        points = points_of(corpus, document)
        seen.append((len(points), all(point.live for point in points), corpus.get(document.id).live_attempt))
        assert not corpus.hits("otter")

    published = publish(corpus.with_(index=Interrupted(corpus.index, look)), claim)
    assert (published.switch, published.points) == (Switch.SWITCHED, document.chunks)
    assert seen == [(document.chunks, True, None)]
    assert corpus.get(document.id).live_attempt == claim.attempt


def test_a_chunk_of_stop_words_alone_is_published(corpus: Corpus) -> None:
    document = corpus.add("The of and.", "a")
    assert document.live_version == 1
    [point] = points_of(corpus, document)
    assert corpus.bm25.passage(point.chunk.text) == SparseVector((), ())


def test_attributes_that_move_during_publication_are_repainted_before_the_switch(corpus: Corpus) -> None:
    document = waiting(corpus)
    claim = corpus.claim(Stage.EMBED)

    def narrow() -> None:
        said = Attributes(readers=("user:bob",), metadata={"year": 2024})
        corpus.catalogue.documents.patch(corpus.admin, document.id, said, readers_reset=False)

    assert publish(corpus.with_(index=Interrupted(corpus.index, narrow)), claim).switch is Switch.SWITCHED
    document = corpus.get(document.id)
    assert {(point.readers, point.rev) for point in points_of(corpus, document)} == {(("user:bob",), document.rev)}
    assert corpus.hits("otter", reader(corpus, "user:bob"))
    assert not corpus.hits("otter", reader(corpus, "user:ann"))


@pytest.mark.parametrize("painted", ["by the publication", "by the upkeep, in the middle of it"])
def test_search_and_list_agree_on_a_new_content_although_attributes_moved_during_its_publication(
    corpus: Corpus, painted: str
) -> None:
    document = corpus.upload(b"An otter.", "old.txt", external_id="a")
    corpus.work()
    corpus.upload(b"Another otter.", "new.txt", external_id="a")
    corpus.work(Stage.PARSE)

    def change() -> None:
        corpus.catalogue.documents.patch(
            corpus.admin, document.id, Attributes(metadata={"year": 2024}), readers_reset=False
        )
        if painted.startswith("by the upkeep"):
            corpus.work(Stage.REPAINT)

    assert publish(corpus.with_(index=Interrupted(corpus.index, change)), corpus.claim(Stage.EMBED)).switch is (
        Switch.SWITCHED
    )
    corpus.work(Stage.REPAINT)  # interactive, whatever the document's lane, and due with the switch
    for title in ("old.txt", "new.txt"):
        condition = parse_filter({"$and": [{"title": title}, {"metadata.year": 2024}]})
        listed = corpus.catalogue.documents.page(corpus.admin, condition=condition).items
        hits = corpus.hits("otter", condition=condition)
        assert len(hits) == len(listed) == (title == "new.txt")


def test_a_claim_lost_during_publication_leaves_what_serves_and_owes_an_erase(corpus: Corpus) -> None:
    old = corpus.add("The first edition of the otter.", "a")
    waiting(corpus)
    late = corpus.claim(Stage.EMBED)
    successor: list[Claim] = []

    def lose() -> None:
        corpus.catalogue.tasks.predecessors_died()
        successor.append(corpus.claim(Stage.EMBED, worker="successor"))

    assert publish(corpus.with_(index=Interrupted(corpus.index, lose)), late).switch is Switch.LOST
    assert corpus.get(old.id).live_attempt == old.live_attempt
    assert [hit.chunk.text for hit in corpus.hits("otter")] == ["The first edition of the otter."]
    erase = corpus.claim(Stage.ERASE)
    assert erase.subject == str(late.attempt)
    assert publish(corpus, successor[0]).switch is Switch.SWITCHED
    corpus.run([erase])
    corpus.work()
    document = corpus.get(old.id)
    assert document.live_attempt == successor[0].attempt
    assert {point.attempt for point in points_of(corpus, document)} == {document.live_attempt}


def test_a_version_overtaken_during_publication_does_not_switch(corpus: Corpus) -> None:
    document = waiting(corpus)
    claim = corpus.claim(Stage.EMBED)
    overtake = Interrupted(corpus.index, lambda: corpus.send("A newer otter.", "a"))
    assert publish(corpus.with_(index=overtake), claim).switch is Switch.OVERTAKEN
    assert not corpus.hits("otter")
    corpus.work()
    assert [hit.chunk.text for hit in corpus.hits("otter")] == ["A newer otter."]
    assert len(points_of(corpus, document)) == 1


def test_a_delete_during_publication_wins(corpus: Corpus) -> None:
    document = waiting(corpus)
    claim = corpus.claim(Stage.EMBED)
    delete = Interrupted(corpus.index, lambda: corpus.catalogue.documents.delete(corpus.admin, document.id))
    assert publish(corpus.with_(index=delete), claim).switch is Switch.OVERTAKEN
    corpus.work()
    assert points_of(corpus, document) == []
    assert corpus.catalogue.tasks.open_count() == 0


def test_publishing_twice_under_one_claim_changes_nothing(corpus: Corpus) -> None:
    document = waiting(corpus)
    claim = corpus.claim(Stage.EMBED)
    publish(corpus, claim)
    before = {point.id for point in points_of(corpus, document)}
    assert publish(corpus, claim).switch is Switch.SWITCHED
    corpus.work()
    assert {point.id for point in points_of(corpus, document)} == before
    assert np.isfinite([hit.score for hit in corpus.hits("otter")]).all()
