"""One question to the API, and what must be true of its reply beside that it leaks nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.leaks.settlement import Settlement
from tests.leaks.world import Caller, Leaf, Place

# What is wrong with a reply, in sentences; none when nothing is.
Expectation = Callable[[httpx2.Response], Iterable[str]]


@dataclass(frozen=True)
class Question:
    """`path` is the operation's id in the API's description. `narrowed` is what holds only while the index narrows a
    search to the collections asked for; `sought` the document whose own word is asked for, by one who sees it."""

    path: str
    method: str
    route: str
    right: Expectation
    params: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    narrowed: Expectation = lambda reply: ()
    sought: str | None = None

    @property
    def sent(self) -> str:
        return f"{self.route} {self.params} {self.body}"


@dataclass(frozen=True)
class Asker:
    """Who asks, of what, and by which luck."""

    settlement: Settlement
    caller: Caller
    chance: random.Random

    def leaf(self, *, seen: bool | None = None) -> Leaf:
        """Any document: one that the caller sees, one that it does not, or (None) either, half and half."""
        wanted = self.chance.random() < 0.5 if seen is None else seen
        return self.chance.choice([leaf for leaf in self.settlement.leaves if self.caller.sees(leaf) == wanted])

    def place(self, name: str) -> Place | None:
        """What the caller's tenant calls so, if the caller reaches it."""
        return next(
            (one for one in self.settlement.world.places if one.name == name and self.caller.reaches(one)), None
        )

    def name(self) -> str:
        """The name of a collection, anybody's."""
        return self.chance.choice(self.settlement.world.places).name

    def unreached_name(self) -> str:
        names = sorted({one.name for one in self.settlement.world.places})
        return self.chance.choice([name for name in names if self.place(name) is None])

    def seen(self) -> set[Leaf]:
        return {leaf for leaf in self.settlement.leaves if self.caller.sees(leaf)}

    def often(self, share: float) -> bool:
        return self.chance.random() < share


def status(*wanted: int) -> Expectation:
    return lambda reply: () if reply.status_code in wanted else [f"{reply.status_code} and not {wanted}"]


def exactly(wanted: Iterable[str], found: Callable[[Any], Iterable[str]]) -> Expectation:
    """A 200 with exactly these, by what `found` makes of its JSON."""
    expected = sorted(wanted)

    def check(reply: httpx2.Response) -> Iterable[str]:
        if reply.status_code != 200:
            yield f"{reply.status_code} and not 200"
            return
        there = sorted(found(reply.json()))
        if there != expected:
            yield f"{len(there)} and not {len(expected)}: {sorted(set(there) ^ set(expected))[:5]}"

    return check


def ids(reply: Any) -> list[str]:
    return [one["id"] for one in reply["data"]]
