"""Workers: an outcome for every claim, and nothing that stays held by nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ingest.fuse import FuseOpen, Fuses
from ingest.memory_queue import MemoryQueue
from ingest.parsing import ParserFailed, ParserKilled
from ingest.upkeep import Upkeep
from ingest.workers import Heartbeat, Settlement, Solitude, Worker, Workplace, one_by_one
from retrieval.documents import Document, DocumentState, Outcome, Stage
from retrieval.errors import CatalogueUnavailable, IndexUnavailable, NotFound, Unparseable
from retrieval.tasks import Claim, TaskPointer
from tests.corpus import Corpus
from tests.running import eventually


class Away:
    """The catalogue's tasks, of which some methods cannot be reached."""

    def __init__(self, corpus: Corpus, *methods: str, after: int = 0) -> None:
        self._catalogue = corpus.catalogue
        self.methods = set(methods)
        self.after = after

    @property
    def tasks(self) -> Away:
        return self

    def __getattr__(self, name: str) -> Any:
        if name in self.methods:
            if self.after <= 0:
                raise CatalogueUnavailable
            self.after -= 1
        return getattr(self._catalogue.tasks, name)


def workplace(corpus: Corpus, queue: MemoryQueue, catalogue: Any = None) -> Workplace:
    seen = catalogue or corpus.catalogue
    return Workplace(seen, queue, corpus.worker, 60, Solitude(), Settlement(seen, rest_s=0.0))


def deliver(corpus: Corpus, queue: MemoryQueue, *stages: Stage) -> None:
    queue.publish(corpus.catalogue.tasks.due(stages or tuple(Stage), excluding=[], limit=100))


def work(
    place: Workplace, run: Callable[[Sequence[Claim]], None], *, batch: int = 1, stage: Stage = Stage.PARSE
) -> None:
    """A worker, until the queue has nothing in flight."""
    stop = threading.Event()
    worker = threading.Thread(target=Worker(place, stages=[stage], batch=batch, run=run).run, args=(stop,))
    worker.start()
    deadline = time.monotonic() + 10
    while place.queue.outstanding(stage) and time.monotonic() < deadline:
        time.sleep(0.005)
    stop.set()
    place.queue.close()
    worker.join(10)
    assert not worker.is_alive()
    assert not place.queue.outstanding(stage)


def raising(error: Exception) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


def due(corpus: Corpus) -> int:
    return len(corpus.catalogue.tasks.due(tuple(Stage), excluding=[], limit=100))


def test_a_worker_claims_runs_and_acknowledges(corpus: Corpus) -> None:
    documents = [corpus.send(f"Otter {n}.", f"{n}") for n in range(3)]
    queue = MemoryQueue(window=8)
    deliver(corpus, queue)
    place = workplace(corpus, queue)
    work(place, one_by_one(place.settlement, corpus.parse_stage.run))
    assert {corpus.get(document.id).state for document in documents} == {DocumentState.EMBEDDING}
    assert {pointer.stage for pointer in corpus.catalogue.tasks.due(tuple(Stage), excluding=[], limit=9)} == {
        Stage.EMBED
    }


def test_a_pointer_whose_claim_is_refused_is_acknowledged_and_not_run(corpus: Corpus) -> None:
    corpus.send("An otter.")
    queue = MemoryQueue(window=8)
    deliver(corpus, queue)
    corpus.claim()
    ran: list[Sequence[Claim]] = []
    work(workplace(corpus, queue), ran.append)
    assert ran == []


@pytest.mark.parametrize(
    ("error", "code", "outcome"),
    [
        (Unparseable("encrypted", "It has a password."), "encrypted", Outcome.FAILED),
        (NotFound("The blob is gone."), "not_found", Outcome.FAILED),
        (ValueError("a bug"), None, Outcome.FAILED),
        (ParserFailed("Traceback: a bug in a parser"), None, Outcome.FAILED),
        (ParserKilled("signal 11"), None, Outcome.INTERRUPTED),
        (IndexUnavailable(), None, Outcome.RELEASED),
        (MemoryError(), None, Outcome.FAILED),
    ],
)
def test_a_failure_is_told_apart_by_one_fork(
    corpus: Corpus, error: Exception, code: str | None, outcome: Outcome
) -> None:
    document = corpus.send("An otter.")
    corpus.settlement.settle(corpus.claim(), raising(error))
    found = corpus.get(document.id)
    assert found.code == code
    assert (found.state is DocumentState.FAILED) == (code is not None)
    assert due(corpus) == (code is None)
    [entry] = corpus.catalogue.documents.timelines([document.id])[document.id]
    assert entry.outcome is outcome


