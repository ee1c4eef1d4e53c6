"""What a Catalogue promises when several ask it at the same moment, each as a process of its own would.

Rounds are many because a race is lost only sometimes: of two threads let go together, a few in a hundred meet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from retrieval.catalogue import Catalogue
from retrieval.documents import Attributes, Collection, Document, DocumentSelection, DocumentState, Stage
from retrieval.errors import CatalogueUnavailable, Conflict, NotFound
from retrieval.tasks import Switch
from tests.catalogue_fixtures import Opener
from tests.catalogue_steps import (
    ADMIN,
    HOPELESS,
    accept,
    claimed,
    due,
    fail,
    get,
    letters,
    live,
    outcome,
    parse,
    submission,
    upkeep,
)

S = DocumentState
ROUNDS = 15


@pytest.fixture
def other(catalogue: Catalogue, opened: Opener) -> Catalogue:
    """The same data, as another process has it open."""
    return opened()


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    """What each answered, or raised, when they were let go together."""
    start = threading.Barrier(len(actions))

    def run(action: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return action()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


# --- accepting ---


def test_two_accepts_of_one_document_at_once_are_two_versions(
    catalogue: Catalogue, other: Catalogue, docs: Collection
) -> None:
    for n in range(ROUNDS):
        one, two = (submission(docs, f"d{n}", text) for text in ("one", "two"))
        answers = at_once(lambda: accept(catalogue, one), lambda: accept(other, two))  # noqa: B023
        assert sorted(answer.version for answer in answers) == [1, 2], answers
        newest = max(answers, key=lambda answer: answer.version)
        assert get(catalogue, newest) == newest
        assert claimed(catalogue, Stage.PARSE, of=newest).version == 2


def test_the_same_content_twice_at_once_is_one_version(
    catalogue: Catalogue, other: Catalogue, docs: Collection
) -> None:
    for n in range(ROUNDS):
        sent = submission(docs, f"d{n}")
        answers = at_once(*(lambda to=to: accept(to, sent) for to in (catalogue, other, catalogue)))  # noqa: B023
        assert {(answer.version, answer.rev) for answer in answers} == {(1, 1)}
    assert len(due(catalogue)) == ROUNDS


def test_batches_that_name_the_same_documents_in_other_orders_all_arrive(
    catalogue: Catalogue, other: Catalogue, docs: Collection
) -> None:
    names = [f"d{n}" for n in range(8)]
    for n in range(ROUNDS):
        forth = [submission(docs, name, f"forth {n}") for name in names]
        back = [submission(docs, name, f"back {n}") for name in reversed(names)]
        answers = at_once(lambda: accept(catalogue, *forth), lambda: accept(other, *back))  # noqa: B023
        assert [type(answer) for answer in answers] == [Document, Document], answers
    assert {document.version for document in catalogue.documents.page(ADMIN).items} == {2 * ROUNDS}


def test_what_is_accepted_while_its_collection_is_deleted_is_deleted_with_it(
    catalogue: Catalogue, other: Catalogue
) -> None:
    for n in range(ROUNDS):
        collection = catalogue.collections.create("acme", f"c{n}")
        sent = [submission(collection, name) for name in "abc"]
        answers, _ = at_once(
            lambda: catalogue.documents.accept(sent),  # noqa: B023
            lambda: other.collections.delete("acme", f"c{n}"),  # noqa: B023
        )
        assert {type(answer) for answer in answers} in ({Document}, {NotFound})
        while catalogue.collections.take_deletions(limit=2):
            upkeep(catalogue)
        upkeep(catalogue)
        catalogue.collections.take_deletions(limit=2)
        catalogue.collections.create("acme", f"c{n}")  # the name is free: nothing is left that could be found
        for answer in answers:
            if isinstance(answer, Document):
                assert get(catalogue, answer).state is S.DELETED


def test_a_collection_that_is_created_twice_at_once_is_one(catalogue: Catalogue, other: Catalogue) -> None:
    for n in range(ROUNDS):
        answers = at_once(*(lambda to=to: to.collections.create("acme", f"c{n}") for to in (catalogue, other)))  # noqa: B023
        assert sorted(type(answer).__name__ for answer in answers) == ["Collection", "Conflict"]


def test_a_spec_that_is_bound_by_many_at_once_is_bound(catalogue: Catalogue, other: Catalogue) -> None:
    spec = {"model": "small", "digest": "d1"}
    assert at_once(*(lambda to=to: to.bind_model(spec) for to in (catalogue, other, catalogue, other))) == [None] * 4
    with pytest.raises(Conflict):
        other.bind_model(spec | {"digest": "d2"})


# --- working ---


def test_of_two_processes_that_claim_a_task_at_once_one_has_it(
    catalogue: Catalogue, other: Catalogue, docs: Collection
) -> None:
    accept(catalogue, *(submission(docs, f"d{n}") for n in range(ROUNDS)))
    for task_id in due(catalogue):
        claims = at_once(
            lambda: catalogue.tasks.claim(task_id, worker="w1", lease_s=60),  # noqa: B023
            lambda: other.tasks.claim(task_id, worker="w2", lease_s=60),  # noqa: B023
        )
        assert [claim is None for claim in claims].count(True) == 1
    assert len(catalogue.tasks.leased_attempts()) == ROUNDS


def test_a_switch_and_a_patch_at_once_lose_nothing(catalogue: Catalogue, other: Catalogue, docs: Collection) -> None:
    for n in range(ROUNDS):
        document = accept(catalogue, submission(docs, f"d{n}"))
        parse(catalogue, document)
        claim = claimed(catalogue, Stage.EMBED, of=document)
        said = Attributes(readers=("user:ann",), metadata={"n": n})
        (switch, _), patched = at_once(
            lambda: catalogue.tasks.switch(claim, rev=claim.document.rev, counts={}),  # noqa: B023
            lambda: other.documents.patch(ADMIN, document.id, said, readers_reset=False),  # noqa: B023
        )
        now = get(catalogue, document)
        assert (now.readers, now.metadata, patched.rev) == (("user:ann",), {"n": n}, document.rev + 1)
        if switch is Switch.ATTRIBUTES_MOVED:
            assert now.live_version is None
            assert catalogue.tasks.switch(claim, rev=now.rev, counts={})[0] is Switch.SWITCHED
        else:
            assert (switch, now.live_attempt) == (Switch.SWITCHED, claim.attempt)
            assert claimed(catalogue, Stage.REPAINT, of=document).document.rev == now.rev


def test_two_patches_at_once_both_hold(catalogue: Catalogue, other: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs)
    for n in range(ROUNDS):
        at_once(
            lambda: catalogue.documents.patch(ADMIN, document.id, Attributes(metadata={"n": n}), readers_reset=False),  # noqa: B023
            lambda: other.documents.patch(ADMIN, document.id, Attributes(readers=(f"r{n}",)), readers_reset=False),  # noqa: B023
        )
        now = get(catalogue, document)
        assert (now.metadata, now.readers, now.rev) == ({"n": n}, (f"r{n}",), document.rev + 2 * (n + 1))


@pytest.mark.parametrize("work", ["switch", "parsed", "failed", "accept"])
def test_a_delete_that_meets_other_work_on_its_document_is_a_delete(
    catalogue: Catalogue, other: Catalogue, docs: Collection, work: str
) -> None:
    for n in range(ROUNDS):
        document = accept(catalogue, submission(docs, f"d{n}"))
        if work == "switch":
            parse(catalogue, document)
        claim = claimed(catalogue, of=document)
        meeting: Callable[[], Any] = {
            "switch": lambda: other.tasks.switch(claim, rev=claim.document.rev, counts={}),  # noqa: B023
            "parsed": lambda: other.tasks.parsed(claim, outcome()),  # noqa: B023
            "failed": lambda: other.tasks.failed(claim, HOPELESS),  # noqa: B023
            "accept": lambda: accept(other, submission(docs, f"d{n}", "two")),  # noqa: B023
        }[work]
        deleted, answer = at_once(lambda: catalogue.documents.delete(ADMIN, document.id), meeting)  # noqa: B023
        assert not isinstance(answer, Exception), answer
        now = get(catalogue, document)
        if work == "accept" and answer.version > deleted.version:
            assert (now.state, now.version) == (S.RECEIVED, deleted.version + 1)
        else:
            assert (now.state, now.live_version) == (S.DELETING, None)
        assert letters(catalogue) == []
        catalogue.documents.delete(ADMIN, document.id)
        upkeep(catalogue)
        assert get(catalogue, document).state is S.DELETED


def test_a_late_worker_and_the_one_that_took_over_do_not_get_in_each_others_way(
    catalogue: Catalogue, other: Catalogue, docs: Collection
) -> None:
    for n in range(ROUNDS):
        document = accept(catalogue, submission(docs, f"d{n}"))
        parse(catalogue, document)
        late = claimed(catalogue, Stage.EMBED, of=document, lease_s=0.0)
        (switch, _), claim = at_once(
            lambda: catalogue.tasks.switch(late, rev=late.document.rev, counts={}),  # noqa: B023
            lambda: other.tasks.claim(late.task_id, worker="second", lease_s=60),  # noqa: B023
        )
        assert (switch is Switch.SWITCHED) == (claim is None), (switch, claim)
        assert (switch is Switch.LOST) == (claim is not None)


def test_the_death_of_a_worker_and_the_outcome_of_what_it_did_count_once(
    catalogue: Catalogue, other: Catalogue, docs: Collection
) -> None:
    for n in range(ROUNDS):
        batch = [accept(catalogue, submission(docs, f"d{n}-{m}")) for m in range(4)]
        claims = [claimed(catalogue, of=document, worker="w") for document in batch]
        answers = at_once(
            lambda: catalogue.tasks.worker_died("w"),
            lambda: [other.tasks.parsed(claim, outcome()) for claim in reversed(claims)],  # noqa: B023
            lambda: other.tasks.heartbeat("w", lease_s=60),
        )
        assert not any(isinstance(answer, Exception) for answer in answers), answers
        for document, parsed in zip(reversed(batch), answers[1], strict=True):
            stage = Stage.EMBED if parsed else Stage.PARSE
            assert get(catalogue, document).state is (S.EMBEDDING if parsed else S.PARSING)
            assert claimed(catalogue, stage, of=document, worker="successor").document.id == document.id


def test_a_dead_letter_that_is_decided_twice_at_once_is_decided_once(
    catalogue: Catalogue, other: Catalogue, docs: Collection
) -> None:
    for n in range(ROUNDS):
        document = accept(catalogue, submission(docs, f"d{n}"))
        fail(catalogue)
        [letter] = letters(catalogue)
        answers = at_once(
            lambda: catalogue.dead_letters.drop(ADMIN, letter.id),  # noqa: B023
            lambda: other.dead_letters.drop(ADMIN, letter.id),  # noqa: B023
            lambda: other.dead_letters.redrive(ADMIN, letter.id),  # noqa: B023
        )
        assert sum(isinstance(answer, NotFound | Conflict) for answer in answers) == 2, answers
        assert letters(catalogue) == []
        redriven = isinstance(answers[2], Document)
        assert get(catalogue, document).state is (S.RECEIVED if redriven else S.FAILED)
        catalogue.documents.delete(ADMIN, document.id)


# --- leases ---


def test_a_lease_is_taken_renewed_and_given_back_through_the_catalogue_that_it_fences(catalogue: Catalogue) -> None:
    fenced = catalogue.fenced("janitor", holder="one")
    assert fenced.leases.hold("janitor", holder="one", seconds=60)
    assert fenced.leases.hold("janitor", holder="one", seconds=60)
    assert not catalogue.leases.hold("janitor", holder="two", seconds=60)
    fenced.leases.release("janitor", holder="one")
    assert catalogue.leases.hold("janitor", holder="two", seconds=60)


def test_a_holder_that_slept_while_its_lease_was_taken_over_writes_nothing(
    catalogue: Catalogue, other: Catalogue, docs: Collection
) -> None:
    document = live(catalogue, docs)
    assert catalogue.leases.hold("watcher", holder="sleeper", seconds=0.05)
    sleeper = catalogue.fenced("watcher", holder="sleeper")
    accept(sleeper, submission(docs, "in time"))
    time.sleep(0.1)
    accept(sleeper, submission(docs, "late, but nobody minds"))
    assert other.leases.hold("watcher", holder="successor", seconds=60)
    for late in (
        lambda: accept(sleeper, submission(docs, text="what the file held before")),
        lambda: sleeper.documents.delete(ADMIN, document.id),
        lambda: sleeper.drop_files.forget(["a.txt"]),
        lambda: sleeper.collections.create("acme", "late"),
        lambda: sleeper.blobs.sweep(lambda *_: pytest.fail("swept"), untouched_since=time.time() + 1, limit=9),
    ):
        with pytest.raises(CatalogueUnavailable, match="lease watcher was lost"):
            late()
    assert get(catalogue, document) == document
    accept(other.fenced("watcher", holder="successor"), submission(docs, "of the successor"))
    other.leases.release("watcher", holder="successor")
    with pytest.raises(CatalogueUnavailable):  # also when nobody holds it any more: what it knew is old
        accept(sleeper, submission(docs, "too late"))
    assert catalogue.documents.page(ADMIN, external_id="too late").items == []


def test_who_takes_a_lease_over_waits_for_a_write_that_has_begun(catalogue: Catalogue, other: Catalogue) -> None:
    assert catalogue.leases.hold("janitor", holder="slow", seconds=0.0)
    catalogue.blobs.touch("acme", "orphan")
    seen: list[str] = []

    def take_over() -> None:
        assert other.leases.hold("janitor", holder="successor", seconds=60)
        seen.append("taken over")

    successor = threading.Thread(target=take_over)

    def remove(_tenant: str, _digest: str) -> None:
        successor.start()
        time.sleep(0.3)
        seen.append("removed")

    fenced = catalogue.fenced("janitor", holder="slow")
    assert fenced.blobs.sweep(remove, untouched_since=time.time() + 1, limit=9) == 1
    successor.join()
    assert seen == ["removed", "taken over"]


def test_a_blob_that_is_touched_while_it_is_swept_is_touched_afterwards(catalogue: Catalogue, other: Catalogue) -> None:
    catalogue.blobs.touch("acme", "orphan")
    seen: list[str] = []

    def touch() -> None:
        other.blobs.touch("acme", "orphan")
        seen.append("touched")

    toucher = threading.Thread(target=touch)

    def remove(_tenant: str, _digest: str) -> None:
        toucher.start()
        time.sleep(0.3)
        seen.append("removed")

    assert catalogue.blobs.sweep(remove, untouched_since=time.time() + 1, limit=9) == 1
    toucher.join()
    assert seen == ["removed", "touched"]
    assert catalogue.blobs.sweep(lambda *_: None, untouched_since=time.time() - 60, limit=9) == 0
    assert catalogue.blobs.sweep(lambda *_: None, untouched_since=time.time() + 1, limit=9) == 1


def test_many_are_deleted_and_reprocessed_while_others_are_at_them(
    catalogue: Catalogue, other: Catalogue, docs: Collection
) -> None:
    which = DocumentSelection(docs.id)
    for n in range(ROUNDS):
        documents = [accept(catalogue, submission(docs, f"d{n}-{m}")) for m in range(6)]
        said = Attributes(title=f"Title {n}", metadata={"n": n})
        answers = at_once(
            lambda: catalogue.documents.delete_some(ADMIN, which, after=None, limit=9).decided,
            lambda: other.documents.delete_some(ADMIN, which, after=None, limit=9).decided,
            lambda: other.documents.reprocess_some(ADMIN, which, fingerprint="f2", after=None, limit=9).decided,
            partial(catalogue.documents.delete, ADMIN, documents[3].id),
            partial(other.documents.patch, ADMIN, documents[0].id, said, readers_reset=False),
            partial(catalogue.tasks.parsed, claimed(catalogue, Stage.PARSE), outcome()),
        )
        deleted = answers[0] + answers[1]
        assert deleted in (5, 6)  # each by one of them alone, or one by the call for it
        assert 0 <= answers[2] <= 6
        assert answers[3].state is S.DELETING
        assert isinstance(answers[4], Document | Conflict)
        assert answers[5] in (True, False)
        assert {get(catalogue, document).state for document in documents} == {S.DELETING}
        upkeep(catalogue)


def test_a_reader_sees_a_whole_batch_or_nothing_of_it(catalogue: Catalogue, other: Catalogue, docs: Collection) -> None:
    stop = threading.Event()
    counts: set[int] = set()

    def read() -> None:
        while not stop.is_set():
            counts.add(len(other.documents.page(replace(ADMIN), limit=1_000).items))

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(ROUNDS):
        accept(catalogue, *(submission(docs, f"d{n}-{m}") for m in range(10)))
    stop.set()
    reader.join()
    assert {count % 10 for count in counts} == {0}
