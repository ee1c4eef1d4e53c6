"""Conditions, scopes and selections as filters of Qdrant's engine, and the payload they are asked of. Pure.

How a document's filter fields lie in the payload, as `f.<key>-<part>` (flat: nested objects doubled an upsert's time):

    l   0 for a scalar, 1 for a list: always there, so it also answers $exists
    e   one keyword per value, with its type in front ("s:red", "n:0x1.8p+0"): equality of every type is one condition
    n   the numbers, t the times: what orderings are asked of (see `SLACK`)
    x   the case-folded text of a single string: what substrings are asked of

`MatchValue` takes no floats and turns booleans into integers (qdrant-edge 0.9.0: `MatchValue(True).value` is 1, which
matches no stored boolean), hence the keywords.

A search has to be one condition to be fast (20,000 points, half of them in scope: tenant and collections and live and
readers 5.0 ms, one keyword 1.9 ms), so a live point lists in `served` every way to reach it: tenant and collection,
and the same with each of its reader labels.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any, Final, Literal, TypeVar

from qdrant_edge import (
    FieldCondition,
    Filter,
    FloatIndexParams,
    HasIdCondition,
    IntegerIndexParams,
    KeywordIndexParams,
    MatchAny,
    MatchSubstring,
    MatchValue,
    RangeFloat,
)

from retrieval.filters import (
    AllOf,
    Among,
    AnyOf,
    Compared,
    Condition,
    Contains,
    Exists,
    FieldValues,
    FilterFields,
    Not,
    Ordering,
    Scalar,
)
from retrieval.index import SearchScope, Selection

# Collections times labels in one query: each costs 2 µs; beyond, reading the readers of every point costs no more.
MAX_WAYS: Final = 20_000

# Up to here the engine is quicker with one condition each than with one list: dense 1.3 ms for 2.1, sparse 0.5 for 1.0.
MAX_NAMED: Final = 32

T = TypeVar("T")
IndexParams = KeywordIndexParams | IntegerIndexParams | FloatIndexParams

# The engine's payloads are JSON, and its parser may miss a float by the last bits: by 1 or 2 for ordinary numbers,
# after 50 rewrites by at most 2, and by 19 for exponents beyond 100 (3,000 random numbers tried).
SLACK: Final = 32

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


# --- what is stored ----------------------------------------------------------------------------------------------


def stored_fields(fields: FilterFields) -> dict[str, Any]:
    """The filter fields as they lie in the payload: one flat object, which a repaint replaces whole."""
    stored: dict[str, Any] = {}
    for key, values in fields.items():
        stored |= {f"{key}-{part}": value for part, value in _stored_values(values)}
    return stored


def served(tenant: str, collection_id: str, readers: Iterable[str]) -> list[str]:
    """Every keyword by which a live point is reached."""
    return [way(tenant, collection_id), *(way(tenant, collection_id, label) for label in dict.fromkeys(readers))]


def way(tenant: str, collection_id: str, label: str | None = None) -> str:
    """One way to reach a point; JSON, so that no two triples look the same, whatever characters they hold."""
    return json.dumps([tenant, collection_id] if label is None else [tenant, collection_id, label])


def _stored_values(values: FieldValues) -> Iterator[tuple[str, Any]]:
    yield "l", int(values.is_list)
    if keywords := _keywords(values.numbers, values.strings, values.flags, values.times):
        yield "e", _plain(keywords)
    if values.numbers:
        yield "n", _plain(values.numbers)
    if values.times:
        yield "t", _plain(values.times)
    if values.text is not None:
        yield "x", _storable(values.text)


def _plain(values: Sequence[T]) -> T | list[T]:
    """One value alone, several as a list: the engine asks both the same way and takes the former in half the time."""
    return values[0] if len(values) == 1 else list(values)


def _keywords(
    numbers: Iterable[float], strings: Iterable[str], flags: Iterable[bool], times: Iterable[float]
) -> list[str]:
    return [
        *(f"n:{(number + 0.0).hex()}" for number in numbers),  # + 0.0 makes -0.0 the 0.0 that it equals
        *(f"s:{_storable(text)}" for text in strings),
        *(f"b:{int(flag)}" for flag in flags),
        *(f"t:{(time + 0.0).hex()}" for time in times),
    ]


def _storable(text: str) -> str:
    """The text with lone surrogates, which the engine cannot hold, moved into the last private-use plane."""
    return _SURROGATE.sub(lambda found: chr(0x100000 + ord(found.group())), text)


# --- what is asked -----------------------------------------------------------------------------------------------


def _path(key: str, part: str) -> str:
    return f"f.{key}-{part}"


def nothing() -> Filter:
    """A filter that no point passes (an empty `should` would pass every one)."""
    return Filter(must=[HasIdCondition(set())])


def filter_of_scope(scope: SearchScope) -> Filter:
    """The live points of the scope."""
    if not scope.collections or scope.labels == frozenset():
        return nothing()
    asked = [] if scope.condition is None else [filter_of_condition(scope.condition)]
    return Filter(must=[*_ways(scope), *asked])


def corpus_of_scope(scope: SearchScope) -> Filter:
    """What IDF is counted over: the tenant's live points of these collections, whoever may read them."""
    return _reached(way(scope.tenant, collection) for collection in scope.collections)


