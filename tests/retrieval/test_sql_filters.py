"""Filters mean on the catalogue's SQL, and on the index beside it, what `filters.matches` says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from retrieval import identity
from retrieval.chunks import Chunk, EmbeddedChunk, Locator, SparseVector
from retrieval.documents import Attributes, Content, Document, Lane, Submission
from retrieval.filters import MAX_LIST, Condition, matches, parse_filter
from retrieval.identity import IdentityKind
from retrieval.index import DenseArm, Placement, Point, SearchScope, Selection
from retrieval.sql_catalogue.catalogue import SqlCatalogue
from tests.corpus import Corpus
from tests.retrieval.filter_cases import filters, metadata_of_documents


@pytest.fixture
def corpus(corpus: Corpus, catalogue_url: str) -> Iterator[Corpus]:
    """Once on each database."""
    catalogue = SqlCatalogue(catalogue_url)
    yield corpus.with_(catalogue=catalogue)
    catalogue.close()


def submissions(corpus: Corpus, metadata: Sequence[dict[str, Any]]) -> list[Submission]:
    docs = corpus.collection()
    made = []
    for n, each in enumerate(metadata):
        text = f"document {n}"
        content = Content(hashlib.sha256(text.encode()).hexdigest(), len(text), "text/plain", f"{n}.txt", text)
        external_id = f"d{n}" if n % 2 else None
        attributes = Attributes(title=text, external_id=external_id, metadata=each)
        source = None if n % 3 else f"{n}.txt"
        kind = IdentityKind.CONTENT
        made.append(
            Submission(corpus.admin, docs.id, kind, content.sha256, content, attributes, "", source, Lane.BULK, "f")
        )
    return made


def accepted(corpus: Corpus, metadata: Sequence[dict[str, Any]]) -> list[Document]:
    answers = corpus.catalogue.documents.accept(submissions(corpus, metadata))
    return [answer for answer in answers if isinstance(answer, Document)]


def listed(corpus: Corpus, condition: Condition) -> set[str]:
    return {one.id for one in corpus.catalogue.documents.page(corpus.admin, condition=condition, limit=1_000).items}


def test_catalogue_and_index_agree_with_the_reference_on_every_document(corpus: Corpus) -> None:
    metadata, asked = metadata_of_documents(), filters()
    documents = accepted(corpus, metadata)
    assert len(documents) == len(metadata)
    assert len(documents) * len(asked) > 2_000
    unit = np.eye(1, 384, dtype=np.float32)[0]
    points = []
    for document in documents:
        chunk = Chunk(document.id, document.id, 0, "text", "text", Locator(0, 4), 1)
        placement = Placement(corpus.tenant, "c", document.id, 1, 1, 1, ("*",), document.filter_fields())
        embedded = EmbeddedChunk(chunk, unit, SparseVector((), ()))
        points.append(Point(identity.point_id(chunk.id, 1), embedded, "", placement))
    corpus.index.upsert(corpus.tenant, points)
    for document in documents:
        corpus.index.set_live(corpus.tenant, Selection(document.id))
    wrong = []
    for raw, condition in asked:
        expected = {document.id for document in documents if matches(condition, document.filter_fields())}
        scope = SearchScope(corpus.tenant, ("c",), None, condition)
        [candidates] = corpus.index.search(scope, [DenseArm(unit)], limit=1_000)
        by_index = {candidate.document_id for candidate in candidates}
        if not (expected == by_index == listed(corpus, condition)):
            wrong.append(raw)
    assert wrong == []


def test_the_largest_filter_of_the_grammar_can_be_asked(corpus: Corpus) -> None:
    [document] = accepted(corpus, [{"x": "5"}])
    operands = [str(n) for n in range(MAX_LIST)]
    widest = parse_filter({"$or": [{"metadata.x": {"$in": operands}} for _ in range(32)]})
    many = parse_filter({"$and": [{"metadata.x": {"$contains": "5"}} for _ in range(127)]})
    deep: Any = {"metadata.x": "5"}
    for _ in range(16):
        deep = {"$not": deep}
    for condition in (widest, many, parse_filter(deep)):
        assert condition is not None
        assert listed(corpus, condition) == {document.id}


@pytest.mark.parametrize("operand", ["\ud800", "a\udfff", "\0"])
@pytest.mark.parametrize("operator", ["$eq", "$contains"])
def test_an_operand_that_no_document_can_hold_finds_nothing(corpus: Corpus, operand: str, operator: str) -> None:
    accepted(corpus, [{"x": "a"}, {"x": ["a"]}])
    condition = parse_filter({"metadata.x": {operator: operand}})
    assert condition is not None
    assert listed(corpus, condition) == set()
