"""The janitor finds what was planted, puts it right, and finds nothing where nothing is wrong."""

from __future__ import annotations

import threading
import time

import pytest

from ingest.janitor import Drift, Janitor
from ingest.leasing import NamedLease
from retrieval import identity
from retrieval.chunks import Chunk, EmbeddedChunk, Locator
from retrieval.documents import Attributes, DocumentState, Outcome, Stage
from retrieval.errors import NotFound
from retrieval.index import Placement, Point, Selection
from retrieval.tasks import Failure
from tests.corpus import Corpus

NOTHING = Drift()


def plant(corpus: Corpus, document_id: str, *, attempt: int, live: bool = True) -> None:
    text = "A planted otter."
    chunk = Chunk(identity.text_digest(text), document_id, 0, text, text, Locator(0, len(text)), 3)
    vector = corpus.embedder.embed_passages([text])[0]
    placement = Placement(corpus.tenant, corpus.collection().id, document_id, 1, attempt, 99, ("*",), {})
    embedded = EmbeddedChunk(chunk, vector, corpus.bm25.passage(text))
    corpus.index.upsert(corpus.tenant, [Point(identity.point_id(chunk.id, attempt), embedded, "", placement)])
    if live:
        corpus.index.set_live(corpus.tenant, Selection(document_id, attempt=attempt))


def test_a_healthy_index_shows_no_drift(corpus: Corpus) -> None:
    document = corpus.add("An otter.", "a")
    corpus.add("A second otter.", "b")
    corpus.add("Another otter.", "a", metadata={"n": 1})
    corpus.catalogue.documents.patch(corpus.admin, document.id, Attributes(readers=("x",)), readers_reset=False)
    corpus.catalogue.documents.delete(corpus.admin, corpus.add("Gone.", "c").id)
    corpus.work()
    assert corpus.janitor().round() == NOTHING
    assert corpus.catalogue.tasks.open_count() == 0


@pytest.mark.parametrize("live", [True, False])
def test_points_of_no_attempt_are_removed_and_the_others_stay(corpus: Corpus, live: bool) -> None:
    document = corpus.add("An otter.", "a")
    plant(corpus, document.id, attempt=999_999, live=live)
    plant(corpus, "11111111-2222-3333-4444-555555555555", attempt=1, live=live)
    assert corpus.janitor().round().orphan_points == 2
    assert corpus.janitor().round() == NOTHING
    assert len(list(corpus.index.scroll(tenant=corpus.tenant))) == 1
    assert len(corpus.hits("otter")) == 1


def test_points_of_a_deleted_document_are_removed(corpus: Corpus) -> None:
    document = corpus.add("An otter.", "a")
    corpus.catalogue.documents.delete(corpus.admin, document.id)
    assert corpus.janitor().round().orphan_points == 1


def test_points_of_an_attempt_under_way_are_left_alone(corpus: Corpus) -> None:
    document = corpus.send("An otter.", "a")
    corpus.work(Stage.PARSE)
    claim = corpus.claim(Stage.EMBED)
    plant(corpus, document.id, attempt=claim.attempt, live=False)
    assert corpus.janitor().round() == NOTHING
    corpus.catalogue.tasks.released(claim)
    assert corpus.janitor().round() == NOTHING  # the next attempt takes its vectors over
    corpus.catalogue.tasks.failed(corpus.claim(Stage.EMBED), Failure("internal", "It broke.", permanent=True))
    assert corpus.janitor().round().orphan_points == 1


def test_what_an_interrupted_attempt_embedded_outlives_the_first_look_after_a_crash(corpus: Corpus) -> None:
    document = corpus.send_parsed("a", 40)
    for slices in (2, 1):  # the second attempt is interrupted before it has taken over what the first one left
        stage = corpus.embed_stage(slice_chunks=8)
        stage.open(corpus.claim(Stage.EMBED))
        for _ in range(slices):
            stage.turn()
        corpus.janitor().round()
        corpus.catalogue.tasks.predecessors_died()
        assert corpus.janitor().round() == NOTHING
    corpus.embed_stage(slice_chunks=8).run(corpus.claims(Stage.EMBED))
    entries = corpus.catalogue.documents.timelines([document.id])[document.id]
    counts = next(e.counts for e in entries if e.stage is Stage.EMBED and e.outcome is Outcome.DONE)
    assert (counts["reused"], counts["embedded"]) == (16, 24)
    corpus.work()
    assert corpus.janitor().round() == NOTHING
    assert corpus.index.count(corpus.tenant, Selection(document.id)) == 40


def test_points_of_an_interrupted_attempt_that_was_overtaken_are_removed_at_sight(corpus: Corpus) -> None:
    corpus.send_parsed("a", 40)
    stage = corpus.embed_stage(slice_chunks=8)
    stage.open(corpus.claim(Stage.EMBED))
    stage.turn()
    corpus.send("Something newer.", "a")
    corpus.catalogue.tasks.predecessors_died()
    assert corpus.janitor().round().orphan_points == 8


