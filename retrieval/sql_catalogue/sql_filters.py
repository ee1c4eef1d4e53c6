"""Conditions as SQL: the filter fields are stored encoded, so both dialects ask the same questions of the same JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Float,
    Text,
    and_,
    cast,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    true,
)

from retrieval.filters import AllOf, Among, AnyOf, Compared, Condition, Contains, Exists, FilterFields, Not
from retrieval.sql_catalogue.tables import storable

# PostgreSQL's double precision: numbers are compared as what they are stored from.
_DOUBLE = Float(53)
# Where each kind of value stands in the stored JSON.
_PLACES = {"numbers": "n", "strings": "s", "flags": "b", "times": "t"}


def stored(fields: FilterFields) -> dict[str, dict[str, Any]]:
    """The JSON form of filter fields; empty parts are left out. Flags are 0 and 1, which both dialects compare."""
    encoded = {}
    for key, values in fields.items():
        parts: dict[str, Any] = {
            "n": list(values.numbers),
            "s": [storable(text) for text in values.strings],
            "b": [int(flag) for flag in values.flags],
            "t": list(values.times),
            "x": None if values.text is None else storable(values.text),
            "a": 1 if values.is_list else None,
        }
        encoded[key] = {place: part for place, part in parts.items() if part not in (None, [])}
    return encoded


class SqlConditions:
    """Translates for one dialect, over one column of stored fields."""

    def __init__(self, *, sqlite: bool, fields: Column[Any]) -> None:
        self._sqlite = sqlite
        self._fields = fields

    def translate(self, condition: Condition | None) -> ColumnElement[bool]:
        match condition:
            case None:
                return true()
            case AllOf(conditions):
                return and_(true(), *(self.translate(part) for part in conditions))
            case AnyOf(conditions):
                return or_(false(), *(self.translate(part) for part in conditions))
            case Not(inner):
                return not_(self.translate(inner))
            case Exists(key):
                return self._exists(key)
            case Among(key, numbers, strings, flags, times):
                held = [text for text in strings if _is_storable(text)]
                parts = [
                    self._any(key, "numbers", lambda value: value.in_(numbers), numbers),
                    self._any(key, "strings", lambda value: value.in_(held), held),
                    self._any(key, "flags", lambda value: value.in_([int(flag) for flag in flags]), flags),
                    self._any(key, "times", lambda value: value.in_(times), times),
                ]
                return or_(false(), *(part for part in parts if part is not None))
            case Compared(key, order, operand, kind):
                found = self._any(key, kind, lambda value: _ordered(value, order, operand), (operand,))
                assert found is not None
                return found
            case Contains():
                return self._contains(condition)

    def any_element(self, column: Column[Any], values: Iterable[str]) -> ColumnElement[bool]:
        """Whether a JSON list of strings holds one of the values."""
        return self._element_exists(column, None, "strings", lambda value: value.in_(list(values)))

    def _contains(self, condition: Contains) -> ColumnElement[bool]:
        key, element = condition.key, condition.element
        if isinstance(element, str) and not _is_storable(element):
            return false()
        is_list = self._scalar(key, "a").is_not(None)
        kind = "flags" if isinstance(element, bool) else "strings" if isinstance(element, str) else "numbers"
        operand = element if isinstance(element, str) else float(element)  # as stored; integers may be any size
        member = self._any(key, kind, lambda value: value == operand, (operand,))
        assert member is not None
        if condition.text is None:
            return and_(is_list, member)
        text = func.coalesce(cast(self._scalar(key, "x"), Text), "")
        position = func.instr(text, condition.text) if self._sqlite else func.strpos(text, condition.text)
        # An empty needle is in every string, and in no absent one.
        within = and_(self._scalar(key, "x").is_not(None), or_(position > 0, _is_empty(condition.text)))
        return or_(within, and_(is_list, member))

    def _any(self, key: str, kind: str, test: Any, operands: Iterable[Any]) -> ColumnElement[bool] | None:
        return self._element_exists(self._fields, (key, _PLACES[kind]), kind, test) if list(operands) else None

    def _element_exists(
        self, column: Column[Any], path: tuple[str, str] | None, kind: str, test: Any
    ) -> ColumnElement[bool]:
        if self._sqlite:
            arguments = [] if path is None else [f'$."{path[0]}"."{path[1]}"']
            values = func.json_each(column, *arguments).table_valued("value")
            return exists(select(1).select_from(values).where(test(values.c.value)))
        source: Any = column if path is None else func.jsonb_extract_path(column, *path)
        # A field without values of this kind has no list of them: NULL, which gives no elements.
        values = func.jsonb_array_elements_text(source).table_valued("value")
        value: Any = cast(values.c.value, Text if kind == "strings" else _DOUBLE)
        return exists(select(1).select_from(values).where(test(value)))

    def _exists(self, key: str) -> ColumnElement[bool]:
        if self._sqlite:
            return func.json_type(self._fields, f'$."{key}"').is_not(None)
        return func.jsonb_exists(self._fields, key).is_(True)

    def _scalar(self, key: str, place: str) -> ColumnElement[Any]:
        if self._sqlite:
            return func.json_extract(self._fields, f'$."{key}"."{place}"')
        return func.jsonb_extract_path_text(self._fields, key, place)


def _is_storable(text: str) -> bool:
    """Whether a document could hold this text at all; asked for another, no database would take the operand."""
    return storable(text) == text


def _is_empty(text: str) -> ColumnElement[bool]:
    return true() if not text else false()


def _ordered(value: Any, order: str, operand: float) -> ColumnElement[bool]:
    compared: dict[str, ColumnElement[bool]] = {
        "gt": value > operand,
        "gte": value >= operand,
        "lt": value < operand,
        "lte": value <= operand,
    }
    return compared[order]
