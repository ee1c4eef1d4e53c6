"""Events: what a streamed answer or summary sends while it is made, as one type each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from ragstone import models
from ragstone.errors import error_of

M = TypeVar("M", bound=models.Reply)


@dataclass(frozen=True, slots=True)
class Searched:
    """What was found; no hits for a summary without a query."""

    reply: models.SearchReply


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of the text."""

    text: str


@dataclass(frozen=True, slots=True)
class Cited:
    """What the text has just cited."""

    citation: models.Citation


@dataclass(frozen=True, slots=True)
class Done(Generic[M]):
    """The last one: the whole reply."""

    reply: M


Event = Searched | Delta | Cited | Done[M]


class EventReader(Generic[M]):
    """Makes events of the lines of a stream of server-sent events; `whole` once the last one came."""

    def __init__(self, done: type[M]) -> None:
        self.whole = False
        self._done = done
        self._name = ""
        self._data: list[str] = []

    def read(self, line: str) -> Iterator[Event[M]]:
        """The event that this line ends, if any. Raises the `ApiError` that an `error` event carries."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif not line and self._data:
            event = self._event(self._name, "\n".join(self._data))
            self._name, self._data = "", []
            if event is not None:
                yield event

    def _event(self, name: str, data: str) -> Event[M] | None:
        match name:
            case "search":
                return Searched(models.SearchReply.model_validate_json(data))
            case "delta":
                return Delta(json.loads(data)["text"])
            case "citation":
                return Cited(models.Citation.model_validate_json(data))
            case "done":
                self.whole = True
                return Done(self._done.model_validate_json(data))
            case "error":
                raise error_of(models.Problem.model_validate_json(data))
            case _:
                return None  # one that a later server knows
