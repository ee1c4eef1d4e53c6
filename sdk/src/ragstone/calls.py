"""Calls: one request of the API as a value. The nouns make them, a transport performs them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Generic, Protocol, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx2

from ragstone.models import Reply
from ragstone.uploads import Upload

M = TypeVar("M", bound=Reply)
R_co = TypeVar("R_co", covariant=True)
M_co = TypeVar("M_co", bound=Reply, covariant=True)


class Unset(Enum):
    """What a change leaves as it is; None is a value that some fields can be changed to."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET
PAGE: Final = "200"  # the most that the server gives of a list at once


@dataclass(frozen=True, slots=True)
class Call(Generic[R_co]):
    """`read` makes the reply of a response that is no error. `repeatable`: doing it twice does what doing it once does,
    so that it is made again when its reply was lost. `takes_s`: what the server may take on purpose. `also`: a status
    of an error that is a reply of this call."""

    method: str
    path: str
    read: Callable[[httpx2.Response], R_co]
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    upload: Upload | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False
    takes_s: float = 0.0
    also: int | None = None


class Page(Protocol[M_co]):
    """A page of a list."""

    @property
    def data(self) -> Sequence[M_co]: ...

    @property
    def next_cursor(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Pages(Generic[M]):
    """A list of the API: `first` asks for its first page, and every page names the next one's cursor."""

    first: Call[Page[M]]

    def after(self, cursor: str) -> Call[Page[M]]:
        first = self.first
        return Call(
            first.method, first.path, first.read, params={**first.params, "cursor": cursor}, repeatable=first.repeatable
        )


def get(reply: type[M], path: str, *, takes_s: float = 0.0, **params: Any) -> Call[M]:
    return Call("GET", path, as_model(reply), params=parameters(params), repeatable=True, takes_s=takes_s)


def post(reply: type[M], path: str, body: Mapping[str, Any] | None = None, *, repeatable: bool = False) -> Call[M]:
    """A body without what is None: left out means the server's default."""
    return Call("POST", path, as_model(reply), body=None if body is None else given(body), repeatable=repeatable)


def post_once(reply: type[M], path: str, body: Mapping[str, Any] | None = None) -> Call[M]:
    """Work that the server does once, however often it is sent."""
    sent = None if body is None else given(body)
    return Call("POST", path, as_model(reply), body=sent, headers=once(), repeatable=True)


def once() -> dict[str, str]:
    """A header that names this call: the server keeps its reply for 24 hours, and gives it again instead of doing the
    work again."""
    return {"Idempotency-Key": uuid4().hex}


def parameters(params: Mapping[str, Any]) -> dict[str, str]:
    """Query parameters without what is None; what is no text goes as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in params.items()
        if value is not None
    }


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def changed(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not UNSET}


def place(template: str, **names: str) -> str:
    """An address with the names in it quoted, so that no name reaches beyond its place.

    Raises ValueError for a name that no address can hold.
    """
    for kind, name in names.items():
        if name in {"", ".", ".."}:
            raise ValueError(f"{name!r} is no {kind}.")
    return template.format_map({kind: quote(name, safe="") for kind, name in names.items()})


def as_model(reply: type[M]) -> Callable[[httpx2.Response], M]:
    return lambda response: reply.model_validate_json(response.content)


def as_bytes(response: httpx2.Response) -> bytes:
    return response.content


def as_text(response: httpx2.Response) -> str:
    return response.text


def as_nothing(_: httpx2.Response) -> None:
    return None