def test_missing_points_are_embedded_again(corpus: Corpus) -> None:
    document = corpus.add("\n\n".join(f"otter{n} " * 200 for n in range(3)), "a")
    whole = corpus.index.count(corpus.tenant, Selection(document.id))
    victim = next(corpus.index.points_of(corpus.tenant, Selection(document.id)))
    corpus.index.delete(corpus.tenant, Selection(document.id))
    assert corpus.hits("otter1") == []
    assert corpus.janitor().round() == Drift(incomplete_documents=1)
    claim = corpus.claim(Stage.EMBED)
    corpus.janitor().round()  # another round while a worker is at it takes nothing from it
    corpus.run([claim])
    corpus.work()
    assert corpus.index.count(corpus.tenant, Selection(document.id, live=True)) == whole
    assert corpus.janitor().round() == NOTHING
    assert victim.chunk.id in {hit.chunk.id for hit in corpus.hits("otter0 otter1 otter2")}


def test_missing_points_of_a_live_version_are_embedded_again_although_the_newest_failed(corpus: Corpus) -> None:
    document = corpus.add("An otter.", "a")
    corpus.send("Hardly an otter.", "a")
    failure = Failure("damaged", "It is damaged.", permanent=True)
    corpus.catalogue.tasks.failed(corpus.claim(Stage.PARSE), failure)
    corpus.index.delete(corpus.tenant, Selection(document.id))
    assert corpus.hits("otter") == []
    assert corpus.janitor().round() == Drift(incomplete_documents=1)
    corpus.work()
    (hit,) = corpus.hits("otter")
    assert hit.chunk.text == "An otter."
    shown = corpus.get(document.id)
    assert (shown.state, shown.code, shown.live_version) == (DocumentState.FAILED, "damaged", 1)
    assert corpus.janitor().round() == NOTHING
    assert corpus.catalogue.tasks.open_count() == 0


def test_points_of_an_old_revision_are_repainted(corpus: Corpus) -> None:
    document = corpus.add("An otter.", "a")
    corpus.catalogue.documents.patch(corpus.admin, document.id, Attributes(readers=("x",)), readers_reset=False)
    corpus.catalogue.tasks.done(corpus.claim(Stage.REPAINT), counts={})  # said to be done, and was not
    assert corpus.janitor().round() == Drift(stale_documents=1)
    corpus.work()
    assert corpus.janitor().round() == NOTHING
    [point] = corpus.index.points_of(corpus.tenant, Selection(document.id))
    assert point.readers == ("x",)


def test_blobs_that_nothing_needs_are_swept_after_their_time(corpus: Corpus) -> None:
    document = corpus.upload(b"An otter in a file.", "otter.txt")
    corpus.work()
    corpus.catalogue.blobs.touch(corpus.tenant, "0" * 64)
    corpus.blobs.put_bytes(corpus.tenant, "0" * 64, b"orphan")
    assert corpus.janitor().round() == NOTHING
    time.sleep(0.01)
    assert corpus.janitor(keep_blobs_s=0).round().swept_blobs == 1
    with pytest.raises(NotFound):
        corpus.blobs.read(corpus.tenant, "0" * 64)
    assert corpus.blobs.read(corpus.tenant, document.sha256) == b"An otter in a file."
    corpus.catalogue.documents.delete(corpus.admin, document.id)
    corpus.work()
    assert corpus.janitor(keep_blobs_s=0).round().swept_blobs == 2  # the file and its chunks
    with pytest.raises(NotFound):
        corpus.blobs.read(corpus.tenant, document.sha256)


def test_only_the_holder_of_the_lease_works(corpus: Corpus) -> None:
    plant(corpus, "11111111-2222-3333-4444-555555555555", attempt=1)
    assert corpus.catalogue.leases.hold("janitor", holder="somebody else", seconds=60)
    janitor = restless_janitor(corpus)
    stop = threading.Event()
    thread = threading.Thread(target=janitor.run, args=(stop,))
    thread.start()
    time.sleep(0.1)
    assert janitor.last == NOTHING
    corpus.catalogue.leases.release("janitor", holder="somebody else")
    deadline = time.monotonic() + 10
    while list(corpus.index.scroll(tenant=corpus.tenant)) and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    thread.join(10)
    assert list(corpus.index.scroll(tenant=corpus.tenant)) == []
    assert corpus.catalogue.leases.hold("janitor", holder="somebody else", seconds=60)


def restless_janitor(corpus: Corpus) -> Janitor:
    lease = NamedLease(corpus.catalogue.leases, "janitor", holder=corpus.worker, seconds=60)
    return Janitor(
        catalogue=corpus.catalogue,
        index=corpus.index,
        blobs=corpus.blobs,
        lease=lease,
        interval_s=0.02,
        keep_blobs_s=60,
    )