def test_a_bug_is_parked_with_its_traceback_after_three_tries(corpus: Corpus) -> None:
    document = corpus.send("An otter.")
    for _ in range(3):
        corpus.settlement.settle(corpus.claim(), raising(ValueError("the bug")))
    letters = corpus.catalogue.dead_letters.page(corpus.admin, collection_id=None, code=None, after=None, limit=9)
    [letter] = letters.items
    assert (letter.code, letter.document_id) == ("internal", document.id)
    assert "the bug" in letter.evidence["traceback"]
    assert "the bug" not in letter.reason


def test_an_outcome_that_cannot_be_recorded_is_given_back_when_the_catalogue_is_there_again(corpus: Corpus) -> None:
    corpus.send("An otter.")
    away = Away(corpus, "failed", "postpone")
    settlement = Settlement(away, rest_s=0.0)
    for error in (ValueError("a bug"), IndexUnavailable(), CatalogueUnavailable()):
        settlement.settle(corpus.claim(), raising(error))
        corpus.catalogue.tasks.heartbeat(corpus.worker, lease_s=60)
        assert due(corpus) == 0
        with pytest.raises(CatalogueUnavailable):
            settlement.give_back()
        away.methods.clear()
        settlement.give_back()
        assert due(corpus) == 1
        away.methods = {"failed", "postpone"}
    settlement.give_back()


def test_what_was_given_back_late_takes_nothing_from_whoever_holds_it_now(corpus: Corpus) -> None:
    corpus.send("An otter.")
    late = corpus.claim()
    settlement = Settlement(corpus.catalogue, rest_s=0.0)
    settlement.abandon([late])
    corpus.catalogue.tasks.predecessors_died()
    corpus.claim(worker="another")
    settlement.give_back()
    assert due(corpus) == 0


def test_a_catalogue_that_goes_away_between_two_claims_leaves_neither_held(corpus: Corpus) -> None:
    for n in range(3):
        corpus.send(f"Otter {n}.", f"{n}")
    queue = MemoryQueue(window=8)
    deliver(corpus, queue)
    away = Away(corpus, "claim", after=2)
    place = workplace(corpus, queue, away)
    ran: list[Sequence[Claim]] = []
    work(place, ran.append, batch=3)
    assert ran == []
    place.settlement.give_back()
    assert due(corpus) == 3


