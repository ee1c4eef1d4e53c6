"""Values from a process that may be hostile, checked one by one for their type and range."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Malformed(ValueError):
    """These bytes are not what they were announced to be."""


def optional(check: Callable[[object], T], value: object) -> T | None:
    return None if value is None else check(value)


def a_list(value: object, length: int | None = None) -> list[Any]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise Malformed("a list of the wrong shape")
    return value


def a_text(value: object) -> str:
    if not isinstance(value, str):
        raise Malformed("not a text")
    return value


def a_count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise Malformed("not a count")
    return value


def a_positive(value: object) -> int:
    if a_count(value) < 1:
        raise Malformed("numbers start at 1")
    return cast(int, value)


def a_number(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(cast(float, value)):
        raise Malformed("not a number")
    return float(cast(float, value))
