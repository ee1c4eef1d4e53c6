"""The embed worker: nobody waits for another document to end. Slices are counted, time never is."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ingest.embed_worker import EmbedWorker
from ingest.fuse import Fuses
from ingest.memory_queue import MemoryQueue
from ingest.task_queue import Delivery
from ingest.workers import Settlement, Solitude, Workplace
from retrieval.catalogue import Catalogue
from retrieval.documents import Document, DocumentState, Lane, Outcome, Stage
from retrieval.embedding import Embedder
from retrieval.errors import CatalogueUnavailable, IndexUnavailable
from tests.corpus import Corpus

SLICE = 64


class Scripted:
    """The Embedder port: before each slice something happens, in the worker's own thread."""

    def __init__(self, embedder: Embedder, happens: Callable[[int, Sequence[str]], None]) -> None:
        self._embedder = embedder
        self._happens = happens
        self.slices: list[Sequence[str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.slices.append(texts)
        self._happens(len(self.slices), texts)
        return self._embedder.embed_passages(texts)


class Dispatched(MemoryQueue):
    """A queue that publishes what is due whenever somebody looks, and stops its worker when nothing is."""

    def __init__(self, corpus: Corpus) -> None:
        super().__init__(window=1_000)
        self._corpus = corpus
        self.solitary: Sequence[str] = ()  # documents that run alone
        self.stop = threading.Event()
        self.acknowledged: list[tuple[int, bool]] = []

    def take(self, stages: Sequence[Stage], *, limit: int, timeout_s: float) -> list[Delivery]:
        due = self._corpus.catalogue.tasks.due(stages, excluding=self.outstanding(Stage.EMBED), limit=1_000)
        self.publish([replace(pointer, solitary=pointer.document_id in self.solitary) for pointer in due])
        taken = super().take(stages, limit=limit, timeout_s=0.0)
        if not taken and timeout_s:
            self.stop.set()
        return taken

    def acknowledge(self, delivery: Delivery) -> None:
        """Notes of which task, and whether that was still held."""
        document = delivery.pointer.document_id
        attempts = {entry.attempt for entry in self._corpus.catalogue.documents.timelines([document])[document]}
        held = attempts & self._corpus.catalogue.tasks.leased_attempts()
        self.acknowledged.append((delivery.pointer.task_id, bool(held)))
        super().acknowledge(delivery)


def worker(
    corpus: Corpus,
    queue: Dispatched,
    happens: Callable[[int, Sequence[str]], None] = lambda _number, _texts: None,
    *,
    documents: int = 16,
    slice_chunks: int = SLICE,
    catalogue: Catalogue | None = None,
    solitude: Solitude | None = None,
) -> tuple[EmbedWorker, Scripted]:
    seen = catalogue or corpus.catalogue
    place = Workplace(seen, queue, corpus.worker, 60, solitude or Solitude(), Settlement(seen, rest_s=0.0))
    scripted = Scripted(corpus.embedder, happens)
    stage = corpus.with_(embedder=scripted).embed_stage(slice_chunks=slice_chunks)
    return EmbedWorker(place, stage, documents=documents), scripted


def state(corpus: Corpus, document: Document) -> DocumentState:
    [(_, found)] = corpus.catalogue.documents.states([document.id]).values()
    return found


def outcomes(corpus: Corpus, document: Document) -> list[Outcome | None]:
    entries = corpus.catalogue.documents.timelines([document.id])[document.id]
    return [entry.outcome for entry in entries if entry.stage is Stage.EMBED]


@pytest.mark.parametrize("lane", Lane)
def test_a_small_document_is_searchable_one_slice_after_it_came_whatever_is_embedded_then(
    corpus: Corpus, lane: Lane
) -> None:
    large = corpus.send_parsed("large", 2_000, lane=lane)
    small: list[Document] = []
    states: dict[int, DocumentState] = {}

    def happens(number: int, texts: Sequence[str]) -> None:
        if number == 3:
            small.append(corpus.send_parsed("small", 5))
        if small:
            states[number] = state(corpus, small[0])

    queue = Dispatched(corpus)
    embed, scripted = worker(corpus, queue, happens)
    embed.run(queue.stop)
    assert (states[4], states[5]) == (DocumentState.EMBEDDING, DocumentState.SEARCHABLE)
    assert state(corpus, large) is DocumentState.SEARCHABLE
    assert len(scripted.slices) == -(-2_005 // SLICE)
    assert all(len(texts) <= SLICE for texts in scripted.slices)


def test_as_many_large_bulk_documents_as_may_be_open_leave_room_for_an_interactive_one(corpus: Corpus) -> None:
    for n in range(6):
        corpus.send_parsed(f"large{n}", 100, lane=Lane.BULK)
    small: list[Document] = []
    states: list[DocumentState] = []
    most = 0

    def happens(number: int, texts: Sequence[str]) -> None:
        nonlocal most
        most = max(most, len(corpus.catalogue.tasks.leased_attempts()))
        if number == 2:
            small.append(corpus.send_parsed("small", 3))
        if small:
            states.append(state(corpus, small[0]))

    queue = Dispatched(corpus)
    embed, _ = worker(corpus, queue, happens, documents=2, slice_chunks=16)
    embed.run(queue.stop)
    assert states[2] is DocumentState.SEARCHABLE
    assert most == 3  # two of bulk, and the one that came


def test_a_tenant_that_fills_its_room_leaves_room_for_the_next(corpus: Corpus) -> None:
    for n in range(6):
        corpus.send_parsed(f"large{n}", 100, lane=Lane.BULK)
    other = corpus.with_(tenant=f"{corpus.tenant}-other")
    small: list[Document] = []
    states: list[DocumentState] = []

    def happens(number: int, texts: Sequence[str]) -> None:
        if number == 2:
            small.append(other.send_parsed("small", 3, lane=Lane.BULK))
        if small:
            states.append(state(other, small[0]))

    queue = Dispatched(corpus)
    embed, _ = worker(corpus, queue, happens, documents=2, slice_chunks=16)
    embed.run(queue.stop)
    assert states[2] is DocumentState.SEARCHABLE


def test_many_tenants_together_have_no_more_open_than_there_are_places(corpus: Corpus) -> None:
    tenants = [corpus.with_(tenant=f"{corpus.tenant}-{n}") for n in range(6)]
    documents = [(tenant, tenant.send_parsed(f"d{n}", 10)) for tenant in tenants for n in range(3)]
    most = 0

    def happens(number: int, texts: Sequence[str]) -> None:
        nonlocal most
        most = max(most, len(corpus.catalogue.tasks.leased_attempts()))

    queue = Dispatched(corpus)
    embed, _ = worker(corpus, queue, happens, documents=2, slice_chunks=8)
    embed.run(queue.stop)
    assert most == 4
    assert {state(tenant, document) for tenant, document in documents} == {DocumentState.SEARCHABLE}


@pytest.mark.parametrize(("lane", "share"), [(Lane.INTERACTIVE, 4), (Lane.BULK, 8)])
def test_a_large_document_ends_while_small_ones_keep_coming(corpus: Corpus, lane: Lane, share: int) -> None:
    large = corpus.send_parsed("large", 40, lane=lane)
    ended: list[int] = []

    def happens(number: int, texts: Sequence[str]) -> None:
        if ended or number > 50:
            return
        if state(corpus, large) is DocumentState.SEARCHABLE:
            ended.append(number)
        for n in range(4):  # as much as a slice holds
            corpus.send_parsed(f"small{number}.{n}", 4)

    queue = Dispatched(corpus)
    embed, _ = worker(corpus, queue, happens, slice_chunks=16)
    embed.run(queue.stop)
    [number] = ended
    assert number <= 40 / (16 / share) + 3


def test_each_delivery_is_acknowledged_once_and_after_its_outcome(corpus: Corpus) -> None:
    sizes = [1, 70, 3, 200, 64, 65]
    documents = [corpus.send_parsed(f"d{n}", size) for n, size in enumerate(sizes)]
    tasks = [pointer.task_id for pointer in corpus.catalogue.tasks.due([Stage.EMBED], excluding=[], limit=100)]

    def happens(number: int, texts: Sequence[str]) -> None:
        if any("d3 100" in text for text in texts):
            raise ValueError("the engine fell over")

    queue = Dispatched(corpus)
    embed, _ = worker(corpus, queue, happens)
    embed.run(queue.stop)
    times = Counter(task for task, _ in queue.acknowledged)
    assert [times[task] for task in tasks] == [1, 1, 1, 3, 1, 1]  # one of them was tried three times
    assert not any(held for _, held in queue.acknowledged)
    assert not queue.outstanding(Stage.EMBED)
    assert [outcomes(corpus, document)[-1] for document in documents] == [
        Outcome.FAILED if n == 3 else Outcome.DONE for n in range(6)
    ]
    assert state(corpus, documents[3]) is DocumentState.FAILED


def test_a_pointer_whose_claim_is_refused_is_acknowledged_and_not_embedded(corpus: Corpus) -> None:
    corpus.send_parsed("a", 3)
    queue = Dispatched(corpus)
    queue.publish(corpus.catalogue.tasks.due([Stage.EMBED], excluding=[], limit=9))
    corpus.claim(Stage.EMBED, worker="another")
    embed, scripted = worker(corpus, queue)
    embed.run(queue.stop)
    assert len(queue.acknowledged) == 1
    assert scripted.slices == []


def test_a_stop_releases_what_is_open_and_what_it_wrote_is_not_embedded_again(corpus: Corpus) -> None:
    document = corpus.send_parsed("a", 100)
    queue = Dispatched(corpus)
    embed, scripted = worker(
        corpus, queue, lambda number, _: queue.stop.set() if number == 2 else None, slice_chunks=16
    )
    embed.run(queue.stop)
    assert len(scripted.slices) == 2
    assert outcomes(corpus, document) == [Outcome.RELEASED]
    assert [held for _, held in queue.acknowledged] == [False]
    assert corpus.catalogue.tasks.leased_attempts() == set()
    queue = Dispatched(corpus)
    embed, later = worker(corpus, queue, slice_chunks=16)
    embed.run(queue.stop)
    assert outcomes(corpus, document) == [Outcome.RELEASED, Outcome.DONE]
    texts = [text for one in (scripted, later) for slice_ in one.slices for text in slice_]
    assert sorted(texts) == sorted(f"a {n}" for n in range(100))
    corpus.work()
    assert corpus.get(document.id).state is DocumentState.SEARCHABLE


def test_what_must_run_alone_holds_no_other_claim_in_its_process(corpus: Corpus) -> None:
    large = corpus.send_parsed("large", 100)
    suspects: list[Document] = []
    held: set[frozenset[str]] = set()
    queue = Dispatched(corpus)

    def happens(number: int, texts: Sequence[str]) -> None:
        if number == 2:
            suspects.extend(corpus.send_parsed(f"suspect{n}", 20) for n in range(2))
            queue.solitary = [suspect.id for suspect in suspects]
        if any("suspect" in text for text in texts):
            assert len(corpus.catalogue.tasks.leased_attempts()) == 1
            held.add(frozenset(text.split()[0] for text in texts))

    embed, scripted = worker(corpus, queue, happens, slice_chunks=16)
    embed.run(queue.stop)
    assert held == {frozenset({"suspect0"}), frozenset({"suspect1"})}
    for document in (large, *suspects):
        assert state(corpus, document) is DocumentState.SEARCHABLE
    assert set(outcomes(corpus, large)) == {Outcome.RELEASED, Outcome.DONE}
    assert all(times == 1 for times in Counter(text for texts in scripted.slices for text in texts).values())
    assert not any(still for _, still in queue.acknowledged)


def test_somebody_who_must_be_alone_does_not_wait_for_a_large_document(corpus: Corpus) -> None:
    large = corpus.send_parsed("large", 200)
    solitude = Solitude()
    seen: list[tuple[int, set[int]]] = []

    def be_alone() -> None:
        with solitude.alone():
            seen.append((len(scripted.slices), corpus.catalogue.tasks.leased_attempts()))

    other = threading.Thread(target=be_alone)

    def happens(number: int, texts: Sequence[str]) -> None:
        if number == 2:
            other.start()
            deadline = time.monotonic() + 10
            while not solitude.wanted and time.monotonic() < deadline:
                time.sleep(0.001)

    queue = Dispatched(corpus)
    embed, scripted = worker(corpus, queue, happens, slice_chunks=16, solitude=solitude)
    embed.run(queue.stop)
    other.join(10)
    assert seen == [(2, set())]
    assert state(corpus, large) is DocumentState.SEARCHABLE


class Interrupted:
    """A catalogue's tasks, of which one method fails at its first calls."""

    def __init__(self, behind: Any, method: str, error: Exception, *, times: int) -> None:
        self._behind = behind
        self._method = method
        self._error = error
        self.times = times

    @property
    def tasks(self) -> Interrupted:
        return self

    def __getattr__(self, name: str) -> Any:
        if name == self._method and self.times:
            self.times -= 1
            raise self._error
        return getattr(self._behind, name)


def test_a_catalogue_that_is_away_makes_deliveries_wait_unacknowledged(corpus: Corpus) -> None:
    documents = [corpus.send_parsed(f"d{n}", 3) for n in range(3)]
    away: Any = Interrupted(corpus.catalogue.tasks, "claim", CatalogueUnavailable(), times=2)
    queue = Dispatched(corpus)
    embed, _ = worker(corpus, queue, catalogue=away)
    embed.run(queue.stop)
    assert away.times == 0
    assert [state(corpus, document) for document in documents] == [DocumentState.SEARCHABLE] * 3
    assert len(queue.acknowledged) == 3


def test_an_embed_stage_in_trouble_is_tried_with_one_document_and_blames_none(corpus: Corpus) -> None:
    documents = [corpus.send_parsed(f"d{n}", 3) for n in range(6)]
    queue = Dispatched(corpus)
    settlement = Settlement(corpus.catalogue, rest_s=0.0, fuses=Fuses(limit=3, first_delay_s=0.05))
    fuse = settlement.fuses.of(Stage.EMBED)
    tried: list[tuple[bool, int]] = []

    def happens(number: int, texts: Sequence[str]) -> None:
        if number > 1:
            tried.append((fuse.is_open, len(corpus.catalogue.tasks.leased_attempts())))
        if len(tried) < 2:
            raise IndexUnavailable

    place = Workplace(corpus.catalogue, queue, corpus.worker, 60, Solitude(), settlement)
    scripted = Scripted(corpus.embedder, happens)
    stage = corpus.with_(embedder=scripted).embed_stage(slice_chunks=SLICE, settle=settlement.settle)
    EmbedWorker(place, stage, documents=16).run(queue.stop)
    assert tried[:2] == [(True, 1), (True, 1)]  # two trials, of which the second came through
    assert all(state(corpus, document) is DocumentState.SEARCHABLE for document in documents)
    assert all(Outcome.FAILED not in outcomes(corpus, document) for document in documents)
    settlement.fuses.check()