def test_what_must_run_alone_runs_alone(corpus: Corpus) -> None:
    documents = [corpus.send(f"Otter {n}.", f"{n}") for n in range(6)]
    queue = MemoryQueue(window=8)
    pointers = corpus.catalogue.tasks.due(tuple(Stage), excluding=[], limit=9)
    alone = pointers[3]
    queue.publish(
        [TaskPointer(p.task_id, p.tenant, p.document_id, p.stage, p.lane, solitary=p is alone) for p in pointers]
    )
    place = workplace(corpus, queue)
    lock = threading.Lock()
    now: set[str] = set()
    together: dict[str, int] = {}

    def run(claim: Claim) -> None:
        with lock:
            now.add(claim.document.id)
            for one in now:
                together[one] = max(together.get(one, 0), len(now))
        time.sleep(0.03)
        with lock:
            now.discard(claim.document.id)
        corpus.parse_stage.run(claim)

    stop = threading.Event()
    worker = Worker(place, stages=[Stage.PARSE], batch=1, run=one_by_one(place.settlement, run))
    threads = [threading.Thread(target=worker.run, args=(stop,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    while queue.outstanding(Stage.PARSE) and time.monotonic() < deadline:
        time.sleep(0.005)
    stop.set()
    queue.close()
    for thread in threads:
        thread.join(10)
    assert together.keys() == {document.id for document in documents}
    assert together[alone.document_id] == 1
    assert max(together.values()) > 1


def test_a_heartbeat_keeps_a_lease_while_its_process_lives(corpus: Corpus) -> None:
    corpus.send("An otter.")
    [pointer] = corpus.catalogue.tasks.due(tuple(Stage), excluding=[], limit=9)
    corpus.catalogue.tasks.claim(pointer.task_id, worker=corpus.worker, lease_s=0.6)
    stop = threading.Event()
    heart = threading.Thread(target=Heartbeat(corpus.catalogue, worker=corpus.worker, lease_s=0.6).run, args=(stop,))
    heart.start()
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        assert due(corpus) == 0
        time.sleep(0.02)
    stop.set()
    heart.join(10)
    time.sleep(0.65)
    assert due(corpus) == 1


def test_a_heart_survives_a_catalogue_that_is_away(corpus: Corpus) -> None:
    away = Away(corpus, "heartbeat")
    stop = threading.Event()
    heart = threading.Thread(target=Heartbeat(away, worker="w", lease_s=0.03).run, args=(stop,))
    heart.start()
    time.sleep(0.1)
    assert heart.is_alive()
    stop.set()
    heart.join(10)


# --- the fuse ------------------------------------------------------------------------------------------------------


def fused(corpus: Corpus, queue: MemoryQueue, *, limit: int, first_delay_s: float) -> Workplace:
    settlement = Settlement(corpus.catalogue, rest_s=0.0, fuses=Fuses(limit=limit, first_delay_s=first_delay_s))
    return Workplace(corpus.catalogue, queue, corpus.worker, 60, Solitude(), settlement)


def outcomes(corpus: Corpus, documents: Sequence[Document]) -> list[list[Outcome | None]]:
    found = corpus.catalogue.documents.timelines([document.id for document in documents])
    return [[entry.outcome for entry in found[document.id]] for document in documents]


def test_a_stage_in_trouble_takes_nothing_more_and_blames_no_document_for_it(corpus: Corpus) -> None:
    documents = [corpus.send(f"Otter {n}.", f"{n}") for n in range(8)]
    queue = MemoryQueue(window=8)
    place = fused(corpus, queue, limit=3, first_delay_s=60)
    deliver(corpus, queue)
    stop = threading.Event()
    run = one_by_one(place.settlement, lambda _: raising(ValueError("a bug"))())
    thread = threading.Thread(target=Worker(place, stages=[Stage.PARSE], batch=1, run=run).run, args=(stop,))
    thread.start()
    eventually(lambda: place.settlement.fuses.of(Stage.PARSE).is_open)
    stop.set()
    queue.close()
    thread.join(10)
    tried = [found for found in outcomes(corpus, documents) if found]
    assert tried == [[Outcome.FAILED], [Outcome.FAILED], [Outcome.RELEASED]]  # the third opened it
    assert len(queue.outstanding(Stage.PARSE)) == 5
    with pytest.raises(FuseOpen):
        place.settlement.fuses.check()


def test_a_stage_that_works_again_is_tried_with_one_document_and_then_takes_all(corpus: Corpus) -> None:
    documents = [corpus.send(f"Otter {n}.", f"{n}") for n in range(8)]
    queue = MemoryQueue(window=8)
    place = fused(corpus, queue, limit=3, first_delay_s=0.3)
    deliver(corpus, queue)
    mended = threading.Event()
    began: list[float] = []

    def parse(claim: Claim) -> None:
        began.append(time.monotonic())
        if not mended.is_set():
            raise IndexUnavailable
        corpus.parse_stage.run(claim)

    stop = threading.Event()
    worker = Worker(place, stages=[Stage.PARSE], batch=4, run=one_by_one(place.settlement, parse))
    threads = [threading.Thread(target=worker.run, args=(stop,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(began) >= 8)  # both batches, and none of them to blame
    assert place.settlement.fuses.of(Stage.PARSE).is_open
    mended.set()
    deliver(corpus, queue)
    eventually(lambda: all(corpus.get(one.id).state is DocumentState.EMBEDDING for one in documents))
    stop.set()
    queue.close()
    for thread in threads:
        thread.join(10)
    assert began[8] - began[7] > 0.25
    place.settlement.fuses.check()


@pytest.mark.parametrize("error", [Unparseable("encrypted", "It has a password."), ParserKilled("signal 11")])
def test_what_is_a_documents_own_doing_opens_no_fuse(corpus: Corpus, error: Exception) -> None:
    settlement = Settlement(corpus.catalogue, rest_s=0.0, fuses=Fuses(limit=1))
    corpus.send("An otter.")
    settlement.settle(corpus.claim(), raising(error))
    settlement.fuses.check()


def test_an_erase_that_waits_for_an_older_lease_opens_no_fuse(corpus: Corpus) -> None:
    settlement = Settlement(corpus.catalogue, rest_s=0.0, fuses=Fuses(limit=1))
    document = corpus.send("An otter.")
    corpus.claim()
    corpus.catalogue.documents.delete(corpus.admin, document.id)
    upkeep = Upkeep(catalogue=corpus.catalogue, index=corpus.index)
    erase = corpus.claim(Stage.ERASE)
    assert not settlement.settle(erase, lambda: upkeep.run(erase))
    settlement.fuses.check()
    assert due(corpus) == 1
