"""Documents and filters, chosen and generated: what every engine must answer as `filters.matches` does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from retrieval.errors import InvalidFilter
from retrieval.filters import Condition, parse_filter

STRINGS = [
    *("", "a", "A", "red", "Red wine", "Straße", "STRASSE", "İstanbul", "ΑΣ", "σ", "é", "e\u0301"),
    *("1", "true", "null", "%", "_", "a.b[0]", 'quo"te\\', "'); --", "\U0001f600", "中文 文字", "\n\t"),
]
TIMES = ["2024-01-31", "2024-01-31T01:00:00+01:00", "2024-01-31T10:30:00.123456Z", "1969-07-20"]
NUMBERS: list[Any] = [0, -0.0, 1, 1.0, -1, 0.1 + 0.2, 0.3, 2**53, 2**53 + 1, 2**63, 1e300, -5e-324, 10**25]
SCALARS: list[Any] = [*STRINGS, *TIMES, *NUMBERS, True, False]
LISTS: list[list[Any]] = [
    ["red"],
    ["red", "Red wine", "STRASSE"],
    [0.1 + 0.2, 7],
    [True],
    [False, 1],
    ["2024-01-31", "a", 3, True],
    ["", -0.0],
    [2**53 + 1, "1"],
    [str(n) for n in range(256)],
]
OPERATORS = ["$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte", "$contains", "$exists"]


def metadata_of_documents() -> list[dict[str, Any]]:
    """Absent, null, `[]`, every scalar and list, and pairs of them."""
    chosen = random.Random(7)
    values = [*SCALARS, *LISTS]
    pairs = [{"x": chosen.choice(values), "y_2": chosen.choice(values)} for _ in range(20)]
    return [{}, {"x": None}, {"x": []}, {"y_2": "red"}, *({"x": value} for value in values), *pairs]


def filters() -> list[tuple[Any, Condition]]:
    """Filters that are in the grammar, with what they are parsed to."""
    found = []
    for raw in _raw_filters():
        try:
            condition = parse_filter(raw)
        except InvalidFilter:
            continue
        if condition is not None:
            found.append((raw, condition))
    return found


def _raw_filters() -> Iterator[Any]:
    simple = list(_simple())
    yield from simple
    chosen = random.Random(11)
    for _ in range(60):
        parts = chosen.sample(simple, chosen.randint(1, 3))
        yield chosen.choice([{"$and": parts}, {"$or": parts}, {"$not": {"$or": parts}}, {"$and": [{"$not": parts[0]}]}])


def _simple() -> Iterator[Any]:
    for operand in [*SCALARS, "RED", "wine", "strasse", "i̇", "sse", "Σ", "\ud800", "\0", 10**25]:
        for operator in OPERATORS:
            yield {"metadata.x": {operator: [operand] if operator in {"$in", "$nin"} else operand}}
    yield {"metadata.x": {"$exists": True}}
    yield {"metadata.x": {"$exists": False}}
    yield {"metadata.x": {"$in": []}}
    yield {"metadata.x": {"$nin": []}}
    yield {"metadata.x": {"$in": ["red", 1, True, 0.3, "2024-01-31", "\udfff"]}}
    yield {"metadata.x": {"$in": [str(n) for n in range(256)]}}
    yield {"metadata.x": {"$gt": 0, "$lt": 2}}
    yield {"metadata.x": {"$not": {"$gt": 0}}}
    yield {"metadata.x": "red", "metadata.y_2": {"$ne": "red"}}
    yield {"title": {"$contains": "DOCUMENT 1"}}
    yield {"title": "document 3"}
    yield {"external_id": {"$in": ["d1", "d2"]}}
    yield {"external_id": {"$exists": False}}
    yield {"source": {"$exists": True}}
    yield {"media_type": "text/plain"}
    yield {"language": {"$ne": "en"}}
    yield {"pages": {"$gte": 1}}
    yield {"pages": {"$ne": 6}}
    yield {"created_at": {"$gte": "2024-01-01"}}
    yield {"created_at": {"$lt": "2024-01-01T00:00:00Z"}}
    yield {"metadata.nowhere": {"$nin": [1]}}
    # An empty filter holds for every document, wherever it stands.
    yield {"$and": [{}]}
    yield {"$or": [{}]}
    yield {"$not": {}}
    yield {"$or": [{"metadata.x": "red"}, {}]}
    yield {"$and": [{"metadata.x": "red"}, {}]}
    yield {"$not": {"$or": [{"metadata.x": "red"}, {}]}}
    yield {"$not": {"$and": [{}, {"$not": {}}]}}
