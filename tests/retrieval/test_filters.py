"""The grammar and its truth table: `matches` is the reference that engines are tested against."""

from __future__ import annotations

import math
from typing import Any

import pytest

from retrieval.errors import InvalidFilter, InvalidMetadata
from retrieval.filters import MAX_DEPTH, MAX_LIST, MAX_TERMS, check_metadata, encode_fields, matches, parse_filter


def holds(value: Any, operator: str, operand: Any, *, absent: bool = False) -> bool:
    fields = encode_fields(
        title="The Title",
        external_id=None,
        source=None,
        media_type="text/plain",
        language=None,
        created_at=0.0,
        pages=None,
        metadata={} if absent else {"x": value},
    )
    return matches(parse_filter({"metadata.x": {operator: operand}}), fields)


# (operator, operand, a value for which it holds, a value of the same shape for which it does not)
SCALARS = [
    ("$eq", "a", "a", "A"),
    ("$eq", 1, 1.0, 2),
    ("$eq", 1, 1, "1"),
    ("$eq", True, True, 1),
    ("$eq", 1, 1, True),
    ("$eq", "2024-01-31", "2024-01-31", "2024-01-31T00:00:00Z"),
    ("$in", ["a", 1], 1, "1"),
    ("$gt", 1, 1.5, 1),
    ("$gte", 1, 1, 0.5),
    ("$lt", 1, 0, 1),
    ("$lte", 1, 1, 1.5),
    ("$gt", 1, 2, "2"),
    ("$gt", 0, 1, True),
    ("$gt", "2024-01-31", "2024-02-01", "2024-01-31T00:00:00Z"),
    ("$gte", "2024-01-31", "2024-01-31T01:00:00+01:00", "2024-01-31T00:59:59+01:00"),
    ("$lt", "2024-01-31", "2024-01-30", "no date"),
    ("$contains", "WINE", "Red wine", "beer"),
    ("$contains", "strasse", "Straße", "Strand"),
    ("$contains", "", "", 1),
    ("$contains", "1", "x1", 1),
]
LISTS = [
    ("$eq", "a", ["b", "a"], ["b"]),
    ("$in", ["a", 1], ["b", 1], ["1"]),
    ("$gt", 1, [0, 2], [0, 1]),
    ("$gt", "2024-01-31", ["x", "2024-02-01"], ["x"]),
    ("$contains", "a", ["b", "a"], ["ab"]),
    ("$contains", 1, [1.0], ["1"]),
    ("$contains", True, [True], [1]),
]


@pytest.mark.parametrize(("operator", "operand", "yes", "no"), SCALARS + LISTS)
def test_an_operator_holds_as_the_table_says(operator: str, operand: Any, yes: Any, no: Any) -> None:
    assert holds(yes, operator, operand)
    assert not holds(no, operator, operand)


@pytest.mark.parametrize(("operator", "operand", "yes", "no"), SCALARS + LISTS)
def test_not_and_the_negated_operators_are_the_negation(operator: str, operand: Any, yes: Any, no: Any) -> None:
    assert not holds(yes, "$not", {operator: operand})
    assert holds(no, "$not", {operator: operand})
    negated = {"$eq": "$ne", "$in": "$nin"}.get(operator)
    if negated:
        assert not holds(yes, negated, operand)
        assert holds(no, negated, operand)


@pytest.mark.parametrize(("value", "absent"), [(None, False), ([], False), ("", True)])
@pytest.mark.parametrize(
    ("operator", "operand", "expected"),
    [
        ("$eq", "a", False),
        ("$in", ["a"], False),
        ("$gt", 0, False),
        ("$gte", 0, False),
        ("$lt", 0, False),
        ("$lte", 0, False),
        ("$contains", "", False),
        ("$exists", True, False),
        ("$exists", False, True),
        ("$ne", "a", True),
        ("$nin", ["a"], True),
        ("$not", {"$gt": 0}, True),
    ],
)
def test_absent_null_and_empty_lists_are_the_same(
    value: Any, absent: bool, operator: str, operand: Any, expected: bool
) -> None:
    assert holds(value, operator, operand, absent=absent) is expected


