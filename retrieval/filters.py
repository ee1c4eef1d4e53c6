"""The filter grammar: one JSON form, one truth table, for search, list, delete and summarise.

A filter is parsed once into a `Condition`; the attributes of a document are encoded once into `FilterFields`. Every
engine translates the same conditions against the same encoded fields, so they agree on every document; `matches` is
the reference they are tested against.

The truth table, for a field's value (absent and null and `[]` are the same: nothing is there to compare):

    operator              scalar                       list                          absent
    $eq v, $in [v…]       equal, same type             any element equal             no
    $ne v, $nin [v…]      the negation of $eq, $in     the negation                  yes
    $gt $gte $lt $lte     number with number, time     any element                   no
                          with time (RFC 3339)
    $contains v           case-insensitive substring   any element equal             no
                          of a string
    $exists true          yes                          yes                           no
    $not {…}              the negation                 the negation                  yes, unless it holds

Numbers compare as 64-bit floats. A string that is an RFC 3339 date or date-time also compares as a time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from retrieval.errors import InvalidFilter, InvalidMetadata

Scalar = str | int | float | bool

METADATA_NAME: Final = re.compile(r"^[A-Za-z_]\w{0,63}$", re.ASCII)
MAX_FIELDS = 64  # a document's metadata: enough for every schema seen, small enough to live in each point
MAX_LIST = 256  # elements of one metadata list, and operands of $in
MAX_DEPTH = 16  # deeper is a generator run wild, not a question
MAX_TERMS = 256
MAX_OPERANDS = 8_192  # in all lists of one filter: SQLite binds 32,766 values in a statement, a few lists at once fit
MAX_STRING = 4_000  # code points of one metadata string

STRING_FIELDS: Final = ("title", "external_id", "source", "media_type", "language")
_RFC3339: Final = re.compile(
    r"^\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2}))?$", re.ASCII
)


# --- what a document offers to filters ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldValues:
    """One field's values by type. `text` is the case-folded string when the value is a single string."""

    numbers: tuple[float, ...] = ()
    strings: tuple[str, ...] = ()
    flags: tuple[bool, ...] = ()
    times: tuple[float, ...] = ()
    text: str | None = None
    is_list: bool = False


FilterFields = Mapping[str, FieldValues]
"""Encoded attributes by key: `m_<name>` for metadata, `d_<name>` for the document's own. Absent ones are left out."""


