"""What every Catalogue promises. Another engine is another parameter of the `catalogue_url` fixture."""

from __future__ import annotations

import hashlib
import inspect
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from retrieval import catalogue as port
from retrieval.catalogue import CONFIRMED, BoundModel, Catalogue, DropFile
from retrieval.documents import (
    Attributes,
    Collection,
    DeadLetter,
    Document,
    DocumentSelection,
    DocumentState,
    Lane,
    LetterSelection,
    Outcome,
    Stage,
    Submission,
)
from retrieval.errors import Conflict, NotFound, Quarantined, RagstoneError
from retrieval.filters import parse_filter
from retrieval.principal import Principal, Scope
from retrieval.sql_catalogue.catalogue import SqlCatalogue
from retrieval.sql_catalogue.ledger import RetryPolicy
from retrieval.tasks import Claim, Failure, Switch
from tests.catalogue_fixtures import Opener
from tests.catalogue_steps import (
    ADMIN,
    BROKEN,
    HOPELESS,
    accept,
    claimed,
    due,
    embed,
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


# --- accepting ---------------------------------------------------------------------------------------------------


def test_a_new_document_is_received_and_owes_its_parse(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs, metadata={"year": 2024}))
    assert (document.state, document.version, document.live_version) == (S.RECEIVED, 1, None)
    assert (document.readers, document.title, document.metadata) == (("*",), "a.txt", {"year": 2024})
    [pointer] = catalogue.tasks.due(tuple(Stage), excluding=[], limit=9)
    assert (pointer.stage, pointer.document_id, pointer.tenant) == (Stage.PARSE, document.id, "acme")


def test_the_same_content_again_only_applies_the_attributes(catalogue: Catalogue, docs: Collection) -> None:
    first = accept(catalogue, submission(docs))
    again = accept(catalogue, submission(docs, metadata={"year": 2025}, readers=("user:ann",)))
    assert (again.id, again.version, again.rev) == (first.id, 1, 2)
    assert (again.metadata, again.readers) == ({"year": 2025}, ("user:ann",))
    document = live(catalogue, docs, "b")
    assert accept(catalogue, submission(docs, "b")) == document
    assert len(due(catalogue)) == 1  # the first one's parse


def test_a_title_that_was_given_stays_even_if_it_is_the_default(catalogue: Catalogue, docs: Collection) -> None:
    accept(catalogue, submission(docs))
    document = accept(catalogue, submission(docs, title="a.txt"))
    parse(catalogue, title="A parsed title")
    assert get(catalogue, document).title == "a.txt"


def test_changed_content_is_a_new_version_and_the_old_one_stays_live(catalogue: Catalogue, docs: Collection) -> None:
    live(catalogue, docs)
    document = accept(catalogue, submission(docs, text="two"))
    assert (document.version, document.live_version, document.state) == (2, 1, S.RECEIVED)
    parse(catalogue)
    assert get(catalogue, document).live_version == 1
    embed(catalogue)
    assert (get(catalogue, document).live_version, get(catalogue, document).state) == (2, S.SEARCHABLE)


def test_the_same_content_after_a_failure_is_tried_again(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    fail(catalogue)
    assert get(catalogue, document).state is S.FAILED
    again = accept(catalogue, submission(docs))
    assert (again.version, again.state, again.code) == (2, S.RECEIVED, None)


@pytest.mark.parametrize("text", ["one", "two"], ids=["same content", "new content"])
@pytest.mark.parametrize("refusal", [None, ("empty_file", "no")], ids=["taken", "refused"])
def test_what_is_withdrawn_is_as_if_it_had_never_been_said(
    catalogue: Catalogue, text: str, refusal: tuple[str, str] | None
) -> None:
    docs = catalogue.collections.create("acme", "staff", default_readers=("group:staff",))
    document = accept(catalogue, submission(docs, title="T", metadata={"n": 1}, readers=("user:ann",)))
    again = replace(submission(docs, text=text, refusal=refusal), attributes=Attributes(withdrawn=frozenset({"title"})))
    accept(catalogue, again)
    left = get(catalogue, document)
    assert (left.title, left.title_given, left.metadata, left.readers) == ("a.txt", False, {"n": 1}, ("user:ann",))
    everything = frozenset({"title", "external_id", "metadata", "readers"})
    accept(catalogue, replace(again, attributes=Attributes(withdrawn=everything)))
    left = get(catalogue, document)
    assert (left.metadata, left.readers, left.external_id) == ({}, ("group:staff",), None)
    assert left.rev > document.rev


def test_a_tombstone_is_reborn_with_a_higher_version_and_fresh_attributes(
    catalogue: Catalogue, docs: Collection
) -> None:
    document = live(catalogue, docs, metadata={"secret": 1}, readers=("user:ann",), title="Old")
    catalogue.documents.delete(ADMIN, document.id)
    upkeep(catalogue)
    assert get(catalogue, document).state is S.DELETED
    reborn = accept(catalogue, submission(docs))
    assert (reborn.id, reborn.version, reborn.live_version) == (document.id, 3, None)
    assert (reborn.metadata, reborn.readers, reborn.title) == ({}, ("*",), "a.txt")
    parse(catalogue)
    embed(catalogue)
    assert get(catalogue, reborn).live_version == 3


def test_a_document_reborn_before_its_erase_is_not_taken_by_it(catalogue: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs)
    catalogue.documents.delete(ADMIN, document.id)
    accept(catalogue, submission(docs, text="two"))
    erase = claimed(catalogue, Stage.ERASE)
    assert erase.version == 2
    catalogue.tasks.done(erase, counts={})
    assert get(catalogue, document).state is S.RECEIVED
    parse(catalogue)
    embed(catalogue)
    assert get(catalogue, document).live_version == 3


def test_the_same_document_twice_in_one_batch_is_one_document(catalogue: Catalogue, docs: Collection) -> None:
    batch = [submission(docs), submission(docs, text="two"), submission(docs, text="two", title="T")]
    first, second, third = catalogue.documents.accept(batch)
    assert isinstance(first, Document)
    assert first == second == third
    assert (first.version, first.title) == (3, "T")  # new content, then a new title
    assert catalogue.documents.content_digest(first)[1] == "two"


def test_one_wrong_submission_does_not_fail_its_batch(catalogue: Catalogue, docs: Collection) -> None:
    gone = replace(docs, id="gone")
    answers = catalogue.documents.accept([submission(docs), submission(gone), submission(docs, "b")])
    assert [type(answer) for answer in answers] == [Document, NotFound, Document]


def test_nothing_is_accepted_into_a_collection_being_deleted(catalogue: Catalogue, docs: Collection) -> None:
    catalogue.collections.delete("acme", "docs")
    [answer] = catalogue.documents.accept([submission(docs)])
    assert isinstance(answer, NotFound)
    stranger = submission(replace(catalogue.collections.create("acme", "x"), tenant="other"))
    assert isinstance(catalogue.documents.accept([stranger])[0], NotFound)


def test_a_refused_file_is_born_failed_with_a_dead_letter(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs, refusal=("too_large", "It is too large.")))
    assert (document.state, document.code, document.reason) == (S.FAILED, "too_large", "It is too large.")
    assert due(catalogue) == []
    [letter] = letters(catalogue)
    assert (letter.document_id, letter.code) == (document.id, "too_large")
    with pytest.raises(Conflict):
        catalogue.dead_letters.redrive(ADMIN, letter.id)


def test_a_refused_new_version_leaves_the_old_one_live(catalogue: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs)
    refused = accept(catalogue, submission(docs, text="", refusal=("empty_file", "Empty.")))
    assert (refused.id, refused.version, refused.live_version, refused.state) == (document.id, 2, 1, S.FAILED)
    mended = accept(catalogue, submission(docs, text="two"))
    assert (mended.version, mended.state, letters(catalogue)) == (3, S.RECEIVED, [])


@pytest.mark.parametrize("code", ["kills_worker", "parse_limit"])
@pytest.mark.parametrize("release", ["redrive", "drop", "new parser", "another tenant"])
def test_content_that_kills_is_refused_until_it_is_released(
    catalogue: Catalogue, docs: Collection, code: str, release: str
) -> None:
    accept(catalogue, submission(docs, text="poison"))
    fail(catalogue, Failure(code, "dead", permanent=True))
    [answer] = catalogue.documents.accept([submission(docs, "b", "poison")])
    assert isinstance(answer, Quarantined)
    [letter] = letters(catalogue)
    again = submission(docs, "b", "poison")
    match release:
        case "redrive":
            catalogue.dead_letters.redrive(ADMIN, letter.id)
        case "drop":
            catalogue.dead_letters.drop(ADMIN, letter.id)
        case "new parser":
            again = replace(again, fingerprint="f2")
        case _:
            again = submission(catalogue.collections.create("other", "docs"), "b", "poison")
    assert accept(catalogue, again).state is S.RECEIVED


@pytest.mark.parametrize("closed_by", ["superseded", "deleted"])
def test_a_document_that_is_mended_or_deleted_does_not_release_the_content_that_killed(
    catalogue: Catalogue, docs: Collection, closed_by: str
) -> None:
    document = accept(catalogue, submission(docs, text="poison"))
    fail(catalogue, Failure("kills_worker", "dead", permanent=True))
    [letter] = letters(catalogue)
    if closed_by == "deleted":
        catalogue.documents.delete(ADMIN, document.id)
    else:
        accept(catalogue, submission(docs, text="mended"))
    assert catalogue.dead_letters.get(ADMIN, letter.id).closed_by == closed_by
    [answer] = catalogue.documents.accept([submission(docs, "b", "poison")])
    assert isinstance(answer, Quarantined)
    assert letter.id in str(answer)
    catalogue.dead_letters.drop(ADMIN, letter.id)
    assert accept(catalogue, submission(docs, "b", "poison")).state is S.RECEIVED
    with pytest.raises(NotFound):
        catalogue.dead_letters.drop(ADMIN, letter.id)


def test_content_that_came_through_after_all_is_released(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs, text="heavy"))
    fail(catalogue, Failure("parse_limit", "too long", permanent=True))
    catalogue.documents.reprocess(ADMIN, document.id, fingerprint="f1")
    assert isinstance(catalogue.documents.accept([submission(docs, "b", "heavy")])[0], Quarantined)
    parse(catalogue)
    embed(catalogue)
    assert accept(catalogue, submission(docs, "b", "heavy")).state is S.RECEIVED


def test_other_failures_quarantine_nothing(catalogue: Catalogue, docs: Collection) -> None:
    accept(catalogue, submission(docs))
    fail(catalogue, HOPELESS)
    assert accept(catalogue, submission(docs, "b")).state is S.RECEIVED


# --- claims ------------------------------------------------------------------------------------------------------


def test_of_eight_threads_exactly_one_wins_a_claim(catalogue: Catalogue, docs: Collection) -> None:
    attempts: list[int] = []
    with ThreadPoolExecutor(8) as pool:
        for n in range(6):
            accept(catalogue, submission(docs, f"d{n}"))
            task_id = due(catalogue)[0]
            start = threading.Barrier(8)

            def claim(worker: int, task_id: int = task_id, start: threading.Barrier = start) -> Claim | None:
                start.wait()
                return catalogue.tasks.claim(task_id, worker=f"w{worker}", lease_s=60)

            won = [made for made in pool.map(claim, range(8)) if made is not None]
            assert len(won) == 1
            attempts.append(won[0].attempt)
    assert attempts == sorted(set(attempts))


