"""Metadata schemas that collections may have: JSON Schema 2020-12 that stands for itself.

Validation follows references wherever they lead, so one that leads out of the schema would make the server fetch what
a caller names, and one that leads back to itself would never end. Both are refused when the schema is given. So is
what no answer could show again: half of a surrogate pair, a number that is not finite.
"""

from __future__ import annotations

import math
from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from retrieval.errors import InvalidRequest

_REFERENCES = ("$ref", "$dynamicRef")


def check_metadata_schema(schema: dict[str, Any]) -> None:
    """Raises `InvalidRequest` with the pointer `/metadata_schema`."""
    try:
        _check_shown(schema)
        Draft202012Validator.check_schema(schema)
        _References(schema).follow(schema)
    except SchemaError as error:
        raise _refusal(f"Not a JSON Schema: {error.message}") from error
    except RecursionError as error:
        raise _refusal("The schema is nested too deeply.") from error


def _check_shown(part: Any) -> None:
    """What is wrong anywhere in the schema would be wrong in every answer that shows its collection."""
    match part:
        case str() if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in part):
            raise _refusal(f"{part!r} holds a character that cannot be stored.")
        case float() if not math.isfinite(part):
            raise _refusal("The schema holds a number that is not finite.")
        case dict():
            for name, value in part.items():
                _check_shown(name)
                _check_shown(value)
        case list():
            for item in part:
                _check_shown(item)


class _References:
    """Follows every reference once, and refuses those that lead out or in a circle."""

    def __init__(self, schema: dict[str, Any]) -> None:
        registry: Registry[Any] = Registry()
        self._resolver = registry.with_resource("", DRAFT202012.create_resource(schema)).resolver()
        self._open = {"#"}
        self._done: set[str] = set()

    def follow(self, part: Any) -> None:
        if isinstance(part, list):
            for item in part:
                self.follow(item)
        elif isinstance(part, dict):
            if isinstance(part.get("$id"), str):
                raise _refusal("The schema may not have an $id: its references would lead out of it.")
            for name, value in part.items():
                if name in _REFERENCES and isinstance(value, str):
                    self._follow_reference(value)
                else:
                    self.follow(value)

    def _follow_reference(self, reference: str) -> None:
        if reference in self._done:
            return
        if reference in self._open:
            raise _refusal(f"The reference {reference} leads back to itself.")
        if not reference.startswith("#"):
            raise _refusal(f"The reference {reference} leads out of the schema; only those that start with # are kept.")
        try:
            target = self._resolver.lookup(reference).contents
        except Unresolvable as error:
            raise _refusal(f"The reference {reference} leads nowhere.") from error
        self._open.add(reference)
        self.follow(target)
        self._open.remove(reference)
        self._done.add(reference)


def _refusal(sentence: str) -> InvalidRequest:
    return InvalidRequest(sentence, pointer="/metadata_schema")