def parse_time(value: str) -> float | None:
    """Seconds since the epoch of an RFC 3339 date (midnight UTC) or date-time; None for any other string."""
    if not _RFC3339.match(value):
        return None
    try:
        moment = datetime.fromisoformat(value.upper().replace(" ", "T"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _encode(value: Scalar | Sequence[Scalar]) -> FieldValues:
    is_list = isinstance(value, (list, tuple))
    items: list[Scalar] = list(value) if not isinstance(value, (str, int, float, bool)) else [value]
    strings = tuple(item for item in items if isinstance(item, str))
    times = tuple(time for item in strings if (time := parse_time(item)) is not None)
    return FieldValues(
        numbers=tuple(float(item) for item in items if not isinstance(item, (bool, str))),
        strings=strings,
        flags=tuple(item for item in items if isinstance(item, bool)),
        times=times,
        text=None if is_list or not strings else strings[0].casefold(),
        is_list=is_list,
    )


def encode_fields(
    *,
    title: str,
    external_id: str | None,
    source: str | None,
    media_type: str,
    language: str | None,
    created_at: float,
    pages: int | None,
    metadata: Mapping[str, Any],
) -> dict[str, FieldValues]:
    """The filter fields of one document. `created_at` is in seconds since the epoch."""
    own: dict[str, Any] = {
        "title": title,
        "external_id": external_id,
        "source": source,
        "media_type": media_type,
        "language": language,
        "pages": pages,
    }
    fields = {f"d_{name}": _encode(value) for name, value in own.items() if value is not None}
    fields["d_created_at"] = FieldValues(times=(created_at,))
    fields |= {f"m_{name}": _encode(value) for name, value in metadata.items() if value is not None and value != []}
    return fields


def check_metadata(metadata: object) -> dict[str, Any]:
    """The metadata, if it can be stored and filtered by; raises `InvalidMetadata` with a pointer to what cannot."""
    if not isinstance(metadata, dict):
        raise InvalidMetadata("The metadata must be a JSON object.")
    if len(metadata) > MAX_FIELDS:
        raise InvalidMetadata(f"The metadata has {len(metadata)} fields; the limit is {MAX_FIELDS}.")
    for name, value in metadata.items():
        pointer = f"/{name}"
        if not isinstance(name, str) or not METADATA_NAME.match(name):
            raise InvalidMetadata(
                f"{name!r} is not a field name: use letters, digits and _, at most 64.", pointer=pointer
            )
        items = value if isinstance(value, list) else [value]
        if len(items) > MAX_LIST:
            raise InvalidMetadata(f"{name} has {len(items)} elements; the limit is {MAX_LIST}.", pointer=pointer)
        for item in items:
            if item is None and not isinstance(value, list):
                continue
            if not isinstance(item, (str, int, float, bool)):
                raise InvalidMetadata(f"{name} must be a scalar or a list of scalars.", pointer=pointer)
            if isinstance(item, str) and len(item) > MAX_STRING:
                raise InvalidMetadata(f"{name} is longer than {MAX_STRING} characters.", pointer=pointer)
            if isinstance(item, str) and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in item):
                raise InvalidMetadata(f"{name} holds a character that cannot be stored.", pointer=pointer)
            if not isinstance(item, (bool, str)) and not _finite(item):
                raise InvalidMetadata(f"{name} is not a finite number.", pointer=pointer)
    return metadata


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


# --- what a filter asks ------------------------------------------------------------------------------------------

Ordering = Literal["gt", "gte", "lt", "lte"]


@dataclass(frozen=True, slots=True)
class Among:
    """Any of the field's values equals one of the operands. Empty operands match nothing."""

    key: str
    numbers: tuple[float, ...] = ()
    strings: tuple[str, ...] = ()
    flags: tuple[bool, ...] = ()
    times: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Compared:
    """Any of the field's numbers (or times) stands in this order to the operand."""

    key: str
    order: Ordering
    operand: float
    kind: Literal["numbers", "times"]


@dataclass(frozen=True, slots=True)
class Contains:
    """The single string holds `text` (case-folded), or the list holds `element`."""

    key: str
    element: Scalar
    text: str | None


@dataclass(frozen=True, slots=True)
class Exists:
    key: str


@dataclass(frozen=True, slots=True)
class Not:
    condition: Condition


@dataclass(frozen=True, slots=True)
class AllOf:
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    conditions: tuple[Condition, ...]


Condition = Among | Compared | Contains | Exists | Not | AllOf | AnyOf


def parse_filter(raw: object) -> Condition | None:
    """The condition a JSON filter states; None for `{}` and None. Raises `InvalidFilter` with a pointer."""
    if raw is None:
        return None
    return _Parser().parse(raw)


@dataclass(slots=True)
class _Parser:
    terms: int = field(default=0)
    operands: int = field(default=0)

    def parse(self, raw: object) -> Condition | None:
        if raw == {}:
            return None
        return self._filter(raw, "", 0)

    def _filter(self, raw: object, pointer: str, depth: int) -> Condition:
        if not isinstance(raw, dict):
            raise InvalidFilter(f"A filter is a JSON object, not {_type_name(raw)}.", pointer=pointer)
        if depth > MAX_DEPTH:
            raise InvalidFilter(f"The filter is nested deeper than {MAX_DEPTH}.", pointer=pointer)
        parts = [self._entry(name, value, f"{pointer}/{_escaped(name)}", depth) for name, value in raw.items()]
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _entry(self, name: str, value: object, pointer: str, depth: int) -> Condition:
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise InvalidFilter(f"The filter has more than {MAX_TERMS} terms.", pointer=pointer)
        if name in {"$and", "$or"}:
            if not isinstance(value, list) or not value:
                raise InvalidFilter(f"{name} takes a non-empty list of filters.", pointer=pointer)
            parts = tuple(self._filter(item, f"{pointer}/{i}", depth + 1) for i, item in enumerate(value))
            return AllOf(parts) if name == "$and" else AnyOf(parts)
        if name == "$not":
            return Not(self._filter(value, pointer, depth + 1))
        if name.startswith("$"):
            raise InvalidFilter(f"{name} is not an operator here; use $and, $or or $not.", pointer=pointer)
        key = _key(name, pointer)
        return self._field(key, name, value, pointer, depth)

    def _field(self, key: str, name: str, value: object, pointer: str, depth: int) -> Condition:
        if not isinstance(value, dict):
            return self._operation(key, name, "$eq", value, pointer, depth)
        if not value:
            raise InvalidFilter(f"{name} needs an operator.", pointer=pointer)
        parts = [
            self._operation(key, name, operator, operand, f"{pointer}/{_escaped(operator)}", depth)
            for operator, operand in value.items()
        ]
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _operation(self, key: str, name: str, operator: str, operand: object, pointer: str, depth: int) -> Condition:
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise InvalidFilter(f"The filter has more than {MAX_TERMS} terms.", pointer=pointer)
        match operator:
            case "$eq" | "$ne":
                found = _among(key, name, [operand], pointer, indexed=False)
                return found if operator == "$eq" else Not(found)
            case "$in" | "$nin":
                if not isinstance(operand, list) or len(operand) > MAX_LIST:
                    raise InvalidFilter(f"{operator} takes a list of at most {MAX_LIST} scalars.", pointer=pointer)
                self.operands += len(operand)
                if self.operands > MAX_OPERANDS:
                    raise InvalidFilter(f"The filter has more than {MAX_OPERANDS} operands.", pointer=pointer)
                found = _among(key, name, operand, pointer, indexed=True)
                return found if operator == "$in" else Not(found)
            case "$gt" | "$gte" | "$lt" | "$lte":
                return _compared(key, name, operator, operand, pointer)
            case "$contains":
                _scalar(operand, pointer)
                if key.startswith("d_") and (key[2:] not in STRING_FIELDS or not isinstance(operand, str)):
                    raise InvalidFilter(f"$contains on {name} is not possible with this operand.", pointer=pointer)
                return Contains(key, operand, operand.casefold() if isinstance(operand, str) else None)  # type: ignore[arg-type]
            case "$exists":
                if not isinstance(operand, bool):
                    raise InvalidFilter("$exists takes true or false.", pointer=pointer)
                return Exists(key) if operand else Not(Exists(key))
            case "$not":
                if not isinstance(operand, dict):
                    raise InvalidFilter("$not on a field takes an object of operators.", pointer=pointer)
                if depth > MAX_DEPTH:
                    raise InvalidFilter(f"The filter is nested deeper than {MAX_DEPTH}.", pointer=pointer)
                return Not(self._field(key, name, operand, pointer, depth + 1))
            case _:
                raise InvalidFilter(f"{operator} is not an operator of the filter grammar.", pointer=pointer)


def _key(name: str, pointer: str) -> str:
    if name.startswith("metadata."):
        if not METADATA_NAME.match(name.removeprefix("metadata.")):
            raise InvalidFilter(f"{name} is not a metadata field name.", pointer=pointer)
        return f"m_{name.removeprefix('metadata.')}"
    if name in STRING_FIELDS or name in {"created_at", "pages"}:
        return f"d_{name}"
    raise InvalidFilter(
        f"{name} cannot be filtered by; use metadata.<name>, {', '.join(STRING_FIELDS)}, created_at or pages.",
        pointer=pointer,
    )


def _scalar(value: object, pointer: str) -> None:
    if value is None:
        raise InvalidFilter('null is not an operand; use {"$exists": false}.', pointer=pointer)
    if not isinstance(value, (str, int, float, bool)):
        raise InvalidFilter(f"The operand must be a scalar, not {_type_name(value)}.", pointer=pointer)
    if not isinstance(value, (str, bool)) and not _finite(value):
        raise InvalidFilter("The operand must be a finite number.", pointer=pointer)


def _among(key: str, name: str, operands: list[Any], pointer: str, *, indexed: bool) -> Among:
    times: list[float] = []
    for i, operand in enumerate(operands):
        where = f"{pointer}/{i}" if indexed else pointer
        _scalar(operand, where)
        if key == "d_created_at":
            time = parse_time(operand) if isinstance(operand, str) else None
            if time is None:
                raise InvalidFilter(f"{name} compares with an RFC 3339 date or date-time.", pointer=where)
            times.append(time)
        elif key == "d_pages" and (isinstance(operand, (bool, str))):
            raise InvalidFilter(f"{name} compares with a number.", pointer=where)
        elif key.startswith("d_") and key != "d_pages" and not isinstance(operand, str):
            raise InvalidFilter(f"{name} compares with a string.", pointer=where)
    if key == "d_created_at":
        return Among(key, times=tuple(times))
    return Among(
        key,
        numbers=tuple(float(o) for o in operands if not isinstance(o, (str, bool))),
        strings=tuple(o for o in operands if isinstance(o, str)),
        flags=tuple(o for o in operands if isinstance(o, bool)),
    )


def _compared(key: str, name: str, operator: str, operand: object, pointer: str) -> Compared:
    order: Ordering = operator[1:]  # type: ignore[assignment]
    _scalar(operand, pointer)
    if isinstance(operand, str) and key != "d_pages":
        time = parse_time(operand)
        if time is None or (key.startswith("d_") and key != "d_created_at"):
            raise InvalidFilter(f"{operator} on {name} takes a number or an RFC 3339 date.", pointer=pointer)
        return Compared(key, order, time, "times")
    if isinstance(operand, (bool, str)) or (key.startswith("d_") and key != "d_pages"):
        raise InvalidFilter(f"{operator} on {name} takes a number or an RFC 3339 date.", pointer=pointer)
    return Compared(key, order, float(operand), "numbers")  # type: ignore[arg-type]


def _escaped(name: object) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")


def _type_name(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


# --- the reference -----------------------------------------------------------------------------------------------


def matches(condition: Condition | None, fields: FilterFields) -> bool:
    """Whether a document with these fields satisfies the condition. Engines must agree with this."""
    match condition:
        case None:
            return True
        case AllOf(conditions):
            return all(matches(part, fields) for part in conditions)
        case AnyOf(conditions):
            return any(matches(part, fields) for part in conditions)
        case Not(inner):
            return not matches(inner, fields)
        case Exists(key):
            return key in fields
        case _:
            values = fields.get(condition.key)
            return values is not None and _matches_values(condition, values)


def _matches_values(condition: Among | Compared | Contains, values: FieldValues) -> bool:
    match condition:
        case Among(_, numbers, strings, flags, times):
            return (
                not set(numbers).isdisjoint(values.numbers)
                or not set(strings).isdisjoint(values.strings)
                or not set(flags).isdisjoint(values.flags)
                or not set(times).isdisjoint(values.times)
            )
        case Compared(_, order, operand, kind):
            return any(_ordered(order, value, operand) for value in getattr(values, kind))
        case Contains(_, element, text):
            if not values.is_list:
                return text is not None and values.text is not None and text in values.text
            if isinstance(element, bool):
                return element in values.flags
            return element in values.strings if isinstance(element, str) else float(element) in values.numbers


def _ordered(order: Ordering, left: float, right: float) -> bool:
    match order:
        case "gt":
            return left > right
        case "gte":
            return left >= right
        case "lt":
            return left < right
        case "lte":
            return left <= right
