"""Erases and repaints are right however late they run and however often."""

from __future__ import annotations

import pytest

from ingest.upkeep import Upkeep
from retrieval.documents import Attributes, Document, DocumentState, Stage
from retrieval.index import Selection
from tests.corpus import Corpus, reader


def attempts(corpus: Corpus, document: Document) -> set[int]:
    return {point.attempt for point in corpus.index.points_of(corpus.tenant, Selection(document.id))}


def embed_again(corpus: Corpus, document: Document) -> None:
    live = corpus.get(document.id).live_attempt
    assert live is not None
    assert corpus.catalogue.tasks.owe_embedding(document.id, attempt=live)


def test_after_a_switch_only_the_live_attempts_points_are_left(corpus: Corpus) -> None:
    document = corpus.add("An otter.", "a")
    corpus.send("Another otter.", "a")
    corpus.work(Stage.PARSE, Stage.EMBED)
    assert len(attempts(corpus, document)) == 2
    corpus.work()
    assert attempts(corpus, document) == {corpus.get(document.id).live_attempt}
    embed_again(corpus, document)
    corpus.work()
    assert attempts(corpus, document) == {corpus.get(document.id).live_attempt}


def test_an_erase_that_was_claimed_before_a_switch_takes_no_point_that_is_live_after_it(corpus: Corpus) -> None:
    document = corpus.add("An otter.", "a")
    embed_again(corpus, document)
    corpus.work(Stage.EMBED)
    erase = corpus.claim(Stage.ERASE)
    embed_again(corpus, document)
    corpus.work(Stage.EMBED)
    live = corpus.get(document.id).live_attempt
    Upkeep(catalogue=corpus.catalogue, index=corpus.index).run(erase)
    assert live in attempts(corpus, document)
    corpus.work()
    assert attempts(corpus, document) == {live}
    assert len(corpus.hits("otter")) == 1


@pytest.mark.parametrize("times", [1, 3])
def test_an_erase_may_run_late_and_often(corpus: Corpus, times: int) -> None:
    document = corpus.add("An otter.", "a")
    corpus.catalogue.documents.delete(corpus.admin, document.id)
    erase = corpus.claim(Stage.ERASE)
    corpus.send("A reborn otter.", "a")
    corpus.work(Stage.PARSE, Stage.EMBED)
    for _ in range(times):
        Upkeep(catalogue=corpus.catalogue, index=corpus.index).run(erase)
    corpus.work()
    assert [hit.chunk.text for hit in corpus.hits("otter")] == ["A reborn otter."]
    assert attempts(corpus, document) == {corpus.get(document.id).live_attempt}


def test_the_end_of_a_delete_waits_for_an_older_lease(corpus: Corpus) -> None:
    document = corpus.send("An otter.", "a")
    parsing = corpus.claim(Stage.PARSE)
    corpus.catalogue.documents.delete(corpus.admin, document.id)
    corpus.run([corpus.claim(Stage.ERASE)])
    assert corpus.get(document.id).state is DocumentState.DELETING
    corpus.run([parsing])
    corpus.work()
    assert corpus.get(document.id).state is DocumentState.DELETED
    assert corpus.catalogue.tasks.open_count() == 0


def test_a_late_repaint_does_not_put_older_readers_back(corpus: Corpus) -> None:
    document = corpus.add("An otter.", "a", readers=("user:ann",))
    patch = corpus.catalogue.documents.patch
    patch(corpus.admin, document.id, Attributes(readers=("*",)), readers_reset=False)
    late = corpus.claim(Stage.REPAINT)
    patch(corpus.admin, document.id, Attributes(readers=("user:bob",)), readers_reset=False)
    corpus.work(Stage.REPAINT)
    Upkeep(catalogue=corpus.catalogue, index=corpus.index).run(late)
    [point] = corpus.index.points_of(corpus.tenant, Selection(document.id))
    assert (point.readers, point.rev) == (("user:bob",), corpus.get(document.id).rev)
    assert not corpus.hits("otter", reader(corpus, "user:ann"))


def test_a_repaint_of_a_deleted_document_paints_nothing(corpus: Corpus) -> None:
    document = corpus.add("An otter.", "a")
    corpus.catalogue.documents.patch(corpus.admin, document.id, Attributes(readers=()), readers_reset=False)
    corpus.catalogue.documents.delete(corpus.admin, document.id)
    corpus.work()
    assert corpus.catalogue.tasks.open_count() == 0
    assert attempts(corpus, document) == set()