@pytest.mark.parametrize("value", ["", 0, False, [""], "null"])
def test_a_value_that_is_there_exists(value: Any) -> None:
    assert holds(value, "$exists", True)
    assert not holds(value, "$exists", False)


def test_empty_operands_match_nothing() -> None:
    assert not holds("a", "$in", [])
    assert holds("a", "$nin", [])


@pytest.mark.parametrize("raw", [None, {}])
def test_no_filter_matches_everything(raw: Any) -> None:
    assert parse_filter(raw) is None
    assert matches(None, {})


def test_a_documents_own_fields_can_be_asked_for() -> None:
    fields = encode_fields(
        title="Annual Report",
        external_id="r-1",
        source="r.pdf",
        media_type="application/pdf",
        language="en",
        created_at=1_700_000_000.0,
        pages=3,
        metadata={"title": "shadow"},
    )
    for raw in (
        {"title": {"$contains": "report"}},
        {"external_id": "r-1"},
        {"media_type": {"$in": ["application/pdf"]}},
        {"created_at": {"$gte": "2023-11-14", "$lt": "2023-11-15"}},
        {"created_at": "2023-11-14T22:13:20Z"},
        {"pages": {"$lte": 3}},
        {"pages": 3, "language": {"$ne": "de"}},
        {"metadata.title": "shadow"},
        {"$or": [{"pages": 4}, {"$and": [{"source": "r.pdf"}, {"$not": {"language": "de"}}]}]},
    ):
        assert matches(parse_filter(raw), fields), raw


def nested(depth: int, pointer: str = "") -> tuple[Any, str]:
    raw: Any = {"pages": 1}
    for _ in range(depth):
        raw = {"$and": [raw]}
    return raw, "/$and/0" * depth


DEEP, DEEP_POINTER = nested(MAX_DEPTH + 1)


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        ([], ""),
        ("x", ""),
        (1, ""),
        ({"$and": []}, "/$and"),
        ({"$or": {}}, "/$or"),
        ({"$and": [{"pages": 1}, 3]}, "/$and/1"),
        ({"$not": []}, "/$not"),
        ({"$nor": []}, "/$nor"),
        ({"$eq": 1}, "/$eq"),
        ({"nowhere": 1}, "/nowhere"),
        ({"a/b~c": 1}, "/a~1b~0c"),
        ({"metadata": 1}, "/metadata"),
        ({"metadata.": 1}, "/metadata."),
        ({"metadata.a b": 1}, "/metadata.a b"),
        ({"metadata.x.y": 1}, "/metadata.x.y"),
        ({"metadata." + "x" * 65: 1}, "/metadata." + "x" * 65),
        ({"metadata.x": {}}, "/metadata.x"),
        ({"metadata.x": None}, "/metadata.x"),
        ({"metadata.x": {"$eq": None}}, "/metadata.x/$eq"),
        ({"metadata.x": [1]}, "/metadata.x"),
        ({"metadata.x": {"$eq": {"a": 1}}}, "/metadata.x/$eq"),
        ({"metadata.x": {"$regex": "a"}}, "/metadata.x/$regex"),
        ({"metadata.x": {"eq": "a"}}, "/metadata.x/eq"),
        ({"metadata.x": {"$in": "a"}}, "/metadata.x/$in"),
        ({"metadata.x": {"$in": [1, None]}}, "/metadata.x/$in/1"),
        ({"metadata.x": {"$nin": [[1]]}}, "/metadata.x/$nin/0"),
        ({"metadata.x": {"$in": ["a"] * (MAX_LIST + 1)}}, "/metadata.x/$in"),
        ({"metadata.x": {"$gt": "a"}}, "/metadata.x/$gt"),
        ({"metadata.x": {"$gt": True}}, "/metadata.x/$gt"),
        ({"metadata.x": {"$lt": None}}, "/metadata.x/$lt"),
        ({"metadata.x": {"$lt": "2024-13-01"}}, "/metadata.x/$lt"),
        ({"metadata.x": {"$gt": math.nan}}, "/metadata.x/$gt"),
        ({"metadata.x": math.inf}, "/metadata.x"),
        ({"metadata.x": 10**400}, "/metadata.x"),
        ({"metadata.x": {"$exists": 1}}, "/metadata.x/$exists"),
        ({"metadata.x": {"$not": 1}}, "/metadata.x/$not"),
        ({"metadata.x": {"$not": {"$gt": "a"}}}, "/metadata.x/$not/$gt"),
        ({"metadata.x": {"$contains": ["a"]}}, "/metadata.x/$contains"),
        ({"title": 1}, "/title"),
        ({"title": {"$gt": "2024-01-01"}}, "/title/$gt"),
        ({"title": {"$contains": 1}}, "/title/$contains"),
        ({"pages": "3"}, "/pages"),
        ({"pages": True}, "/pages"),
        ({"pages": {"$gt": "2024-01-01"}}, "/pages/$gt"),
        ({"pages": {"$contains": 1}}, "/pages/$contains"),
        ({"created_at": 5}, "/created_at"),
        ({"created_at": {"$gt": 5}}, "/created_at/$gt"),
        ({"created_at": {"$in": ["2024-01-01", "x"]}}, "/created_at/$in/1"),
        (DEEP, DEEP_POINTER),
    ],
)
def test_what_is_not_in_the_grammar_is_refused_with_a_pointer_to_it(raw: Any, pointer: str) -> None:
    with pytest.raises(InvalidFilter) as refused:
        parse_filter(raw)
    assert refused.value.pointer == pointer