def test_fencing_numbers_grow_over_reopening(opened: Opener) -> None:
    first = opened()
    docs = first.collections.create("acme", "docs")
    accept(first, submission(docs))
    before = claimed(first)
    first.tasks.released(before)
    first.close()
    assert claimed(opened()).attempt > before.attempt


def test_a_claim_is_refused_while_a_lease_lives_and_granted_after(catalogue: Catalogue, docs: Collection) -> None:
    accept(catalogue, submission(docs))
    first = claimed(catalogue, lease_s=0.5)
    assert catalogue.tasks.claim(first.task_id, worker="other", lease_s=60) is None
    assert due(catalogue) == []
    time.sleep(0.55)
    second = claimed(catalogue, worker="other")
    assert (second.task_id, second.attempt > first.attempt) == (first.task_id, True)
    entries = catalogue.documents.timelines([first.document.id])[first.document.id]
    assert [entry.outcome for entry in entries] == [Outcome.INTERRUPTED, None]


def test_a_heartbeat_keeps_the_leases_of_its_worker_only(catalogue: Catalogue, docs: Collection) -> None:
    first, second = accept(catalogue, submission(docs, "a")), accept(catalogue, submission(docs, "b"))
    kept = claimed(catalogue, of=first, worker="w1", lease_s=0.1)
    lost = claimed(catalogue, of=second, worker="w2", lease_s=0.1)
    catalogue.tasks.heartbeat("w1", lease_s=60)
    time.sleep(0.15)
    assert due(catalogue) == [lost.task_id]
    assert catalogue.tasks.leased_attempts() == {kept.attempt, lost.attempt}


def _interrupted(catalogue: Catalogue, document: Document, times: int) -> list[int]:
    """Attempts at embedding it that ended with their process, oldest first."""
    ended = []
    for _ in range(times):
        ended.append(claimed(catalogue, Stage.EMBED, of=document).attempt)
        catalogue.tasks.predecessors_died()
    return ended