def _ways(scope: SearchScope) -> list[Filter]:
    if scope.labels is None:
        return [corpus_of_scope(scope)]
    if len(scope.collections) * len(scope.labels) > MAX_WAYS:
        return [corpus_of_scope(scope), Filter(must=[_any("readers", sorted(scope.labels))])]
    pairs = product(scope.collections, sorted(scope.labels))
    return [_reached(way(scope.tenant, collection, label) for collection, label in pairs)]


def _reached(ways: Iterable[str]) -> Filter:
    keywords = list(ways)
    if len(keywords) > MAX_NAMED:
        return Filter(must=[_any("served", keywords)])
    return Filter(should=[equals("served", keyword) for keyword in keywords]) if keywords else nothing()


def filter_of_tenant(tenant: str) -> Filter:
    return Filter(must=[equals("tenant", tenant)])


def filter_of_selection(tenant: str, where: Selection, *more: FieldCondition) -> Filter:
    """The tenant's points of the selection that also satisfy `more`."""
    must: list[FieldCondition] = [equals("tenant", tenant), equals("document", where.document_id), *more]
    must_not: list[FieldCondition] = []
    if where.version is not None:
        must.append(equals("version", where.version))
    if where.version_below is not None:
        must.append(FieldCondition("version", range=RangeFloat(lt=where.version_below)))
    if where.attempt is not None:
        must.append(equals("attempt", where.attempt))
    if where.other_than_attempt is not None:
        must_not.append(equals("attempt", where.other_than_attempt))
    if where.rev_below is not None:
        must.append(FieldCondition("rev", range=RangeFloat(lt=where.rev_below)))
    if where.live is not None:
        must.append(equals("live", int(where.live)))
    return Filter(must=list(must), must_not=list(must_not))


def filter_of_condition(condition: Condition) -> Filter:
    """The points whose document satisfies the condition: exactly those of which `filters.matches` says so."""
    match condition:
        case AllOf(conditions):
            return Filter(must=[filter_of_condition(part) for part in conditions])
        case AnyOf(conditions):
            return Filter(should=[filter_of_condition(part) for part in conditions]) if conditions else nothing()
        case Not(inner):
            return Filter(must_not=[filter_of_condition(inner)])
        case Exists(key):
            return Filter(must=[FieldCondition(_path(key, "l"), match=MatchAny([0, 1]))])
        case Among(key, numbers, strings, flags, times):
            return _among(key, _keywords(numbers, strings, flags, times))
        case Compared(key, order, operand, kind):
            return _compared(key, order, operand, kind)
        case Contains(key, element, text):
            return _contains(key, element, text)


def _compared(key: str, order: Ordering, operand: float, kind: Literal["numbers", "times"]) -> Filter:
    """A stored number is where it was up to `SLACK` floats; those too near to tell are named one by one."""
    upwards = order in {"gt", "gte"}
    near = [operand] if order in {"gte", "lte"} else []
    number = operand
    for step in range(2 * SLACK):
        number = math.nextafter(number, math.inf if upwards else -math.inf)
        near.append(number)
        if step + 1 == SLACK:
            clear = RangeFloat(gt=number) if upwards else RangeFloat(lt=number)
    keywords = _keywords(near, (), (), ()) if kind == "numbers" else _keywords((), (), (), near)
    return Filter(should=[FieldCondition(_path(key, kind[0]), range=clear), _any(_path(key, "e"), keywords)])


def equals(key: str, value: str | int) -> FieldCondition:
    return FieldCondition(key, match=MatchValue(value))


def _any(key: str, values: list[str]) -> FieldCondition:
    return FieldCondition(key, match=MatchAny(values))


def _among(key: str, keywords: list[str]) -> Filter:
    return Filter(must=[_any(_path(key, "e"), keywords)]) if keywords else nothing()


def _contains(key: str, element: Scalar, text: str | None) -> Filter:
    in_list = Filter(must=[equals(_path(key, "l"), 1), _any(_path(key, "e"), [_keyword(element)])])
    if text is None:
        return in_list
    in_text = FieldCondition(_path(key, "x"), match=MatchSubstring(_storable(text)))
    return Filter(should=[in_text, in_list])


def _keyword(element: Scalar) -> str:
    match element:
        case bool():
            found = _keywords((), (), (element,), ())
        case str():
            found = _keywords((), (element,), (), ())
        case _:
            found = _keywords((float(element),), (), (), ())
    return found[0]


def paths_of_condition(condition: Condition) -> dict[str, IndexParams]:
    """The payload paths that the condition asks, and the index that answers each without reading payloads."""
    return {path: index_of_path(path) for path in _paths(condition)}


def index_of_path(path: str) -> IndexParams:
    """The index for a payload path of a filter field, told by the part it ends with."""
    match path.rsplit("-", 1)[-1]:
        case "l":
            return IntegerIndexParams(lookup=True, range=False)
        case "n" | "t":
            return FloatIndexParams()
        case _:
            return KeywordIndexParams()


def _paths(condition: Condition) -> set[str]:
    match condition:
        case AllOf(conditions) | AnyOf(conditions):
            return {path for part in conditions for path in _paths(part)}
        case Not(inner):
            return _paths(inner)
        case Exists(key):
            return {_path(key, "l")}
        case Among(key):
            return {_path(key, "e")}
        case Compared(key, _, _, kind):
            return {_path(key, kind[0]), _path(key, "e")}
        case Contains(key, _, text):
            return {_path(key, part) for part in ("e" if text is None else "ex")}