def test_a_filter_of_too_many_terms_is_refused() -> None:
    parse_filter({"$or": [{"pages": n} for n in range(MAX_TERMS // 2 - 1)]})
    for raw in (
        {"$or": [{"pages": n} for n in range(MAX_TERMS)]},
        {"pages": {"$not": {"$not": {"$ne": 1}}}, "$and": [{"pages": {"$gt": 1, "$lt": 2}}] * MAX_TERMS},
        {"$or": [{"metadata.x": {"$in": ["a"] * MAX_LIST}} for _ in range(100)]},
    ):
        with pytest.raises(InvalidFilter):
            parse_filter(raw)


def test_a_not_that_is_nested_too_deep_on_a_field_is_refused() -> None:
    raw: Any = {"$eq": 1}
    for _ in range(1_000):
        raw = {"$not": raw}
    with pytest.raises(InvalidFilter):
        parse_filter({"pages": raw})


@pytest.mark.parametrize(
    ("metadata", "pointer"),
    [
        ([], ""),
        ({f"f{n}": 1 for n in range(65)}, ""),
        ({"a b": 1}, "/a b"),
        ({"": 1}, "/"),
        ({"x": {"y": 1}}, "/x"),
        ({"x": [[1]]}, "/x"),
        ({"x": [None]}, "/x"),
        ({"x": ["a"] * 257}, "/x"),
        ({"x": "a" * 4_001}, "/x"),
        ({"x": "a\0"}, "/x"),
        ({"x": "\ud800"}, "/x"),
        ({"x": math.nan}, "/x"),
        ({"x": [math.inf]}, "/x"),
        ({"x": 10**400}, "/x"),
    ],
)
def test_metadata_that_could_not_be_filtered_by_is_refused_with_a_pointer(metadata: Any, pointer: str) -> None:
    with pytest.raises(InvalidMetadata) as refused:
        check_metadata(metadata)
    assert refused.value.pointer == pointer


def test_metadata_of_scalars_lists_and_null_is_taken() -> None:
    given = {"s": "a", "n": 1.5, "b": True, "none": None, "empty": [], "list": ["a", 1, True], "_": "x" * 4_000}
    assert check_metadata(given) == given
