"""Requests with an idempotency key in the catalogue, on every engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from retrieval.catalogue import Catalogue
from retrieval.documents import Collection, Document
from retrieval.errors import CatalogueUnavailable, InvalidRequest, NotFound, RequestRunning
from retrieval.requests import Recording, RequestClaim, RequestName, StoredReply
from tests.catalogue_fixtures import Opener
from tests.catalogue_steps import ADMIN, fail, letters, live, submission

NAME = RequestName("acme", "caller", "POST /v1/x", "key-1")
FIRST, SECOND = RequestClaim(NAME, "first"), RequestClaim(NAME, "second")
REPLY = StoredReply(202, '{"id": "ä"}')


def claim(catalogue: Catalogue, one: RequestClaim, *, digest: str = "d", lease_s: float = 60) -> StoredReply | None:
    return catalogue.requests.claim(one, digest=digest, lease_s=lease_s)


def told(answers: Sequence[Document | Exception]) -> StoredReply:
    (answer,) = answers
    assert isinstance(answer, Document)
    return StoredReply(202, f"{answer.id} {answer.version}")


def test_what_was_done_is_answered_as_it_was_also_after_a_restart(opened: Opener) -> None:
    catalogue = opened()
    assert claim(catalogue, FIRST) is None
    catalogue.requests.keep(FIRST, REPLY)
    assert claim(opened(), SECOND) == REPLY


def test_while_it_is_at_work_it_says_so_and_another_body_is_refused(catalogue: Catalogue) -> None:
    assert claim(catalogue, FIRST) is None
    with pytest.raises(RequestRunning):
        claim(catalogue, SECOND)
    with pytest.raises(InvalidRequest, match="another request"):
        claim(catalogue, SECOND, digest="other")
    catalogue.requests.keep(FIRST, REPLY)
    with pytest.raises(InvalidRequest, match="another request"):
        claim(catalogue, SECOND, digest="other")


@pytest.mark.parametrize("field", ["tenant", "caller", "route", "key"])
def test_another_tenants_callers_routes_and_keys_are_others(catalogue: Catalogue, field: str) -> None:
    assert claim(catalogue, FIRST) is None
    other = replace(FIRST, name=replace(NAME, **{field: "other"}))
    assert claim(catalogue, other, digest="other") is None


def test_what_was_refused_may_be_tried_again_with_another_body(catalogue: Catalogue) -> None:
    assert claim(catalogue, FIRST) is None
    catalogue.requests.forget(FIRST)
    assert claim(catalogue, SECOND, digest="other") is None


def test_what_is_done_is_not_forgotten(catalogue: Catalogue) -> None:
    assert claim(catalogue, FIRST) is None
    catalogue.requests.keep(FIRST, REPLY)
    catalogue.requests.forget(FIRST)
    assert claim(catalogue, SECOND) == REPLY


def test_a_claim_that_nobody_finished_is_taken_over_and_its_first_holder_keeps_nothing(catalogue: Catalogue) -> None:
    assert claim(catalogue, FIRST, lease_s=0.02) is None
    time.sleep(0.05)
    assert claim(catalogue, SECOND) is None
    with pytest.raises(CatalogueUnavailable, match="took it over"):
        catalogue.requests.keep(FIRST, REPLY)
    catalogue.requests.forget(FIRST)
    with pytest.raises(RequestRunning):
        claim(catalogue, FIRST)
    catalogue.requests.keep(SECOND, REPLY)
    assert claim(catalogue, FIRST) == REPLY


def test_work_that_says_it_is_still_there_is_not_taken_over(catalogue: Catalogue) -> None:
    assert claim(catalogue, FIRST, lease_s=0.05) is None
    catalogue.requests.renew(FIRST, lease_s=60)
    time.sleep(0.1)
    with pytest.raises(RequestRunning):
        claim(catalogue, SECOND)


def test_work_and_its_reply_are_kept_together(catalogue: Catalogue, docs: Collection) -> None:
    assert claim(catalogue, FIRST) is None
    [accepted] = catalogue.documents.accept([submission(docs, "a")], recording=Recording(FIRST, told))
    assert isinstance(accepted, Document)
    assert claim(catalogue, SECOND) == StoredReply(202, f"{accepted.id} 1")


def test_reprocessing_and_redriving_keep_their_replies_too(catalogue: Catalogue, docs: Collection) -> None:
    document = live(catalogue, docs, "a")
    assert claim(catalogue, FIRST) is None
    catalogue.documents.reprocess(ADMIN, document.id, fingerprint="x", recording=Recording(FIRST, told))
    assert claim(catalogue, SECOND) == StoredReply(202, f"{document.id} 2")
    fail(catalogue)
    other = replace(FIRST, name=replace(NAME, route="POST /v1/y"))
    assert claim(catalogue, other) is None
    catalogue.dead_letters.redrive(ADMIN, letters(catalogue)[0].id, recording=Recording(other, told))
    assert claim(catalogue, replace(other, holder="again")) == StoredReply(202, f"{document.id} 2")


def test_work_whose_claim_was_taken_over_meanwhile_is_not_done(catalogue: Catalogue, docs: Collection) -> None:
    assert claim(catalogue, FIRST, lease_s=0.02) is None
    time.sleep(0.05)
    assert claim(catalogue, SECOND) is None
    with pytest.raises(CatalogueUnavailable, match="took it over"):
        catalogue.documents.accept([submission(docs, "a")], recording=Recording(FIRST, told))
    assert catalogue.documents.page(ADMIN).items == []
    assert catalogue.tasks.open_count() == 0


def test_work_whose_reply_cannot_be_told_is_not_done(catalogue: Catalogue, docs: Collection) -> None:
    def refuse(_: Sequence[Document | Exception]) -> StoredReply:
        raise NotFound

    assert claim(catalogue, FIRST) is None
    with pytest.raises(NotFound):
        catalogue.documents.accept([submission(docs, "a")], recording=Recording(FIRST, refuse))
    assert catalogue.documents.page(ADMIN).items == []


def test_what_is_older_than_its_time_is_put_away_a_portion_at_a_time(catalogue: Catalogue) -> None:
    for number in range(3):
        assert claim(catalogue, replace(FIRST, name=replace(NAME, key=f"{number}"))) is None
    assert catalogue.requests.expire(limit=9) == 0
    assert [catalogue.requests.expire(limit=2, kept_s=-1) for _ in range(3)] == [2, 1, 0]
    assert claim(catalogue, replace(SECOND, name=replace(NAME, key="0")), digest="other") is None


def test_of_many_that_claim_at_once_exactly_one_is_first(catalogue: Catalogue) -> None:
    outcomes: list[str] = []

    def ask(number: int) -> None:
        try:
            outcomes.append("first" if claim(catalogue, replace(FIRST, holder=f"{number}")) is None else "reply")
        except RequestRunning:
            outcomes.append("running")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["first", *["running"] * 7]
