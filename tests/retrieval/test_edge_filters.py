"""Filters mean on Qdrant's engine what `filters.matches` says, with and without payload indexes."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.chunks import Chunk, EmbeddedChunk, Locator, SparseVector
from retrieval.edge_filters import paths_of_condition
from retrieval.edge_index import EdgeIndex
from retrieval.embedding import EmbeddingSpec
from retrieval.errors import InvalidFilter
from retrieval.filters import (
    AllOf,
    Among,
    AnyOf,
    Condition,
    FieldValues,
    FilterFields,
    Not,
    encode_fields,
    matches,
    parse_filter,
)
from retrieval.identity import point_id
from retrieval.index import DenseArm, Placement, Point, SearchScope, Selection

SPEC = EmbeddingSpec(model="tiny", digest="d" * 64, dimension=2, max_tokens=64)
VECTOR = np.array([1, 0], dtype=np.float32)

STRINGS = [
    "",
    "a",
    "A",
    "red",
    "Red wine",
    "Straße",
    "STRASSE",
    "ß",
    "İstanbul",
    "ΑΣ",
    "σ",
    "é",
    "e\u0301",
    "1",
    "true",
]
TIMES = ["2024-01-31", "2024-01-31T00:00:00Z", "2024-01-31T01:00:00+01:00", "2024-01-31T10:30:00.123456Z", "1969-07-20"]
ODD = ["\U0001f600", "a.b[0]", 'quote"\\', "\x00", "n:0x1.0p+0", "中文 文字"]
NUMBERS: list[int | float] = [0, -0.0, 1, 1.0, -1, 0.1 + 0.2, 0.3, 1.5, 2**53, 2**53 + 1, 2**63, 1e300, -5e-324, 10**25]
SCALARS: list[Any] = [*STRINGS, *TIMES, *ODD, *NUMBERS, True, False]
LISTS: list[list[Any]] = [
    [],
    ["red"],
    ["red", "Red wine", "STRASSE"],
    [0.30000000000000004, 7],
    [True],
    [False, 1],
    ["2024-01-31", "a", 3, True],
    ["", -0.0],
    [2**53 + 1, "1"],
    [str(n) for n in range(256)],
]
OPERATORS = ["$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte", "$contains", "$exists"]


def document(name: str, **metadata: Any) -> FilterFields:
    return encode_fields(
        title=name,
        external_id=None if len(name) % 2 else name.upper(),
        source=None,
        media_type="text/plain",
        language="de" if len(name) % 3 else None,
        created_at=float(len(name) * 1000),
        pages=None if len(name) % 2 else len(name),
        metadata=metadata,
    )


def documents() -> list[FilterFields]:
    chosen = random.Random(7)
    values = [*SCALARS, *LISTS]
    single = [document(f"Title {n}", x=value) for n, value in enumerate(values)]
    pairs = [document("Straße " * (n % 4), x=chosen.choice(values), y_2=chosen.choice(values)) for n in range(40)]
    return [*single, *pairs, document("absent"), document("null", x=None), {}, {"m_x": FieldValues()}]


def simple_conditions() -> Iterator[Condition]:
    for operand in [*SCALARS, "RED", "wine", "strasse", "i̇", "sse", "Σ"]:
        for operator in OPERATORS:
            raw = {"$in": [operand], "$nin": [operand], "$exists": isinstance(operand, str)}.get(operator, operand)
            with contextlib.suppress(InvalidFilter):  # not every operator takes every operand
                if (condition := parse_filter({"metadata.x": {operator: raw}})) is not None:
                    yield condition
    for raw in [
        {"metadata.x": {"$in": []}},
        {"metadata.x": {"$nin": []}},
        {"metadata.x": {"$in": ["red", 1, True, 0.3, "2024-01-31"]}},
        {"metadata.x": {"$in": [str(n) for n in range(200)]}},
        {"metadata.x": {"$gt": 0, "$lt": 2}},
        {"metadata.x": {"$not": {"$gt": 0}}},
        {"title": {"$contains": "STRASSE"}},
        {"title": "Title 3"},
        {"external_id": {"$exists": False}},
        {"language": {"$in": ["de", "en"]}},
        {"created_at": {"$gte": "1970-01-01T02:00:00Z"}},
        {"created_at": "1970-01-01T01:56:40Z"},
        {"pages": {"$gte": 6}},
        {"pages": {"$ne": 6}},
        {"metadata.x": "\ud800"},
        {"metadata.x": {"$contains": "\udfff"}},
        {"metadata.nowhere": {"$ne": 1}},
    ]:
        condition = parse_filter(raw)
        assert condition is not None
        yield condition
    yield AllOf(())
    yield AnyOf(())
    yield Among("m_x")
    yield Among("m_x", times=(1706659200.0,))


def conditions() -> list[Condition]:
    chosen = random.Random(11)
    made = list(simple_conditions())
    made += [parsed for n in range(20) if (parsed := parse_filter({"metadata.y_2": {"$gte": n - 10}}))]
    for _ in range(120):
        parts = tuple(chosen.sample(made, chosen.randint(1, 3)))
        combined: list[Condition] = [
            AllOf(parts),
            AnyOf(parts),
            Not(AnyOf(parts)),
            AllOf((Not(parts[0]), *parts[1:])),
        ]
        made.append(chosen.choice(combined))
    return made


def put(index: EdgeIndex, fields: list[FilterFields]) -> None:
    points = []
    for n, each in enumerate(fields):
        chunk = Chunk(f"chunk {n}", f"{n}", 0, "text", "text", Locator(0, 4), 1)
        placement = Placement("t", "c", f"{n}", 1, 1, 1, ("*",), each)
        points.append(Point(point_id(chunk.id, 1), EmbeddedChunk(chunk, VECTOR, SparseVector((), ())), "", placement))
    index.upsert("t", points)
    for n in range(len(fields)):
        index.set_live("t", Selection(f"{n}"))


def found(index: EdgeIndex, condition: Condition) -> set[int]:
    scope = SearchScope("t", ("c",), None, condition)
    [candidates] = index.search(scope, [DenseArm(VECTOR)], limit=1_000)
    return {int(candidate.document_id) for candidate in candidates}


@pytest.mark.parametrize("at_once", [0, 10**9], ids=["reading payloads", "through payload indexes"])
def test_every_condition_finds_exactly_the_documents_that_the_reference_says(tmp_path: Path, at_once: int) -> None:
    fields, asked = documents(), conditions()
    wrong = []
    with contextlib.closing(EdgeIndex(tmp_path, SPEC, fields_at_once=at_once)) as index:
        put(index, fields)
        for condition in asked:
            expected = {n for n, each in enumerate(fields) if matches(condition, each)}
            if (answer := found(index, condition)) != expected:
                wrong.append((condition, [fields[n] for n in answer ^ expected]))
    assert len(fields) * len(asked) > 2_000
    assert wrong == []


@pytest.mark.parametrize("at_once", [0, 10**9], ids=["reading payloads", "through payload indexes"])
def test_numbers_compare_as_the_64_bit_floats_that_they_are(tmp_path: Path, at_once: int) -> None:
    chosen = random.Random(3)
    numbers = [chosen.uniform(-1, 1) * 10.0 ** chosen.randint(-30, 30) for _ in range(300)]
    with contextlib.closing(EdgeIndex(tmp_path, SPEC, fields_at_once=at_once)) as index:
        put(index, [document("a title", x=number) for number in numbers])
        for n, number in enumerate(numbers[:100]):
            for raw in ({"$eq": number}, {"$gte": number, "$lte": number}):
                condition = parse_filter({"metadata.x": raw})
                assert condition is not None
                assert found(index, condition) == {n}, (raw, number.hex())


def test_a_field_asked_for_late_is_indexed_at_the_next_opening(tmp_path: Path) -> None:
    condition = parse_filter({"metadata.x": {"$gte": 3}})
    assert condition is not None
    with contextlib.closing(EdgeIndex(tmp_path, SPEC, fields_at_once=0)) as index:
        put(index, [document("a title", x=number) for number in range(6)])
        assert found(index, condition) == {3, 4, 5}
        before = set(index.indexed_paths)
    with contextlib.closing(EdgeIndex(tmp_path, SPEC, fields_at_once=0)) as index:
        assert set(index.indexed_paths) - before == set(paths_of_condition(condition))
        assert found(index, condition) == {3, 4, 5}
