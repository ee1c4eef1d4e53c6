"""What every Catalogue promises of many documents that are deleted or reprocessed at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from retrieval.catalogue import Catalogue
from retrieval.documents import Attributes, Collection, Document, DocumentSelection, DocumentState, Portion, Stage
from retrieval.filters import parse_filter
from tests.catalogue_steps import ADMIN, accept, due, embed, fail, get, letters, live, parse, submission, upkeep

S = DocumentState
Step = Callable[..., Portion]


def reprocess_some(catalogue: Catalogue) -> Step:
    def some(*asked: Any, **said: Any) -> Portion:
        return catalogue.documents.reprocess_some(*asked, fingerprint="f2", **said)

    return some


def delete_some(catalogue: Catalogue) -> Step:
    return catalogue.documents.delete_some


def portions(some: Step, which: DocumentSelection, *, limit: int = 2) -> list[int]:
    """The sizes of the portions, to the end."""
    sizes, after = [], None
    while True:
        portion = some(ADMIN, which, after=after, limit=limit)
        sizes.append(portion.decided)
        after = portion.next
        if after is None:
            return sizes


def states(catalogue: Catalogue, documents: list[Document]) -> list[tuple[DocumentState, int]]:
    return [(found.state, found.version) for found in (get(catalogue, document) for document in documents)]


def test_many_are_reprocessed_in_portions_each_as_one_is(catalogue: Catalogue, docs: Collection) -> None:
    documents = [live(catalogue, docs, f"d{n}", f"text {n}") for n in range(5)]
    which = DocumentSelection(docs.id)
    assert catalogue.documents.count(ADMIN, which)[0] == 5
    assert portions(reprocess_some(catalogue), which) == [2, 2, 1]
    again = [get(catalogue, document) for document in documents]
    assert {(one.state, one.version, one.live_version) for one in again} == {(S.RECEIVED, 2, 1)}
    assert [one.sha256 for one in again] == [one.sha256 for one in documents]
    assert len(due(catalogue)) == 5
    for document in documents:
        claim = parse(catalogue, document)
        assert (claim.reuse_vectors, claim.version) == (False, 2)
        embed(catalogue, document)
    assert states(catalogue, documents) == [(S.SEARCHABLE, 2)] * 5


def test_many_are_deleted_in_portions_each_as_one_is(catalogue: Catalogue, docs: Collection) -> None:
    documents = [live(catalogue, docs, f"d{n}") for n in range(4)]
    documents.append(accept(catalogue, submission(docs, "on its way")))
    assert portions(delete_some(catalogue), DocumentSelection(docs.id)) == [2, 2, 1]
    assert states(catalogue, documents) == [(S.DELETING, 2)] * 5
    assert all(state.gone for state in catalogue.documents.live_states([one.id for one in documents]).values())
    assert len(due(catalogue, Stage.ERASE)) == 5
    upkeep(catalogue)
    assert states(catalogue, documents) == [(S.DELETED, 2)] * 5


@pytest.mark.parametrize("some", [reprocess_some, delete_some])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 9])
def test_no_document_is_met_twice_and_none_is_left_out_whatever_the_portion(
    catalogue: Catalogue, docs: Collection, some: Callable[[Catalogue], Step], limit: int
) -> None:
    documents = [accept(catalogue, submission(docs, f"d{n}")) for n in range(4)]
    assert sum(portions(some(catalogue), DocumentSelection(docs.id), limit=limit)) == 4
    assert {version for _, version in states(catalogue, documents)} == {2}


@pytest.mark.parametrize("some", [reprocess_some, delete_some])
@pytest.mark.parametrize(
    ("raw", "names"),
    [
        ({"metadata.year": {"$gte": 2021}}, {"d1"}),
        ({"$not": {"metadata.year": 2020}}, {"d1", "d7"}),
        ({"metadata.year": {"$exists": False}}, {"d7"}),
        ({"external_id": {"$contains": "D3"}}, {"d3"}),
        ({"$or": [{"title": "d3.txt"}, {"metadata.year": {"$in": [2021, 2022]}}]}, {"d1", "d3"}),
        ({}, {"d1", "d3", "d7"}),
    ],
)
def test_of_many_documents_those_are_decided_that_a_list_shows(
    catalogue: Catalogue, docs: Collection, some: Callable[[Catalogue], Step], raw: dict[str, Any], names: set[str]
) -> None:
    other = catalogue.collections.create("acme", "other")
    for n in range(8):
        said = {} if n == 7 else {"metadata": {"year": 2020 + n % 3}}
        accept(catalogue, submission(other if n == 5 else docs, f"d{n}", readers=("a",) if n % 2 else ("b",), **said))
    principal = replace(ADMIN, scopes=frozenset(), labels=frozenset({"a"}))
    condition = parse_filter(raw)
    listed = catalogue.documents.page(principal, collection_ids=[docs.id], condition=condition, limit=99).items
    assert {one.external_id for one in listed} == names
    which = DocumentSelection(docs.id, condition)
    assert catalogue.documents.count(principal, which)[0] == len(listed)
    assert some(catalogue)(principal, which, after=None, limit=99) == Portion(len(listed), None)
    found = catalogue.documents.page(ADMIN, limit=99).items
    assert {one.external_id for one in found if one.version == 2} == names


@pytest.mark.parametrize("some", [reprocess_some, delete_some])
def test_what_is_deleted_or_being_deleted_is_not_among_them(
    catalogue: Catalogue, docs: Collection, some: Callable[[Catalogue], Step]
) -> None:
    gone, going, left = (live(catalogue, docs, name) for name in ("gone", "going", "left"))
    catalogue.documents.delete(ADMIN, gone.id)
    upkeep(catalogue)
    catalogue.documents.delete(ADMIN, going.id)
    before = states(catalogue, [gone, going])
    assert catalogue.documents.count(ADMIN, DocumentSelection(docs.id))[0] == 1
    assert portions(some(catalogue), DocumentSelection(docs.id)) == [1]
    assert states(catalogue, [gone, going]) == before
    assert get(catalogue, left).version == 2


def test_what_failed_is_reprocessed_and_what_was_never_stored_is_left(catalogue: Catalogue, docs: Collection) -> None:
    failed = accept(catalogue, submission(docs, "failed"))
    fail(catalogue)
    refused = accept(catalogue, submission(docs, "refused", refusal=("too_large", "too large")))
    lost = live(catalogue, docs, "lost")
    accept(catalogue, submission(docs, "lost", refusal=("too_large", "too large")))
    before = states(catalogue, [refused, lost])
    which = DocumentSelection(docs.id)
    assert catalogue.documents.count(ADMIN, which)[0] == 3
    assert sum(portions(reprocess_some(catalogue), which, limit=1)) == 1
    assert states(catalogue, [failed]) == [(S.RECEIVED, 2)]
    assert states(catalogue, [refused, lost]) == before == [(S.FAILED, 1), (S.FAILED, 2)]
    assert {letter.code for letter in letters(catalogue)} == {"too_large"}


@pytest.mark.parametrize("some", [reprocess_some, delete_some])
def test_what_comes_meanwhile_is_left(
    catalogue: Catalogue, docs: Collection, some: Callable[[Catalogue], Step]
) -> None:
    early = [accept(catalogue, submission(docs, f"d{n}")) for n in range(3)]
    time.sleep(0.01)
    count, moment = catalogue.documents.count(ADMIN, DocumentSelection(docs.id))
    late = [accept(catalogue, submission(docs, f"e{n}")) for n in range(3)]
    which = DocumentSelection(docs.id, until=moment)
    assert catalogue.documents.count(ADMIN, which)[0] == count == 3
    assert sum(portions(some(catalogue), which)) == 3
    assert {version for _, version in states(catalogue, early)} == {2}
    assert states(catalogue, late) == [(S.RECEIVED, 1)] * 3


def test_what_no_longer_meets_the_condition_is_left(catalogue: Catalogue, docs: Collection) -> None:
    documents = [accept(catalogue, submission(docs, f"d{n}", metadata={"keep": False})) for n in range(3)]
    first = min(documents, key=lambda one: one.id)
    last = max(documents, key=lambda one: one.id)
    which = DocumentSelection(docs.id, parse_filter({"metadata.keep": False}))
    portion = catalogue.documents.delete_some(ADMIN, which, after=None, limit=1)
    assert portion == Portion(1, first.id)
    catalogue.documents.patch(ADMIN, last.id, Attributes(metadata={"keep": True}), readers_reset=False)
    assert catalogue.documents.delete_some(ADMIN, which, after=portion.next, limit=9) == Portion(1, None)
    assert get(catalogue, last).state is S.RECEIVED