def test_the_last_attempts_at_an_embedding_that_is_owed_are_of_use(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    assert claimed(catalogue, Stage.PARSE).attempt not in catalogue.tasks.attempts_of_use(earlier=2)
    catalogue.tasks.predecessors_died()
    parse(catalogue)
    assert catalogue.tasks.attempts_of_use(earlier=2) == set()
    ended = _interrupted(catalogue, document, 3)
    assert catalogue.tasks.attempts_of_use(earlier=2) == set(ended[-2:])
    held = claimed(catalogue, Stage.EMBED)
    assert catalogue.tasks.attempts_of_use(earlier=2) == {*ended[-2:], held.attempt}
    catalogue.tasks.released(held)
    assert catalogue.tasks.attempts_of_use(earlier=2) == {ended[-1], held.attempt}
    assert catalogue.tasks.attempts_of_use(earlier=0) == set()
    embed(catalogue)
    assert catalogue.tasks.attempts_of_use(earlier=2) == set()


@pytest.mark.parametrize("ends", ["overtaken", "deleted", "parked"])
def test_no_attempt_at_an_embedding_that_leads_nowhere_is_of_use(
    catalogue: Catalogue, docs: Collection, ends: str
) -> None:
    document = accept(catalogue, submission(docs))
    parse(catalogue)
    _interrupted(catalogue, document, 1)
    match ends:
        case "overtaken":
            accept(catalogue, submission(docs, text="two"))
        case "deleted":
            catalogue.documents.delete(ADMIN, document.id)
        case _:
            fail(catalogue, stage=Stage.EMBED)
    assert catalogue.tasks.attempts_of_use(earlier=2) == set()


def test_an_attempt_that_is_held_is_of_use_although_it_was_overtaken(catalogue: Catalogue, docs: Collection) -> None:
    accept(catalogue, submission(docs))
    parse(catalogue)
    held = claimed(catalogue, Stage.EMBED)
    accept(catalogue, submission(docs, text="two"))
    assert catalogue.tasks.attempts_of_use(earlier=2) == {held.attempt}


def test_an_interrupted_attempt_at_a_live_version_is_of_use_while_the_newest_is_on_its_way(
    catalogue: Catalogue, docs: Collection
) -> None:
    document = live(catalogue, docs)
    assert document.live_attempt is not None
    assert catalogue.tasks.owe_embedding(document.id, attempt=document.live_attempt)
    [ended] = _interrupted(catalogue, document, 1)
    accept(catalogue, submission(docs, text="two"))
    assert catalogue.tasks.attempts_of_use(earlier=1) == {ended}


def _lose(catalogue: Catalogue, claim: Claim) -> Claim:
    """The claim, held by another worker from now on."""
    assert catalogue.tasks.predecessors_died() == 1
    other = catalogue.tasks.claim(claim.task_id, worker="other", lease_s=60)
    assert other is not None
    return other


def test_a_lost_claim_commits_no_parse(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    late = claimed(catalogue)
    other = _lose(catalogue, late)
    assert catalogue.tasks.parsed(late, outcome(title="From the dead")) is False
    assert (get(catalogue, document).title, get(catalogue, document).state) == ("a.txt", S.PARSING)
    assert due(catalogue, Stage.EMBED) == []
    assert catalogue.tasks.parsed(other, outcome())


def test_a_lost_claim_does_not_switch_and_owes_an_erase_of_its_points(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    parse(catalogue)
    late = claimed(catalogue, Stage.EMBED)
    other = _lose(catalogue, late)
    assert catalogue.tasks.switch(late, rev=1, counts={})[0] is Switch.LOST
    assert get(catalogue, document).live_attempt is None
    erase = claimed(catalogue, Stage.ERASE)
    assert erase.subject == str(late.attempt)
    assert catalogue.tasks.switch(other, rev=1, counts={})[0] is Switch.SWITCHED
    assert get(catalogue, document).live_attempt == other.attempt
    assert catalogue.tasks.switch(late, rev=1, counts={})[0] is Switch.LOST
    assert get(catalogue, document).live_attempt == other.attempt


@pytest.mark.parametrize("commit", ["failed", "postpone", "released", "killed_alone"])
def test_a_lost_claim_commits_nothing_else(catalogue: Catalogue, docs: Collection, commit: str) -> None:
    document = accept(catalogue, submission(docs))
    late = claimed(catalogue)
    other = _lose(catalogue, late)
    for _ in range(12):
        match commit:
            case "failed":
                catalogue.tasks.failed(late, HOPELESS)
            case "postpone":
                catalogue.tasks.postpone(late, delay_s=0)
            case "released":
                catalogue.tasks.released(late)
            case _:
                catalogue.tasks.killed_alone(late, reason="dead")
    assert get(catalogue, document).state is S.PARSING
    assert (due(catalogue), letters(catalogue)) == ([], [])
    assert catalogue.tasks.parsed(other, outcome())


def test_a_lost_claim_does_not_end_an_erase(catalogue: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs)
    catalogue.documents.delete(ADMIN, document.id)
    late = claimed(catalogue, Stage.ERASE)
    other = _lose(catalogue, late)
    catalogue.tasks.done(late, counts={})
    assert get(catalogue, document).state is S.DELETING
    catalogue.tasks.done(other, counts={})
    assert get(catalogue, document).state is S.DELETED


def test_a_switch_that_is_asked_for_twice_is_one_switch(catalogue: Catalogue, docs: Collection) -> None:
    accept(catalogue, submission(docs))
    parse(catalogue)
    claim = embed(catalogue)
    assert catalogue.tasks.switch(claim, rev=1, counts={})[0] is Switch.SWITCHED
    assert [c.subject for c in [claimed(catalogue, Stage.ERASE)]] == [""]


def test_an_overtaken_version_is_neither_parsed_nor_published(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    unclaimed = due(catalogue)[0]
    parsing = claimed(catalogue)
    accept(catalogue, submission(docs, text="two"))
    assert catalogue.tasks.parsed(parsing, outcome()) is False
    assert catalogue.tasks.claim(unclaimed, worker="w", lease_s=60) is None
    parse(catalogue)
    embedding = claimed(catalogue, Stage.EMBED)
    accept(catalogue, submission(docs, text="three"))
    assert catalogue.tasks.switch(embedding, rev=embedding.document.rev, counts={})[0] is Switch.OVERTAKEN
    assert get(catalogue, document).live_version is None
    assert claimed(catalogue, Stage.ERASE).subject == str(embedding.attempt)
    parse(catalogue)
    embed(catalogue)
    assert get(catalogue, document).live_version == 3


def test_a_failure_of_an_overtaken_version_fails_nothing(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    old = claimed(catalogue)
    accept(catalogue, submission(docs, text="two"))
    catalogue.tasks.failed(old, HOPELESS)
    assert (get(catalogue, document).state, letters(catalogue)) == (S.RECEIVED, [])


def test_attributes_that_moved_stop_a_switch_until_they_are_repainted(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    parse(catalogue)
    claim = claimed(catalogue, Stage.EMBED)
    catalogue.documents.patch(ADMIN, document.id, Attributes(readers=("user:ann",)), readers_reset=False)
    switch, moved = catalogue.tasks.switch(claim, rev=claim.document.rev, counts={})
    assert (switch, moved.readers, moved.live_version) == (Switch.ATTRIBUTES_MOVED, ("user:ann",), None)
    assert catalogue.tasks.switch(claim, rev=moved.rev, counts={})[0] is Switch.SWITCHED


def test_due_tasks_come_interactive_first_and_round_robin_over_tenants(catalogue: Catalogue) -> None:
    def named(tenant: str, lane: Lane, count: int) -> list[Document]:
        try:
            collection = catalogue.collections.create(tenant, "docs")
        except Conflict:
            collection = catalogue.collections.by_name(tenant, "docs")
        return [accept(catalogue, submission(collection, f"{lane}{n}", lane=lane)) for n in range(count)]

    named("big", Lane.BULK, 3)
    named("big", Lane.INTERACTIVE, 4)
    named("small", Lane.INTERACTIVE, 2)
    pointers = catalogue.tasks.due([Stage.PARSE], excluding=[], limit=9)
    assert [pointer.lane for pointer in pointers] == [Lane.INTERACTIVE] * 6 + [Lane.BULK] * 3
    assert [pointer.tenant for pointer in pointers[:4]] == ["big", "small", "big", "small"]
    rest = catalogue.tasks.due([Stage.PARSE], excluding=[pointer.task_id for pointer in pointers[:5]], limit=9)
    assert rest == pointers[5:]


# --- failures ----------------------------------------------------------------------------------------------------


def test_three_failures_are_a_dead_letter_with_the_evidence(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    for n in range(3):
        assert (get(catalogue, document).state is S.FAILED, letters(catalogue)) == (False, [])
        fail(catalogue, Failure("internal", f"time {n}", permanent=False, evidence={"traceback": "…"}))
    document = get(catalogue, document)
    assert (document.state, document.code, document.reason) == (S.FAILED, "internal", "time 2")
    [letter] = letters(catalogue)
    assert (letter.attempts, letter.evidence, letter.stage) == (3, {"traceback": "…"}, Stage.PARSE)
    assert (due(catalogue), catalogue.tasks.open_count()) == ([], 0)


def test_a_permanent_failure_is_parked_at_once(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    fail(catalogue)
    assert (get(catalogue, document).code, len(letters(catalogue))) == ("damaged", 1)


def test_a_failed_new_version_leaves_the_old_one_live(catalogue: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs)
    accept(catalogue, submission(docs, text="two"))
    parse(catalogue)
    fail(catalogue, stage=Stage.EMBED)
    document = get(catalogue, document)
    assert (document.state, document.version, document.live_version) == (S.FAILED, 2, 1)
    assert catalogue.documents.live_states([document.id])[document.id].live_version == 1


def test_an_erase_is_never_given_up(catalogue: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs)
    catalogue.documents.delete(ADMIN, document.id)
    for _ in range(3):
        fail(catalogue, BROKEN, stage=Stage.ERASE)
    assert (letters(catalogue), catalogue.tasks.open_count()) == ([], 1)
    assert get(catalogue, document).state is S.DELETING


def test_what_was_postponed_is_due_when_its_time_comes_and_counts_for_nothing(
    catalogue: Catalogue, docs: Collection
) -> None:
    accept(catalogue, submission(docs))
    for _ in range(5):
        catalogue.tasks.postpone(claimed(catalogue), delay_s=0, growing=False)
    claim = claimed(catalogue)
    assert claim.failures == 0
    catalogue.tasks.postpone(claim, delay_s=0.5)
    assert due(catalogue) == []
    assert catalogue.tasks.claim(claim.task_id, worker="w", lease_s=60) is None
    time.sleep(0.55)
    assert due(catalogue) == [claim.task_id]


def test_what_is_postponed_time_after_time_rests_longer_until_something_else_becomes_of_it(
    catalogue: Catalogue, docs: Collection
) -> None:
    accept(catalogue, submission(docs))

    def rested() -> float:
        started = time.monotonic()
        while not due(catalogue):
            time.sleep(0.005)
        return time.monotonic() - started

    for n in range(5):
        catalogue.tasks.postpone(claimed(catalogue), delay_s=0.05)
        assert rested() > 0.05 * 2**n / 2 - 0.02
    # One more of these would be a rest of 0.8 s at least.
    catalogue.tasks.postpone(claimed(catalogue), delay_s=0.05, growing=False)
    assert rested() < 0.7
    catalogue.tasks.released(claimed(catalogue))
    assert rested() < 0.7
    fail(catalogue, BROKEN)
    catalogue.tasks.postpone(claimed(catalogue), delay_s=0.05)
    assert rested() < 0.7


def test_a_rest_is_jittered_and_never_longer_than_its_cap() -> None:
    policy = RetryPolicy(rest_cap_s=30)
    for postponed, longest in ((0, 1.0), (1, 2.0), (4, 16.0), (5, 30.0), (10_000, 30.0)):
        rests = [policy.rest(1.0, postponed) for _ in range(200)]
        assert longest / 2 <= min(rests) < max(rests) <= longest
        assert len(set(rests)) > 100
    assert policy.rest(60.0, 3) > 29  # who asks for more at once gets it


def test_two_deaths_of_its_worker_make_a_task_solitary(catalogue: Catalogue, docs: Collection) -> None:
    accept(catalogue, submission(docs, "a"), submission(docs, "b"))
    for _ in range(2):
        for task_id in due(catalogue):
            assert catalogue.tasks.claim(task_id, worker="w", lease_s=60)
        assert not any(p.solitary for p in catalogue.tasks.due(tuple(Stage), excluding=[], limit=9))
        catalogue.tasks.worker_died("w")
    pointers = catalogue.tasks.due(tuple(Stage), excluding=[], limit=9)
    assert [pointer.solitary for pointer in pointers] == [True, True]


def test_ten_deaths_alone_are_a_dead_letter_and_those_in_company_count_for_none(
    catalogue: Catalogue, docs: Collection
) -> None:
    document = accept(catalogue, submission(docs, "a"), submission(docs, "b"))
    other = catalogue.documents.page(ADMIN, external_id="a").items[0]
    for _ in range(12):
        for task_id in due(catalogue):
            catalogue.tasks.claim(task_id, worker="w", lease_s=60)
        catalogue.tasks.worker_died("w")
    assert letters(catalogue) == []
    catalogue.documents.delete(ADMIN, document.id)
    upkeep(catalogue)
    for n in range(10):
        assert letters(catalogue) == [], n
        claimed(catalogue, Stage.PARSE, of=other)
        catalogue.tasks.worker_died("w")
    [letter] = letters(catalogue)
    assert letter.code == "kills_worker"


def test_what_a_worker_that_stopped_held_is_owed_again_at_once_and_nobody_elses(
    catalogue: Catalogue, docs: Collection
) -> None:
    accept(catalogue, submission(docs, "a"), submission(docs, "b"), submission(docs, "c"))
    mine = [claimed(catalogue, worker="mine") for _ in range(2)]
    other = claimed(catalogue, worker="other")
    assert catalogue.leases.hold("janitor", holder="mine", seconds=60)
    assert catalogue.leases.hold("watcher", holder="other", seconds=60)
    catalogue.tasks.worker_stopped("mine")
    assert sorted(due(catalogue)) == sorted(claim.task_id for claim in mine)
    assert not catalogue.tasks.parsed(mine[0], outcome())
    assert catalogue.tasks.parsed(other, outcome())
    assert catalogue.leases.hold("janitor", holder="new", seconds=60)
    assert not catalogue.leases.hold("watcher", holder="new", seconds=60)


def test_a_worker_that_stops_while_it_works_alone_counts_for_nothing_however_often(
    catalogue: Catalogue, docs: Collection
) -> None:
    document = accept(catalogue, submission(docs))
    for _ in range(12):
        claim = claimed(catalogue)
        catalogue.tasks.worker_stopped("w")
    [pointer] = catalogue.tasks.due([Stage.PARSE], excluding=[], limit=9)
    assert (pointer.task_id, pointer.solitary, letters(catalogue)) == (claim.task_id, False, [])
    entries = catalogue.documents.timelines([document.id])[document.id]
    assert {entry.outcome for entry in entries} == {Outcome.RELEASED}
    assert claimed(catalogue).failures == 0
    catalogue.tasks.worker_stopped("nobody")


def test_a_parser_child_that_dies_alone_ten_times_is_a_dead_letter(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    for _ in range(10):
        catalogue.tasks.killed_alone(claimed(catalogue), reason="signal 11")
    document = get(catalogue, document)
    assert (document.state, document.code) == (S.FAILED, "kills_worker")
    assert "signal 11" in (document.reason or "")


def test_the_death_of_the_whole_group_counts_for_nothing(catalogue: Catalogue, docs: Collection) -> None:
    accept(catalogue, submission(docs))
    for _ in range(12):
        claimed(catalogue)
        assert catalogue.tasks.predecessors_died() == 1
    [pointer] = catalogue.tasks.due(tuple(Stage), excluding=[], limit=9)
    assert (pointer.solitary, letters(catalogue)) == (False, [])
    assert catalogue.tasks.predecessors_died() == 0


# --- failures that nobody saw: a lease ran out ---------------------------------------------------------------------

LAPSE_S = 0.08


def _busy(catalogue: Catalogue, docs: Collection, worker: str, *, lease_s: float = 60) -> Claim:
    """Has this worker begin something of its own."""
    return claimed(catalogue, of=accept(catalogue, submission(docs, f"of {worker}")), worker=worker, lease_s=lease_s)


def _vanish(catalogue: Catalogue, documents: list[Document], worker: str) -> list[int]:
    """This worker takes all of them and is never heard of again; the tasks."""
    tasks = [claimed(catalogue, of=document, worker=worker, lease_s=LAPSE_S).task_id for document in documents]
    time.sleep(LAPSE_S * 1.25)
    return tasks


def _solitary(catalogue: Catalogue) -> list[bool]:
    return [pointer.solitary for pointer in catalogue.tasks.due(tuple(Stage), excluding=[], limit=9)]


def test_a_lease_that_ran_out_is_a_suspicion_if_another_worker_outlived_it(
    catalogue: Catalogue, docs: Collection
) -> None:
    _busy(catalogue, docs, "witness")
    document = accept(catalogue, submission(docs))
    for n in range(2):
        assert _solitary(catalogue) == [False]
        [task] = _vanish(catalogue, [document], f"w{n}")
        again = catalogue.tasks.claim(task, worker="next", lease_s=60)
        assert again is not None
        catalogue.tasks.released(again)
    assert _solitary(catalogue) == [True]
    entries = catalogue.documents.timelines([document.id])[document.id]
    assert [entry.outcome for entry in entries] == [Outcome.INTERRUPTED, Outcome.RELEASED] * 2
    assert "died or stood still" in (entries[0].error or "")


def test_the_claiming_worker_is_a_witness_itself(catalogue: Catalogue, docs: Collection) -> None:
    catalogue.tasks.released(_busy(catalogue, docs, "next"))
    document = accept(catalogue, submission(docs))
    for n in range(2):
        [task] = _vanish(catalogue, [document], f"w{n}")
        again = catalogue.tasks.claim(task, worker="next", lease_s=60)
        assert again is not None
        catalogue.tasks.released(again)
    assert True in _solitary(catalogue)


def test_ten_leases_of_lone_tasks_that_ran_out_are_a_dead_letter(catalogue: Catalogue, docs: Collection) -> None:
    _busy(catalogue, docs, "witness")
    document = accept(catalogue, submission(docs))
    for n in range(10):
        assert letters(catalogue) == [], n
        [task] = _vanish(catalogue, [document], f"w{n}")
        again = catalogue.tasks.claim(task, worker="next", lease_s=60)
        if again is not None:
            catalogue.tasks.released(again)
    [letter] = letters(catalogue)
    assert (letter.code, get(catalogue, document).state, due(catalogue)) == ("kills_worker", S.FAILED, [])


def test_leases_that_ran_out_together_are_no_ones_fault_alone(catalogue: Catalogue, docs: Collection) -> None:
    _busy(catalogue, docs, "witness")
    documents = [accept(catalogue, submission(docs, name)) for name in "ab"]
    for n in range(11):
        for task in _vanish(catalogue, documents, f"w{n}"):
            again = catalogue.tasks.claim(task, worker="next", lease_s=60)
            assert again is not None
            catalogue.tasks.released(again)
    assert (letters(catalogue), _solitary(catalogue)) == ([], [True, True])


def test_a_parser_child_that_died_before_its_worker_does_not_make_its_worker_one_in_company(
    catalogue: Catalogue, docs: Collection
) -> None:
    _busy(catalogue, docs, "witness")
    document = accept(catalogue, submission(docs))
    for n in range(10):
        catalogue.tasks.killed_alone(_busy(catalogue, docs, f"w{n}"), reason="signal 11")
        catalogue.documents.delete(ADMIN, accept(catalogue, submission(docs, f"of w{n}")).id)
        [task] = _vanish(catalogue, [document], f"w{n}")
        again = catalogue.tasks.claim(task, worker="next", lease_s=60)
        if again is not None:
            catalogue.tasks.released(again)
    assert [letter.document_id for letter in letters(catalogue)] == [document.id]


@pytest.mark.parametrize("witness", ["none", "gone too", "came after", "the same worker"])
def test_a_lease_that_ran_out_counts_for_nothing_if_nobody_outlived_it(
    catalogue: Catalogue, docs: Collection, witness: str
) -> None:
    document = accept(catalogue, submission(docs))
    for n in range(3):
        if witness == "gone too":
            _busy(catalogue, docs, f"v{n}", lease_s=LAPSE_S)
        task = claimed(catalogue, of=document, worker=f"w{n}", lease_s=LAPSE_S).task_id
        held = []
        if witness == "came after":  # the group died and was started again before the leases ran out
            held.append(_busy(catalogue, docs, f"x{n}"))
        time.sleep(LAPSE_S * 1.25)
        worker = f"w{n}" if witness == "the same worker" else f"x{n}"
        again = catalogue.tasks.claim(task, worker=worker, lease_s=60)
        assert again is not None
        for claim in (again, *held):
            catalogue.tasks.released(claim)
    assert True not in _solitary(catalogue)


def test_who_began_before_the_last_heartbeat_outlived_it(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    for n in range(2):
        task = claimed(catalogue, of=document, worker=f"w{n}", lease_s=LAPSE_S).task_id
        witness = _busy(catalogue, docs, f"x{n}")
        catalogue.tasks.heartbeat(f"w{n}", lease_s=LAPSE_S)
        time.sleep(LAPSE_S * 1.25)
        again = catalogue.tasks.claim(task, worker="next", lease_s=60)
        assert again is not None
        catalogue.tasks.released(again)
        catalogue.tasks.released(witness)
    assert True in _solitary(catalogue)


def test_what_a_counted_death_gave_a_rest_is_not_claimed_before_it_is_over(catalogue_url: str) -> None:
    catalogue = SqlCatalogue(catalogue_url, policy=RetryPolicy(kill_base_s=0.3), migrate=True)
    docs = catalogue.collections.create("acme", "docs")
    _busy(catalogue, docs, "witness")
    [task] = _vanish(catalogue, [accept(catalogue, submission(docs))], "w")
    assert catalogue.tasks.claim(task, worker="next", lease_s=60) is None
    assert due(catalogue) == []
    assert len(catalogue.tasks.leased_attempts()) == 1
    time.sleep(0.35)
    assert catalogue.tasks.claim(task, worker="next", lease_s=60) is not None
    catalogue.close()


# --- the shown version ------------------------------------------------------------------------------------------


def page_of(catalogue: Catalogue, **asked: Any) -> list[Document]:
    return list(catalogue.documents.page(ADMIN, condition=parse_filter(asked)).items)


def html(collection: Collection, text: str = "two, longer", **said: Any) -> Submission:
    """The document "a" with other content, of another type, from another file."""
    made = submission(collection, "a", text, **said)
    content = replace(made.content, media_type="text/html", name="a.html")
    return replace(made, content=content, default_title="a.html", source="a.html")


def content_of(document: Document) -> tuple[Any, ...]:
    """What a document says of its content."""
    d = document
    return (d.title, d.source, d.media_type, d.language, d.bytes, d.sha256, d.pages, d.chunks, d.tokens)


@pytest.fixture
def first(catalogue: Catalogue, docs: Collection) -> Document:
    """A live document whose title was parsed."""
    document = accept(catalogue, submission(docs, metadata={"year": 2024}))
    parse(catalogue, pages=3, title="First", language="en")
    embed(catalogue)
    upkeep(catalogue)
    return get(catalogue, document)


NEW_VERSIONS: dict[str, Callable[[Catalogue, Collection], Any]] = {
    "received": lambda c, d: accept(c, html(d)),
    "parsing": lambda c, d: (accept(c, html(d)), claimed(c, Stage.PARSE)),
    "parsed": lambda c, d: (accept(c, html(d)), parse(c, pages=9, chunks=7, title="Second", language="de")),
    "failed to parse": lambda c, d: (accept(c, html(d)), fail(c)),
    "failed to embed": lambda c, d: (accept(c, html(d)), parse(c, pages=9, title="Second"), fail(c, stage=Stage.EMBED)),
    "refused": lambda c, d: accept(c, html(d, refusal=("too_large", "It is too large."))),
    "overtaken": lambda c, d: (accept(c, html(d, "x")), parse(c, title="X"), accept(c, html(d)), parse(c, title="Y")),
    "refused, then failed": lambda c, d: (accept(c, html(d, refusal=("x", "x"))), accept(c, html(d)), fail(c)),
}


@pytest.mark.parametrize("became", NEW_VERSIONS)
def test_a_new_version_that_is_not_live_changes_nothing_that_is_shown_filtered_or_counted(
    catalogue: Catalogue, docs: Collection, first: Document, became: str
) -> None:
    counted = catalogue.collections.statistics(ADMIN, docs)
    NEW_VERSIONS[became](catalogue, docs)
    document = get(catalogue, first)
    assert document.version > (document.live_version or 0) == 1
    assert content_of(document) == content_of(first)
    assert (document.rev, due(catalogue, Stage.REPAINT)) == (first.rev, [])
    assert page_of(catalogue, title="First", media_type="text/plain", pages=3, language="en", source="a.txt") != []
    assert page_of(catalogue, **{"$or": [{"media_type": "text/html"}, {"title": "Second"}, {"pages": 9}]}) == []
    after = catalogue.collections.statistics(ADMIN, docs)
    assert (after.live, after.chunks, after.bytes) == (counted.live, counted.chunks, counted.bytes)
    assert catalogue.documents.content_digest(document) == (first.sha256, "one")
    assert catalogue.documents.live_states([document.id])[document.id].title == "First"


def test_the_switch_shows_the_new_version_and_repaints_what_a_filter_asks(
    catalogue: Catalogue, docs: Collection, first: Document
) -> None:
    new = html(docs)
    accept(catalogue, new)
    parse(catalogue, pages=9, chunks=7, title="Second", language="de")
    embed(catalogue)
    document = get(catalogue, first)
    size = new.content.bytes
    assert content_of(document) == ("Second", "a.html", "text/html", "de", size, new.content.sha256, 9, 7, 10)
    assert document.rev == first.rev + 1
    assert claimed(catalogue, Stage.REPAINT).document == document
    assert page_of(catalogue, media_type="text/html", pages=9, title="Second") == [document]
    assert catalogue.collections.statistics(ADMIN, docs).bytes == size
    assert catalogue.documents.content_digest(document)[0] == document.sha256


def test_a_switch_that_changes_no_field_repaints_nothing(catalogue: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs)
    accept(catalogue, submission(docs, text="two"))
    parse(catalogue)
    embed(catalogue)
    assert (get(catalogue, document).rev, due(catalogue, Stage.REPAINT)) == (document.rev, [])


def test_a_worker_sees_the_document_as_it_will_be_when_its_version_is_live(
    catalogue: Catalogue, docs: Collection, first: Document
) -> None:
    accept(catalogue, html(docs))
    claim = claimed(catalogue, Stage.PARSE)
    assert (claim.document.title, claim.document.media_type, claim.document.pages) == ("a.html", "text/html", None)
    assert catalogue.tasks.parsed(claim, outcome(title="Second", pages=9))
    claim = claimed(catalogue, Stage.EMBED)
    assert (claim.document.title, claim.document.pages, claim.document.rev) == ("Second", 9, first.rev)
    assert claim.document.live_attempt == first.live_attempt
    catalogue.tasks.switch(claim, rev=first.rev, counts={})
    assert claim.document.filter_fields() == get(catalogue, first).filter_fields()


def test_attributes_given_meanwhile_hold_at_once_and_after_the_switch(
    catalogue: Catalogue, docs: Collection, first: Document
) -> None:
    accept(catalogue, html(docs, metadata={"year": 2025}))
    document = get(catalogue, first)
    assert (document.metadata, document.title, document.rev) == ({"year": 2025}, "First", first.rev + 1)
    assert claimed(catalogue, Stage.REPAINT).document.media_type == "text/plain"
    parse(catalogue, title="Second")
    catalogue.documents.patch(ADMIN, first.id, Attributes(title="Given", readers=("x",)), readers_reset=False)
    document = get(catalogue, first)
    assert (document.title, document.readers, document.media_type) == ("Given", ("x",), "text/plain")
    parse(catalogue, title="Second")
    embed(catalogue)
    document = get(catalogue, first)
    assert (document.title, document.readers, document.metadata) == ("Given", ("x",), {"year": 2025})
    assert (document.media_type, document.live_version) == ("text/html", 3)


def test_a_given_title_that_is_the_live_ones_is_embedded_into_the_version_on_its_way(
    catalogue: Catalogue, docs: Collection, first: Document
) -> None:
    accept(catalogue, html(docs))
    parse(catalogue, title="Second")
    patched = catalogue.documents.patch(ADMIN, first.id, Attributes(title="First"), readers_reset=False)
    assert (patched.version, patched.title) == (3, "First")


def test_the_same_content_is_what_the_newest_version_has(
    catalogue: Catalogue, docs: Collection, first: Document
) -> None:
    assert accept(catalogue, html(docs)).version == 2
    assert accept(catalogue, html(docs)).version == 2  # on its way
    assert accept(catalogue, submission(docs)).version == 3  # the live one's, which would be overtaken
    fail(catalogue)
    assert accept(catalogue, submission(docs)).version == 4
    batch = [html(docs), html(docs), submission(docs), submission(docs)]
    answers = catalogue.documents.accept(batch)
    assert {answer.version for answer in answers if isinstance(answer, Document)} == {6}
    assert content_of(get(catalogue, first)) == content_of(first)


def test_while_nothing_is_live_the_newest_version_is_shown(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    parse(catalogue, pages=3, title="First", language="en")
    assert content_of(get(catalogue, document))[0] == "First"
    new = html(docs)
    accept(catalogue, new)
    size, digest = new.content.bytes, new.content.sha256
    unread = ("a.html", "a.html", "text/html", None, size, digest, None, None, None)
    assert content_of(get(catalogue, document)) == unread
    fail(catalogue)
    assert content_of(get(catalogue, document)) == unread
    assert page_of(catalogue, media_type="text/html") != []
    assert page_of(catalogue, pages={"$exists": True}) == []
    again = catalogue.documents.reprocess(ADMIN, document.id, fingerprint="f2")
    parse(catalogue, pages=9, title="Second")
    assert content_of(get(catalogue, again))[:3] == ("Second", "a.html", "text/html")


def test_a_document_sent_again_after_its_delete_shows_nothing_of_what_it_was(
    catalogue: Catalogue, docs: Collection, first: Document
) -> None:
    catalogue.documents.delete(ADMIN, first.id)
    assert content_of(get(catalogue, first)) == content_of(first)  # a tombstone says what it was
    new = replace(html(docs), source=None)
    reborn = accept(catalogue, new)
    digest, size = new.content.sha256, new.content.bytes
    assert content_of(reborn) == ("a.html", None, "text/html", None, size, digest, None, None, None)
    assert reborn.metadata == {}


def test_a_reprocessed_version_shows_what_it_found_when_it_is_live(
    catalogue: Catalogue, docs: Collection, first: Document
) -> None:
    catalogue.documents.reprocess(ADMIN, first.id, fingerprint="f2")
    parse(catalogue, pages=4, title="Better", code="pages_failed", reason="page 3")
    assert content_of(get(catalogue, first)) == content_of(first)
    embed(catalogue)
    document = get(catalogue, first)
    assert (document.title, document.pages, document.sha256) == ("Better", 4, first.sha256)
    assert (document.state, document.code) == (S.PARTIAL, "pages_failed")


@pytest.mark.parametrize("with_a_live_version", [False, True])
def test_what_was_refused_at_intake_cannot_be_processed_again(
    catalogue: Catalogue, docs: Collection, with_a_live_version: bool
) -> None:
    if with_a_live_version:
        live(catalogue, docs)
    document = accept(catalogue, html(docs, refusal=("too_large", "It is too large.")))
    for decided in (False, True):
        if decided:
            catalogue.dead_letters.drop(ADMIN, letters(catalogue)[0].id)
        with pytest.raises(Conflict, match="send a mended one"):
            catalogue.documents.reprocess(ADMIN, document.id, fingerprint="f2")
    assert (get(catalogue, document), due(catalogue)) == (document, [])
    if not with_a_live_version:
        with pytest.raises(NotFound):
            catalogue.documents.content_digest(document)


def test_a_dead_letter_and_its_quarantine_are_of_the_versions_own_content(
    catalogue: Catalogue, docs: Collection, first: Document
) -> None:
    accept(catalogue, html(docs, "poison"))
    fail(catalogue, Failure("kills_worker", "dead", permanent=True))
    poison = replace(html(docs, "poison"), identity_value="b")
    assert isinstance(catalogue.documents.accept([poison])[0], Quarantined)
    assert accept(catalogue, submission(docs, "c", "one")).state is S.RECEIVED
    assert content_of(get(catalogue, first)) == content_of(first)


# --- deleting ----------------------------------------------------------------------------------------------------


def _in_state(catalogue: Catalogue, docs: Collection, state: DocumentState) -> Document:
    if state in {S.SEARCHABLE, S.DELETING}:
        document = live(catalogue, docs)
        return catalogue.documents.delete(ADMIN, document.id) if state is S.DELETING else document
    document = accept(catalogue, submission(docs))
    match state:
        case S.PARSING:
            claimed(catalogue, lease_s=0.05)
        case S.EMBEDDING:
            parse(catalogue)
            claimed(catalogue, Stage.EMBED, lease_s=0.05)
        case S.FAILED:
            fail(catalogue)
        case S.PARTIAL:
            parse(catalogue, code="pages_failed", reason="page 3")
            embed(catalogue)
    return get(catalogue, document)


@pytest.mark.parametrize("state", [s for s in S if s is not S.DELETED])
def test_a_delete_works_in_every_state_and_ends_after_its_erase(
    catalogue: Catalogue, docs: Collection, state: DocumentState
) -> None:
    document = _in_state(catalogue, docs, state)
    assert document.state is state
    deleting = catalogue.documents.delete(ADMIN, document.id)
    assert deleting.state is S.DELETING
    assert (deleting.live_version, deleting.live_attempt) == (None, None)
    assert catalogue.documents.live_states([document.id])[document.id].gone
    upkeep(catalogue)
    assert get(catalogue, document).state is S.DELETED
    time.sleep(0.06)
    for task_id in due(catalogue):
        assert catalogue.tasks.claim(task_id, worker="w", lease_s=60) is None
    assert (catalogue.tasks.open_count(), letters(catalogue)) == (0, [])
    assert catalogue.documents.delete(ADMIN, document.id).state is S.DELETED
    assert catalogue.documents.page(ADMIN).items == []
    assert [d.id for d in catalogue.documents.page(ADMIN, state=S.DELETED).items] == [document.id]


@pytest.mark.parametrize("stage", [Stage.PARSE, Stage.EMBED])
def test_an_older_lease_that_lives_blocks_the_end_of_a_delete(
    catalogue: Catalogue, docs: Collection, stage: Stage
) -> None:
    document = accept(catalogue, submission(docs))
    if stage is Stage.EMBED:
        parse(catalogue)
    working = claimed(catalogue, stage)
    catalogue.documents.delete(ADMIN, document.id)
    erase = claimed(catalogue, Stage.ERASE)
    assert catalogue.tasks.blocking_leases(erase)
    if stage is Stage.PARSE:
        assert catalogue.tasks.parsed(working, outcome()) is False
    else:
        assert catalogue.tasks.switch(working, rev=1, counts={})[0] is Switch.OVERTAKEN
    assert not catalogue.tasks.blocking_leases(erase)


def test_a_deleted_document_can_no_longer_be_changed(catalogue: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs)
    catalogue.documents.delete(ADMIN, document.id)
    with pytest.raises(Conflict):
        catalogue.documents.patch(ADMIN, document.id, Attributes(title="x"), readers_reset=False)
    with pytest.raises(Conflict):
        catalogue.documents.reprocess(ADMIN, document.id, fingerprint="f2")


def test_a_collection_is_deleted_in_portions_and_its_name_is_free_afterwards(
    catalogue: Catalogue, docs: Collection
) -> None:
    accept(catalogue, *(submission(docs, f"d{n}") for n in range(5)))
    other = live(catalogue, catalogue.collections.create("acme", "other"), "kept")
    catalogue.collections.delete("acme", "docs")
    for action in (
        lambda: catalogue.collections.by_name("acme", "docs"),
        lambda: catalogue.collections.delete("acme", "docs"),
        lambda: catalogue.collections.readable(ADMIN, ["docs"]),
    ):
        with pytest.raises(NotFound):
            action()
    assert [c.name for c in catalogue.collections.readable(ADMIN)] == ["other"]
    taken = [catalogue.collections.take_deletions(limit=2) for _ in range(4)]
    assert taken == [2, 2, 1, 0]
    with pytest.raises(Conflict):
        catalogue.collections.create("acme", "docs")
    upkeep(catalogue)
    assert catalogue.collections.take_deletions(limit=2) == 0
    again = catalogue.collections.create("acme", "docs")
    assert again.id != docs.id
    with pytest.raises(Conflict):
        catalogue.collections.create("acme", "docs")
    assert catalogue.collections.statistics(ADMIN, again).total == 0
    assert get(catalogue, other).state is S.SEARCHABLE
    assert accept(catalogue, submission(again, "d0")).version == 1


def test_a_tombstone_keeps_the_name_of_its_deleted_collection(catalogue: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs)
    catalogue.collections.delete("acme", "docs")
    assert [one.id for one in catalogue.collections.ever_named(ADMIN, "docs")] == [docs.id]
    while catalogue.collections.take_deletions(limit=9) or due(catalogue):
        upkeep(catalogue)
    assert (get(catalogue, document).state, get(catalogue, document).collection) == (S.DELETED, "docs")
    with pytest.raises(NotFound):
        catalogue.collections.by_name("acme", "docs")
    assert isinstance(catalogue.documents.accept([submission(docs)])[0], NotFound)
    again = catalogue.collections.create("acme", "docs")
    kept = live(catalogue, again)
    catalogue.documents.delete(ADMIN, kept.id)
    upkeep(catalogue)
    named = catalogue.collections.ever_named(ADMIN, "docs")
    assert [one.id for one in named] == [docs.id, again.id]
    listed = catalogue.documents.page(ADMIN, collection_ids=[one.id for one in named], state=S.DELETED)
    assert {(one.id, one.collection) for one in listed.items} == {(document.id, "docs"), (kept.id, "docs")}
    assert catalogue.documents.live_states([document.id])[document.id].gone
    with pytest.raises(NotFound):
        catalogue.collections.ever_named(ADMIN, "never")
    assert [one.name for one in catalogue.collections.readable(ADMIN)] == ["docs"]


def test_statistics_count_live_versions_and_leave_tombstones_out_of_the_total(
    catalogue: Catalogue, docs: Collection
) -> None:
    gone = live(catalogue, docs, "gone", "12345")
    live(catalogue, docs, "here", "1234567")
    accept(catalogue, submission(docs, "new"))
    catalogue.documents.delete(ADMIN, gone.id)
    upkeep(catalogue)
    found = catalogue.collections.statistics(ADMIN, docs)
    assert (found.total, found.live, found.chunks, found.bytes) == (2, 1, 2, 7)
    assert found.by_state == {"searchable": 1, "received": 1, "deleted": 1}


def test_statistics_count_what_one_may_see(catalogue: Catalogue, docs: Collection) -> None:
    live(catalogue, docs, "open", "12345")
    hidden = live(catalogue, docs, "hidden", "1234567")
    catalogue.documents.patch(ADMIN, hidden.id, Attributes(readers=("group:a",)), readers_reset=False)
    held = Principal("acme", frozenset({"group:a"}), frozenset({Scope.READ}))
    other = Principal("acme", frozenset({"group:b"}), frozenset({Scope.READ}))
    elsewhere = Principal("acme", frozenset({"group:a"}), frozenset({Scope.READ}), frozenset())
    seen = [catalogue.collections.statistics(one, docs) for one in (ADMIN, held, other, elsewhere)]
    assert [(one.total, one.live, one.bytes) for one in seen] == [(2, 2, 12), (2, 2, 12), (1, 1, 5), (0, 0, 0)]
    assert seen[2].by_state == {"searchable": 1}


# --- changing ----------------------------------------------------------------------------------------------------


def test_a_patch_is_shown_at_once_and_owes_a_repaint(catalogue: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs)
    said = Attributes(readers=("user:ann",), metadata={"year": 2024})
    patched = catalogue.documents.patch(ADMIN, document.id, said, readers_reset=False)
    assert (patched.readers, patched.metadata, patched.version) == (("user:ann",), {"year": 2024}, 1)
    assert patched.rev == document.rev + 1
    assert catalogue.documents.live_states([document.id])[document.id].readers == ("user:ann",)
    assert claimed(catalogue).stage is Stage.REPAINT
    unchanged = catalogue.documents.patch(ADMIN, document.id, said, readers_reset=False)
    assert (unchanged.rev, due(catalogue)) == (patched.rev, [])


def test_readers_can_be_nobody_and_put_back_to_the_collections_default(catalogue: Catalogue) -> None:
    docs = catalogue.collections.create("acme", "docs", default_readers=("group:a",))
    document = live(catalogue, docs)
    assert document.readers == ("group:a",)
    patch = catalogue.documents.patch
    assert patch(ADMIN, document.id, Attributes(readers=()), readers_reset=False).readers == ()
    assert patch(ADMIN, document.id, Attributes(), readers_reset=True).readers == ("group:a",)
    catalogue.collections.update("acme", "docs", default_readers=None)
    assert get(catalogue, document).readers == ("group:a",)
    assert patch(ADMIN, document.id, Attributes(), readers_reset=True).readers == ("*",)


def test_a_new_title_is_a_new_version_of_the_same_content(catalogue: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs)
    patched = catalogue.documents.patch(ADMIN, document.id, Attributes(title="New"), readers_reset=False)
    assert (patched.title, patched.version, patched.live_version, patched.state) == ("New", 2, 1, S.RECEIVED)
    claim = claimed(catalogue, Stage.PARSE)
    assert claim.content is not None
    assert (claim.content.inline_text, claim.reuse_vectors) == ("one", True)


def test_a_new_title_after_the_newest_version_failed_owes_the_live_one_again(
    catalogue: Catalogue, docs: Collection
) -> None:
    document = live(catalogue, docs)
    accept(catalogue, submission(docs, text="two"))
    fail(catalogue)
    patched = catalogue.documents.patch(ADMIN, document.id, Attributes(title="New"), readers_reset=False)
    assert (patched.title, patched.version, patched.state, patched.code) == ("New", 2, S.FAILED, "damaged")
    parsing = claimed(catalogue, Stage.PARSE)
    assert parsing.content is not None
    assert (parsing.version, parsing.content.inline_text, parsing.document.title) == (1, "one", "New")
    assert catalogue.tasks.parsed(parsing, outcome())
    embed(catalogue)
    shown = get(catalogue, document)
    assert (shown.state, shown.code, shown.version, shown.live_version) == (S.FAILED, "damaged", 2, 1)
    assert shown.live_attempt != document.live_attempt
    upkeep(catalogue)
    assert (catalogue.tasks.open_count(), len(letters(catalogue))) == (0, 1)
    catalogue.documents.patch(ADMIN, document.id, Attributes(title="New", readers=("x",)), readers_reset=False)
    assert due(catalogue, Stage.PARSE, Stage.EMBED) == []


@pytest.mark.parametrize("given", [True, False])
def test_a_title_whose_version_fails_owes_the_live_one_again(
    catalogue: Catalogue, docs: Collection, given: bool
) -> None:
    document = live(catalogue, docs)
    if given:
        catalogue.documents.patch(ADMIN, document.id, Attributes(title="New"), readers_reset=False)
    else:
        accept(catalogue, submission(docs, text="two"))
    fail(catalogue)
    owed = catalogue.tasks.due([Stage.PARSE], excluding=[], limit=9)
    assert len(owed) == given
    if given:
        fail(catalogue)
        assert due(catalogue, Stage.PARSE) == []
        assert (get(catalogue, document).live_attempt, len(letters(catalogue))) == (document.live_attempt, 1)


def test_reprocessing_is_a_new_version_that_reuses_nothing(catalogue: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs)
    again = catalogue.documents.reprocess(ADMIN, document.id, fingerprint="f2")
    assert (again.version, again.live_version, again.sha256) == (2, 1, document.sha256)
    parse(catalogue)
    assert claimed(catalogue, Stage.EMBED).reuse_vectors is False


def test_a_partial_document_says_why(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    parse(catalogue, code="pages_failed", reason="page 3: damaged")
    embed(catalogue)
    document = get(catalogue, document)
    assert (document.state, document.code, document.reason) == (S.PARTIAL, "pages_failed", "page 3: damaged")


def test_lists_are_paged_in_a_stable_order_and_filtered(catalogue: Catalogue, docs: Collection) -> None:
    accept(catalogue, *(submission(docs, f"d{n}", metadata={"n": n}) for n in range(7)))
    seen, after = [], None
    for _ in range(4):
        page = catalogue.documents.page(ADMIN, after=after, limit=2)
        seen += [document.id for document in page.items]
        after = page.next
    assert (len(seen), len(set(seen)), after) == (7, 7, None)
    condition = parse_filter({"metadata.n": {"$gte": 5}})
    assert {d.external_id for d in catalogue.documents.page(ADMIN, condition=condition).items} == {"d5", "d6"}
    assert [d.external_id for d in catalogue.documents.page(ADMIN, external_id="d3").items] == ["d3"]
    names = ["a", "b", "c"]
    for name in names:
        catalogue.collections.create("pages", name)
    principal = replace(ADMIN, tenant="pages")
    first = catalogue.collections.page(principal, after=None, limit=2)
    assert [c.name for c in first.items] + [
        c.name for c in catalogue.collections.page(principal, after=first.next, limit=2).items
    ] == names


# --- dead letters ------------------------------------------------------------------------------------------------


def test_a_redriven_dead_letter_starts_its_stage_again(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    parse(catalogue)
    fail(catalogue, stage=Stage.EMBED)
    [letter] = letters(catalogue, collection_id=docs.id, code="damaged")
    assert catalogue.dead_letters.get(ADMIN, letter.id) == letter
    assert letters(catalogue, code="other") == []
    again = catalogue.dead_letters.redrive(ADMIN, letter.id)
    assert (again.state, again.code, letters(catalogue)) == (S.EMBEDDING, None, [])
    with pytest.raises(Conflict):
        catalogue.dead_letters.redrive(ADMIN, letter.id)
    embed(catalogue)
    assert get(catalogue, document).state is S.SEARCHABLE


def test_a_redriven_task_has_all_its_tries_again(catalogue: Catalogue, docs: Collection) -> None:
    accept(catalogue, submission(docs))
    for _ in range(3):
        fail(catalogue, BROKEN)
    catalogue.dead_letters.redrive(ADMIN, letters(catalogue)[0].id)
    fail(catalogue, BROKEN)
    fail(catalogue, BROKEN)
    assert letters(catalogue) == []


def test_a_dropped_dead_letter_is_gone_and_its_document_stays_failed(catalogue: Catalogue, docs: Collection) -> None:
    document = accept(catalogue, submission(docs))
    fail(catalogue)
    [letter] = letters(catalogue)
    catalogue.dead_letters.drop(ADMIN, letter.id)
    assert (letters(catalogue), get(catalogue, document).state) == ([], S.FAILED)
    with pytest.raises(NotFound):
        catalogue.dead_letters.drop(ADMIN, letter.id)


@pytest.mark.parametrize("by", ["redriven", "dropped", "superseded", "deleted", "published"])
def test_a_closed_dead_letter_says_when_and_by_what(catalogue: Catalogue, docs: Collection, by: str) -> None:
    document = live(catalogue, docs)
    attempt = document.live_attempt
    assert attempt is not None
    assert catalogue.tasks.owe_embedding(document.id, attempt=attempt)
    fail(catalogue, stage=Stage.EMBED)
    [letter] = letters(catalogue)
    assert (letter.closed_at, letter.closed_by) == (None, None)
    started = time.time()
    match by:
        case "redriven":
            catalogue.dead_letters.redrive(ADMIN, letter.id)
        case "dropped":
            catalogue.dead_letters.drop(ADMIN, letter.id)
        case "superseded":
            accept(catalogue, submission(docs, text="two"))
        case "deleted":
            catalogue.documents.delete(ADMIN, document.id)
        case _:
            assert catalogue.tasks.owe_embedding(document.id, attempt=attempt)
            embed(catalogue)
    closed = catalogue.dead_letters.get(ADMIN, letter.id)
    assert closed.closed_by == by
    assert closed.closed_at is not None
    assert started <= closed.closed_at <= time.time()
    assert replace(closed, closed_at=None, closed_by=None) == letter


@pytest.mark.parametrize("how", ["new content", "delete", "reprocess"])
def test_a_dead_letter_closes_itself_when_its_version_is_overtaken(
    catalogue: Catalogue, docs: Collection, how: str
) -> None:
    document = accept(catalogue, submission(docs))
    fail(catalogue)
    [letter] = letters(catalogue)
    match how:
        case "new content":
            accept(catalogue, submission(docs, text="two"))
        case "delete":
            catalogue.documents.delete(ADMIN, document.id)
        case _:
            catalogue.documents.reprocess(ADMIN, document.id, fingerprint="f1")
    assert letters(catalogue) == []
    with pytest.raises(Conflict):
        catalogue.dead_letters.redrive(ADMIN, letter.id)


def test_dead_letters_are_paged(catalogue: Catalogue, docs: Collection) -> None:
    accept(catalogue, *(submission(docs, f"d{n}") for n in range(5)))
    for _ in range(5):
        fail(catalogue)
    seen, after = [], None
    for _ in range(3):
        page = catalogue.dead_letters.page(ADMIN, collection_id=None, code=None, after=after, limit=2)
        seen += [letter.id for letter in page.items]
        after = page.next
    assert (len(set(seen)), after) == (5, None)


EVERY = LetterSelection()


def _all(step: Callable[..., int], which: LetterSelection = EVERY) -> list[int]:
    """The sizes of the portions, until there is nothing left."""
    sizes = []
    while some := step(ADMIN, which, limit=2):
        sizes.append(some)
    return sizes


def test_many_dead_letters_are_redriven_in_portions_whatever_stage_they_are_of(
    catalogue: Catalogue, docs: Collection
) -> None:
    parsing = [accept(catalogue, submission(docs, f"p{n}")) for n in range(3)]
    for _ in parsing:
        fail(catalogue)
    embedding = [accept(catalogue, submission(docs, f"e{n}")) for n in range(2)]
    for document in embedding:
        parse(catalogue, document)
        fail(catalogue, stage=Stage.EMBED)
    assert catalogue.dead_letters.count(ADMIN, EVERY)[0] == 5
    assert _all(catalogue.dead_letters.redrive_some) == [2, 2, 1]
    assert {get(catalogue, one).state for one in parsing} == {S.RECEIVED}
    assert {get(catalogue, one).state for one in embedding} == {S.EMBEDDING}
    assert {get(catalogue, one).code for one in [*parsing, *embedding]} == {None}
    assert (letters(catalogue), len(due(catalogue))) == ([], 5)
    for document in parsing:
        parse(catalogue, document)
    for document in [*parsing, *embedding]:
        embed(catalogue, document)


def test_many_dead_letters_are_dropped_in_portions_and_their_documents_stay_failed(
    catalogue: Catalogue, docs: Collection
) -> None:
    documents = [accept(catalogue, submission(docs, f"d{n}")) for n in range(3)]
    for _ in documents:
        fail(catalogue)
    known = letters(catalogue)
    assert _all(catalogue.dead_letters.drop_some) == [2, 1]
    assert {catalogue.dead_letters.get(ADMIN, letter.id).closed_by for letter in known} == {"dropped"}
    assert {get(catalogue, document).state for document in documents} == {S.FAILED}
    assert (letters(catalogue), due(catalogue)) == ([], [])


@pytest.mark.parametrize("by", ["code", "collection", "since", "until", "all of it"])
@pytest.mark.parametrize("decision", ["redrive_some", "drop_some"])
def test_of_many_dead_letters_those_are_decided_that_were_named(
    catalogue: Catalogue, docs: Collection, by: str, decision: str
) -> None:
    other = catalogue.collections.create("acme", "other")
    for collection, code in ((docs, "damaged"), (other, "damaged"), (docs, "no_text"), (docs, "damaged")):
        accept(catalogue, submission(collection, f"{collection.name}{code}{len(letters(catalogue))}"))
        fail(catalogue, Failure(code, "it cannot be read", permanent=True))
        time.sleep(0.01)
    oldest_first = letters(catalogue)[::-1]
    which, expected = {
        "code": (LetterSelection(code="damaged"), [0, 1, 3]),
        "collection": (LetterSelection(collection_id=other.id), [1]),
        "since": (LetterSelection(since=oldest_first[2].created_at), [2, 3]),
        "until": (LetterSelection(until=oldest_first[2].created_at), [0, 1]),
        "all of it": (LetterSelection(docs.id, "damaged", since=oldest_first[1].created_at), [3]),
    }[by]
    assert catalogue.dead_letters.count(ADMIN, which)[0] == len(expected)
    assert sum(_all(getattr(catalogue.dead_letters, decision), which)) == len(expected)
    left = {letter.id for letter in letters(catalogue)}
    assert [letter.id not in left for letter in oldest_first] == [n in expected for n in range(4)]


def test_what_comes_back_while_many_are_redriven_is_left(catalogue: Catalogue, docs: Collection) -> None:
    accept(catalogue, submission(docs))
    fail(catalogue)
    _, moment = catalogue.dead_letters.count(ADMIN, EVERY)
    which = LetterSelection(until=moment)
    assert catalogue.dead_letters.redrive_some(ADMIN, which, limit=9) == 1
    fail(catalogue)
    assert catalogue.dead_letters.redrive_some(ADMIN, which, limit=9) == 0
    assert len(letters(catalogue)) == 1


def test_files_that_intake_refused_are_dropped_with_the_others_but_not_redriven(
    catalogue: Catalogue, docs: Collection
) -> None:
    accept(catalogue, submission(docs, "a", refusal=("too_large", "too large")), submission(docs, "b"))
    fail(catalogue)
    redrivable = LetterSelection(redrivable=True)
    assert (catalogue.dead_letters.count(ADMIN, EVERY)[0], catalogue.dead_letters.count(ADMIN, redrivable)[0]) == (2, 1)
    assert _all(catalogue.dead_letters.redrive_some) == [1]
    assert [letter.code for letter in letters(catalogue)] == ["too_large"]
    assert _all(catalogue.dead_letters.drop_some) == [1]


@pytest.mark.parametrize("release", ["redrive_some", "drop_some"])
def test_deciding_many_releases_their_content_from_quarantine(
    catalogue: Catalogue, docs: Collection, release: str
) -> None:
    accept(catalogue, submission(docs, text="poison"))
    fail(catalogue, Failure("kills_worker", "dead", permanent=True))
    assert isinstance(catalogue.documents.accept([submission(docs, "b", "poison")])[0], Quarantined)
    assert _all(getattr(catalogue.dead_letters, release)) == [1]
    assert accept(catalogue, submission(docs, "b", "poison")).state is S.RECEIVED


def test_a_dead_letter_is_unannounced_until_somebody_outside_was_told(catalogue: Catalogue, docs: Collection) -> None:
    accept(catalogue, submission(docs, "a", refusal=("too_large", "too large")), *(submission(docs, n) for n in "bc"))
    fail(catalogue)
    fail(catalogue)
    waiting = catalogue.dead_letters.unannounced(limit=9)
    assert {letter.id for letter in waiting} == {letter.id for letter in letters(catalogue)}
    assert waiting[-1].sha256 == hashlib.sha256(b"one").hexdigest()
    catalogue.dead_letters.drop(ADMIN, waiting[1].id)
    assert [letter.id for letter in catalogue.dead_letters.unannounced(limit=2)] == [one.id for one in waiting[:2]]
    catalogue.dead_letters.announced([waiting[0].id, waiting[1].id])
    assert [letter.id for letter in catalogue.dead_letters.unannounced(limit=9)] == [waiting[2].id]


# --- around ------------------------------------------------------------------------------------------------------


def test_a_named_lease_has_one_holder_until_it_is_released_or_runs_out(catalogue: Catalogue) -> None:
    hold = catalogue.leases.hold
    assert hold("janitor", holder="a", seconds=60)
    assert hold("janitor", holder="a", seconds=60)
    assert not hold("janitor", holder="b", seconds=60)
    assert hold("watcher", holder="b", seconds=60)
    catalogue.leases.release("janitor", holder="b")
    assert not hold("janitor", holder="b", seconds=60)
    catalogue.leases.release("janitor", holder="a")
    assert hold("janitor", holder="b", seconds=0.05)
    time.sleep(0.1)
    assert hold("janitor", holder="c", seconds=60)


@pytest.mark.parametrize("death", ["its worker's", "the whole group's"])
def test_the_named_leases_of_the_dead_are_free_at_once(catalogue: Catalogue, death: str) -> None:
    assert catalogue.leases.hold("janitor", holder="w", seconds=60)
    if death == "its worker's":
        catalogue.tasks.worker_died("another")
        assert not catalogue.leases.hold("janitor", holder="successor", seconds=60)
        catalogue.tasks.worker_died("w")
    else:
        catalogue.tasks.predecessors_died()
    assert catalogue.leases.hold("janitor", holder="successor", seconds=60)


def test_of_many_who_ask_for_a_lease_at_once_one_holds_it(catalogue: Catalogue) -> None:
    with ThreadPoolExecutor(8) as pool:
        held = list(pool.map(lambda n: catalogue.leases.hold("x", holder=f"h{n}", seconds=60), range(8)))
    assert held.count(True) == 1


def test_a_sweep_takes_no_blob_that_is_referenced_or_was_touched(catalogue: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs)
    for digest in (document.sha256, "c" * 64, "orphan"):
        catalogue.blobs.touch("acme", digest)
    catalogue.blobs.touch("other", document.sha256)
    swept: list[tuple[str, str]] = []

    def sweep(untouched_since: float) -> int:
        return catalogue.blobs.sweep(lambda *blob: swept.append(blob), untouched_since=untouched_since, limit=9)

    assert sweep(time.time() - 60) == 0
    assert sweep(time.time() + 1) == 2
    assert set(swept) == {("acme", "orphan"), ("other", document.sha256)}
    accept(catalogue, submission(docs, text="two"))
    parse(catalogue)
    embed(catalogue)
    upkeep(catalogue)
    swept.clear()
    assert sweep(time.time() + 1) == 1
    assert swept == [("acme", document.sha256)]
    catalogue.documents.delete(ADMIN, document.id)
    upkeep(catalogue)
    assert sweep(time.time() + 1) == 1


def test_a_blob_whose_removal_fails_is_still_known(catalogue: Catalogue) -> None:
    catalogue.blobs.touch("acme", "orphan")

    def refuse(_tenant: str, _digest: str) -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        catalogue.blobs.sweep(refuse, untouched_since=time.time() + 1, limit=9)
    assert catalogue.blobs.sweep(lambda *_: None, untouched_since=time.time() + 1, limit=9) == 1


def test_what_was_written_is_there_after_reopening(opened: Opener) -> None:
    first = opened()
    docs = first.collections.create("acme", "docs", metadata_schema={"type": "object"})
    document = live(first, docs, metadata={"n": 1.5, "list": ["a", True, 2]})
    accept(first, submission(docs, "b"))
    file = DropFile(
        *("a/b.txt", "a", 1, 2, "s", "d", document.id), missing_since=3.5, held=True, ctime_ns=3, described=("title",)
    )
    first.drop_files.remember([file])
    first.close()
    second = opened()
    assert second.collections.by_name("acme", "docs") == docs
    assert get(second, document) == document
    assert len(due(second, Stage.PARSE)) == 1
    assert second.drop_files.all() == {"a/b.txt": file}


def test_what_others_change_of_the_drop_files_is_seen_at_the_next_look(opened: Opener) -> None:
    one, other = opened(), opened()
    assert one.drop_files.all() == {}
    file = DropFile("a/b.txt", "a", 1, 2, "s", "d", "x", missing_since=3.5, held=True)
    other.drop_files.remember([file])
    assert one.drop_files.all() == {"a/b.txt": file}
    one.drop_files.all().clear()  # what is handed out is the caller's own
    assert one.drop_files.all() == {"a/b.txt": file}
    assert other.drop_files.decide_held(delete=True) == 1
    assert one.drop_files.all()["a/b.txt"].missing_since == CONFIRMED
    other.drop_files.remember([file])
    assert other.drop_files.decide_held(delete=False) == 1
    assert one.drop_files.all() == other.drop_files.all() == {}
    other.drop_files.remember([file])
    other.drop_files.forget(["a/b.txt"])
    assert one.drop_files.all() == {}


def test_many_drop_files_that_nobody_touched_are_not_read_again(catalogue: Catalogue) -> None:
    catalogue.drop_files.remember([DropFile(f"a/{n}.txt", "a", 1, 2, "s", "d", "x") for n in range(1_000)])

    def look() -> float:
        started = time.thread_time()
        assert len(catalogue.drop_files.all()) == 1_000
        catalogue.drop_files.scanned(1.0)
        return time.thread_time() - started

    first = look()
    assert min(look() for _ in range(5)) < first / 3


def test_a_newer_schema_is_refused_in_one_line(opened: Opener) -> None:
    first = opened()
    assert isinstance(first, SqlCatalogue)
    with first._database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    first.close()
    with pytest.raises(Conflict) as refused:
        opened()
    message = str(refused.value)
    assert ("9999" in message, "newer ragstone" in message, "\n" in message) == (True, True, False)


def test_another_embedding_spec_is_refused_with_the_remedy(catalogue: Catalogue) -> None:
    spec = {"model": "small", "digest": "d1", "dimension": 384}
    catalogue.bind_model(spec)
    catalogue.bind_model(dict(spec))
    with pytest.raises(Conflict, match=r"small .* RAGSTONE_EMBEDDER__MODEL"):
        catalogue.bind_model(spec | {"model": "large", "digest": "d2"})
    catalogue.bind_model(spec)


def test_where_the_model_is_kept_is_known_to_whoever_comes_later(opened: Opener) -> None:
    catalogue, spec = opened(), {"model": "small", "digest": "d1", "dimension": 384}
    assert catalogue.bound_model() is None
    catalogue.bind_model(spec)
    assert opened().bound_model() == BoundModel(spec, None)
    catalogue.bind_model(spec, archive="a1")
    catalogue.bind_model(spec, archive="a2")
    catalogue.bind_model(spec)
    assert opened().bound_model() == BoundModel(spec, "a2")
    with pytest.raises(Conflict):
        catalogue.bind_model(spec | {"digest": "d2"}, archive="a3")
    assert opened().bound_model() == BoundModel(spec, "a2")


def test_what_is_owed_is_counted_held_or_not_and_no_further_than_asked(catalogue: Catalogue, docs: Collection) -> None:
    gone, kept = live(catalogue, docs, "gone", "gone"), live(catalogue, docs, "kept", "kept")
    tasks = catalogue.tasks
    assert (tasks.open_count(), tasks.backlog(at_most=9)) == (0, 0)
    accept(
        catalogue, *(submission(docs, name, lane=lane) for name, lane in zip("abc", [*Lane, Lane.BULK], strict=True))
    )
    parse(catalogue)
    claimed(catalogue, Stage.PARSE)
    catalogue.documents.delete(ADMIN, gone.id)
    assert [tasks.open_count(at_most=most) for most in (1, 4, 9)] == [1, 4, 4]
    assert [tasks.backlog(at_most=most) for most in (1, 3, 9)] == [1, 3, 3]
    assert tasks.owe_embedding(kept.id, attempt=kept.live_attempt)
    assert (tasks.open_count(), tasks.backlog(at_most=9)) == (5, 3)
    accept(catalogue, submission(docs, "kept", "newer"))
    assert tasks.backlog(at_most=9) == 4


def test_what_a_scan_left_for_later_is_said_until_a_scan_leaves_nothing(catalogue: Catalogue) -> None:
    files = catalogue.drop_files
    assert (files.report().last_scan, files.report().waiting) == (None, "")
    files.scanned(1.5, waiting="too much")
    assert (files.report().last_scan, files.report().waiting) == (1.5, "too much")
    files.scanned(2.5)
    assert (files.report().last_scan, files.report().waiting) == (2.5, "")


def test_changes_move_when_another_connection_commits(opened: Opener) -> None:
    watching, writing = opened(), opened()
    before = watching.changes()
    writing.collections.create("acme", "docs")
    assert watching.changes() != before


def test_owing_an_embedding_again_leaves_one_that_is_under_way_alone(catalogue: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs)
    assert document.live_attempt is not None
    assert not catalogue.tasks.owe_embedding(document.id, attempt=document.live_attempt + 1)
    assert catalogue.tasks.owe_embedding(document.id, attempt=document.live_attempt)
    claim = claimed(catalogue, Stage.EMBED)
    assert catalogue.tasks.owe_embedding(document.id, attempt=document.live_attempt)
    assert due(catalogue) == []
    assert catalogue.tasks.switch(claim, rev=document.rev, counts={})[0] is Switch.SWITCHED
    accept(catalogue, submission(docs, text="two"))
    assert not catalogue.tasks.owe_embedding(document.id, attempt=claim.attempt)


def test_a_live_version_whose_newest_failed_is_embedded_again_and_stays_what_it_was(
    catalogue: Catalogue, docs: Collection
) -> None:
    document = live(catalogue, docs)
    attempt = document.live_attempt
    assert attempt is not None
    accept(catalogue, submission(docs, text="two"))
    fail(catalogue)
    failed = get(catalogue, document)
    [letter] = letters(catalogue)
    assert catalogue.tasks.owe_embedding(document.id, attempt=attempt)
    claim = claimed(catalogue, Stage.EMBED)
    assert (claim.version, claim.chunk_file) == (1, "c" * 64)
    assert get(catalogue, document).state is S.FAILED
    assert catalogue.tasks.switch(claim, rev=claim.document.rev, counts={})[0] is Switch.SWITCHED
    document = get(catalogue, document)
    assert (document.live_version, document.live_attempt) == (1, claim.attempt)
    assert (document.version, document.state, document.code) == (2, S.FAILED, "damaged")
    assert content_of(document) == content_of(failed)
    assert letters(catalogue) == [letter]
    erase = claimed(catalogue, Stage.ERASE)
    assert (erase.version, erase.subject) == (1, "")  # of older attempts, never of the live one
    catalogue.tasks.done(erase, counts={})
    assert catalogue.tasks.open_count() == 0


@pytest.mark.parametrize("ends", ["failed", "overtaken by a switch", "overtaken by a delete", "beside a new version"])
def test_an_embedding_owed_again_harms_no_newer_version(catalogue: Catalogue, docs: Collection, ends: str) -> None:
    document = live(catalogue, docs)
    assert document.live_attempt is not None
    accept(catalogue, submission(docs, text="two"))
    fail(catalogue)
    assert catalogue.tasks.owe_embedding(document.id, attempt=document.live_attempt)
    claim = claimed(catalogue, Stage.EMBED)
    match ends:
        case "failed":
            catalogue.tasks.failed(claim, HOPELESS)
            assert (len(letters(catalogue)), catalogue.tasks.open_count()) == (1, 0)
            assert catalogue.tasks.owe_embedding(document.id, attempt=document.live_attempt)
        case "overtaken by a switch":
            accept(catalogue, submission(docs, text="three"))
            parse(catalogue)
            newer = embed(catalogue)
            assert catalogue.tasks.switch(claim, rev=claim.document.rev, counts={})[0] is Switch.OVERTAKEN
            assert get(catalogue, document).live_attempt == newer.attempt
            assert str(claim.attempt) in {claimed(catalogue, Stage.ERASE).subject for _ in range(2)}
        case "overtaken by a delete":
            catalogue.documents.delete(ADMIN, document.id)
            assert catalogue.tasks.switch(claim, rev=claim.document.rev, counts={})[0] is Switch.OVERTAKEN
            assert get(catalogue, document).state is S.DELETING
        case _:
            accept(catalogue, submission(docs, text="three"))
            assert catalogue.tasks.switch(claim, rev=claim.document.rev, counts={})[0] is Switch.SWITCHED
            assert (get(catalogue, document).state, get(catalogue, document).live_version) == (S.RECEIVED, 1)
            parse(catalogue)
            embed(catalogue)
            assert get(catalogue, document).live_version == 3
    upkeep(catalogue)


def test_live_attempts_are_what_the_index_must_hold(catalogue: Catalogue, docs: Collection) -> None:
    documents = [live(catalogue, docs, name) for name in "abc"]
    accept(catalogue, submission(docs, "not yet"))
    catalogue.documents.delete(ADMIN, documents[0].id)
    found, after = [], None
    while True:
        page = catalogue.tasks.live_attempts(after=after, limit=1)
        found += list(page.items)
        after = page.next
        if after is None:
            break
    assert {(one.document_id, one.attempt, one.chunks) for one in found} == {
        (document.id, document.live_attempt, 2) for document in documents[1:]
    }


# --- what a principal may not see --------------------------------------------------------------------------------

OTHER_TENANT = Principal("other", frozenset({"group:a"}), frozenset(Scope))
NO_LABEL = Principal("acme", frozenset({"group:b"}), frozenset({Scope.SEARCH, Scope.READ, Scope.WRITE, Scope.DELETE}))


@pytest.fixture
def hidden(catalogue: Catalogue) -> tuple[Document, DeadLetter]:
    """A document, with a dead letter, that only group:a of acme reads."""
    docs = catalogue.collections.create("acme", "docs")
    catalogue.collections.create("other", "docs")
    catalogue.collections.create("acme", "elsewhere")
    document = live(catalogue, docs, readers=("group:a",))
    accept(catalogue, submission(docs, text="two"))
    fail(catalogue)
    return get(catalogue, document), letters(catalogue)[0]


Case = Callable[[Catalogue, Principal, Document, DeadLetter], Any]
# Every method that takes a principal; the answer is NotFound, or nothing.
CASES: dict[str, Case] = {
    "Collections.readable": lambda c, p, d, _: [x for x in c.collections.readable(p) if x.id == d.collection_id],
    "Collections.page": lambda c, p, d, _: [
        x for x in c.collections.page(p, after=None, limit=9).items if x.id == d.collection_id
    ],
    "Collections.ever_named": lambda c, p, d, _: [
        x for x in c.collections.ever_named(p, "docs") if x.id == d.collection_id
    ],
    "Collections.statistics": lambda c, p, _, __: list(
        c.collections.statistics(p, c.collections.by_name("acme", "docs")).by_state
    ),
    "Documents.get": lambda c, p, d, _: c.documents.get(p, d.id),
    "Documents.page": lambda c, p, _, __: c.documents.page(p).items,
    "Documents.patch": lambda c, p, d, _: c.documents.patch(p, d.id, Attributes(title="x"), readers_reset=False),
    "Documents.reprocess": lambda c, p, d, _: c.documents.reprocess(p, d.id, fingerprint="x"),
    "Documents.delete": lambda c, p, d, _: c.documents.delete(p, d.id),
    "Documents.count": lambda c, p, d, _: ["a document"] * c.documents.count(p, DocumentSelection(d.collection_id))[0],
    "Documents.reprocess_some": lambda c, p, d, _: (
        ["a document"]
        * c.documents.reprocess_some(
            p, DocumentSelection(d.collection_id), fingerprint="x", after=None, limit=9
        ).decided
    ),
    "Documents.delete_some": lambda c, p, d, _: (
        ["a document"] * c.documents.delete_some(p, DocumentSelection(d.collection_id), after=None, limit=9).decided
    ),
    "DeadLetters.page": lambda c, p, _, __: letters(c, p),
    "DeadLetters.get": lambda c, p, _, letter: c.dead_letters.get(p, letter.id),
    "DeadLetters.redrive": lambda c, p, _, letter: c.dead_letters.redrive(p, letter.id),
    "DeadLetters.drop": lambda c, p, _, letter: c.dead_letters.drop(p, letter.id),
    "DeadLetters.count": lambda c, p, _, __: ["a letter"] * c.dead_letters.count(p, EVERY)[0],
    "DeadLetters.redrive_some": lambda c, p, _, __: ["a letter"] * c.dead_letters.redrive_some(p, EVERY, limit=9),
    "DeadLetters.drop_some": lambda c, p, _, __: ["a letter"] * c.dead_letters.drop_some(p, EVERY, limit=9),
}


def test_every_method_that_takes_a_principal_is_tried_below() -> None:
    nouns = [getattr(port, name) for name in ("Collections", "Documents", "Tasks", "DeadLetters", "DropFiles")]
    nouns += [port.Leases, port.BlobRecords, Catalogue]
    asked = {
        f"{noun.__name__}.{name}"
        for noun in nouns
        for name, method in inspect.getmembers(noun, inspect.isfunction)
        if "principal" in inspect.signature(method).parameters
    }
    assert asked == CASES.keys()


# Labels are of documents; a tenant's collections are seen by all of its principals, but what is counted in them is not.
SEEN_BY_ALL = {"Collections.readable", "Collections.page", "Collections.ever_named"}
HIDING = [
    (method, who)
    for method in CASES
    for who in ("another tenant", "no label", "another collection")
    if not (who == "no label" and method in SEEN_BY_ALL)
]


@pytest.mark.parametrize(("method", "who"), HIDING)
def test_what_a_principal_may_not_see_does_not_exist_for_it(
    catalogue: Catalogue, hidden: tuple[Document, DeadLetter], method: str, who: str
) -> None:
    document, letter = hidden
    elsewhere = catalogue.collections.by_name("acme", "elsewhere").id
    principal = {
        "another tenant": OTHER_TENANT,
        "no label": NO_LABEL,
        "another collection": replace(ADMIN, collections=frozenset({elsewhere})),
    }[who]
    try:
        answer = CASES[method](catalogue, principal, document, letter)
    except RagstoneError as error:
        assert type(error) is NotFound  # noqa: PT017
    else:
        assert list(answer) == []
    assert get(catalogue, document) == document
    assert letters(catalogue) == [letter]


@pytest.mark.parametrize("method", CASES)
def test_who_holds_the_label_may(catalogue: Catalogue, hidden: tuple[Document, DeadLetter], method: str) -> None:
    document, letter = hidden
    principal = replace(NO_LABEL, labels=frozenset({"group:a"}), collections=frozenset({document.collection_id}))
    answer = CASES[method](catalogue, principal, document, letter)
    assert answer is None or answer


def test_a_name_that_is_not_readable_is_not_found(catalogue: Catalogue, docs: Collection) -> None:
    nowhere = replace(ADMIN, collections=frozenset({"x"}))
    for principal, names in ((OTHER_TENANT, ["docs"]), (nowhere, ["docs"]), (ADMIN, ["docs", "missing"])):
        with pytest.raises(NotFound):
            catalogue.collections.readable(principal, names)
    assert catalogue.collections.readable(ADMIN, []) == []
    assert catalogue.collections.readable(ADMIN, ["docs"]) == [docs]


@pytest.mark.parametrize("text", ["one", "two"])
def test_who_may_not_see_a_document_can_neither_overwrite_it_nor_open_it_nor_learn_of_it(
    catalogue: Catalogue, docs: Collection, text: str
) -> None:
    hidden = live(catalogue, docs, readers=("group:a",), title="Hidden")
    for stranger in (NO_LABEL, replace(NO_LABEL, labels=frozenset())):
        [answer] = catalogue.documents.accept([submission(docs, text=text, by=stranger, readers=("group:b",))])
        assert isinstance(answer, Conflict)
        assert "Hidden" not in str(answer)
    assert get(catalogue, hidden) == hidden
    assert catalogue.tasks.open_count() == 0
    reader = replace(NO_LABEL, labels=frozenset({"group:a"}))
    [answer] = catalogue.documents.accept([submission(docs, text="three", by=reader)])
    assert isinstance(answer, Document)
    assert answer.version == 2


def test_what_was_deleted_may_be_sent_again_by_whoever_may_write(catalogue: Catalogue, docs: Collection) -> None:
    hidden = live(catalogue, docs, readers=("group:a",))
    catalogue.documents.delete(ADMIN, hidden.id)
    upkeep(catalogue)
    [answer] = catalogue.documents.accept([submission(docs, by=NO_LABEL)])
    assert isinstance(answer, Document)
    assert answer.readers == ("*",)
