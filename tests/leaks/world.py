"""The world that the leak suite asks about, and who may see what in it: told from this description alone.

Nothing here comes from the product. A document is seen by a caller of its tenant, whose key reaches its collection,
and who administers, or holds one of its readers, or whom everybody includes (readers None).
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TENANTS = ("default", "acme", "globex")
LABELS = ("group:red", "group:blue", "user:ann")
SCOPES = ("search", "read", "write", "delete", "admin")
COLOURS = ("amber", "teal", "plum", "grey")
SUBJECTS = ("otter", "heron", "river", "willow", "mill", "bridge", "ferry", "lantern")
DOCUMENTS = 36  # of each tenant: enough that every kind of reader list meets every collection
_PARAGRAPHS = (1, 1, 1, 3)


@dataclass(frozen=True)
class Place:
    """A collection. Its name carries a canary, or is one that every tenant has."""

    tenant: str
    name: str


@dataclass(frozen=True)
class Leaf:
    """A document. Its canaries, words that occur nowhere else, stand in its text, title, external id and metadata."""

    place: Place
    readers: tuple[str, ...] | None
    in_text: str
    in_title: str
    in_external_id: str
    in_metadata: str
    subject: str
    colour: str
    year: int
    paragraphs: int
    broken: bool = False

    @property
    def title(self) -> str:
        return f"Notes on the {self.subject} {self.in_title}"

    @property
    def metadata(self) -> dict[str, Any]:
        return {"colour": self.colour, "year": self.year, "note": self.in_metadata}

    @property
    def text(self) -> str:
        """Several paragraphs are several chunks: none of them fits into one with its neighbour."""
        beside = f"Water ran past the {self.subject}. " * (1 if self.paragraphs == 1 else 30)
        return "\n\n".join(
            f"The {self.subject} by the old {self.colour} house is called {self.in_text}. "
            f"In {self.year} somebody wrote chapter {n} about it. {beside}"
            for n in range(self.paragraphs)
        )

    @property
    def canaries(self) -> tuple[str, ...]:
        return self.in_text, self.in_title, self.in_external_id, self.in_metadata


@dataclass(frozen=True)
class Caller:
    """One API key. `places` None means every collection of the tenant."""

    name: str
    tenant: str
    labels: frozenset[str]
    scopes: frozenset[str]
    places: frozenset[Place] | None

    @property
    def administers(self) -> bool:
        return "admin" in self.scopes

    def may(self, scope: str) -> bool:
        return scope in self.scopes or self.administers

    def reaches(self, place: Place) -> bool:
        return place.tenant == self.tenant and (self.places is None or place in self.places)

    def sees(self, leaf: Leaf) -> bool:
        if not self.reaches(leaf.place):
            return False
        return self.administers or leaf.readers is None or not self.labels.isdisjoint(leaf.readers)


@dataclass(frozen=True)
class World:
    places: tuple[Place, ...]
    leaves: tuple[Leaf, ...]
    callers: tuple[Caller, ...]

    def administrator(self, tenant: str) -> Caller:
        return next(one for one in self.callers if one.tenant == tenant and one.administers and one.places is None)


def make_world(chance: random.Random) -> World:
    places = tuple(_places(chance))
    leaves = tuple(leaf for tenant in TENANTS for leaf in _leaves(chance, [p for p in places if p.tenant == tenant]))
    callers = tuple(caller for tenant in TENANTS for caller in _callers([p for p in places if p.tenant == tenant]))
    return World(places, leaves, callers)


def canary(chance: random.Random) -> str:
    """A word that is told from every other by how it looks."""
    return "zq" + "".join(chance.choices(string.ascii_lowercase, k=10))


def _places(chance: random.Random) -> Iterator[Place]:
    for tenant in TENANTS:
        yield Place(tenant, "papers")
        yield Place(tenant, "notes")
        yield Place(tenant, f"own-{canary(chance)}")


def _leaves(chance: random.Random, places: list[Place]) -> Iterator[Leaf]:
    readers = (None, None, (), LABELS[:1], LABELS[1:2], LABELS[2:], LABELS[:2])
    for n in range(DOCUMENTS):
        yield Leaf(
            place=places[n % len(places)],
            readers=readers[n // len(places) % len(readers)],
            in_text=canary(chance),
            in_title=canary(chance),
            in_external_id=canary(chance),
            in_metadata=canary(chance),
            subject=chance.choice(SUBJECTS),
            colour=chance.choice(COLOURS),
            year=chance.randint(2015, 2024),
            paragraphs=chance.choice(_PARAGRAPHS),
            broken=n >= DOCUMENTS - 6,  # two in each collection, with different readers
        )


def _callers(places: list[Place]) -> Iterator[Caller]:
    tenant, own = places[0].tenant, places[-1]
    usual = frozenset(SCOPES) - {"admin"}
    yield Caller(f"{tenant}: administrator", tenant, frozenset(), frozenset({"admin"}), None)
    yield Caller(f"{tenant}: without labels", tenant, frozenset(), usual, None)
    yield Caller(f"{tenant}: red", tenant, frozenset(LABELS[:1]), usual, None)
    yield Caller(f"{tenant}: blue and ann", tenant, frozenset(LABELS[1:]), frozenset({"search", "read"}), None)
    yield Caller(f"{tenant}: red in papers", tenant, frozenset(LABELS[:1]), usual, frozenset(places[:1]))
    yield Caller(f"{tenant}: administrator of its own", tenant, frozenset(), frozenset({"admin"}), frozenset({own}))
    yield Caller(f"{tenant}: searcher", tenant, frozenset(LABELS[:2]), frozenset({"search"}), None)
