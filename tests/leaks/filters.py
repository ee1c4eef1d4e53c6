"""Random filters, each with what it means for a document."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.leaks.world import COLOURS, Leaf

Meaning = Callable[[Leaf], bool]


def random_filter(chance: random.Random, leaves: Sequence[Leaf], *, depth: int = 2) -> tuple[dict[str, Any], Meaning]:
    """In the API's grammar; what it names by a canary is of any of `leaves`, whoever may see it."""
    if depth and chance.random() < 0.3:
        one, means_one = random_filter(chance, leaves, depth=depth - 1)
        two, means_two = random_filter(chance, leaves, depth=depth - 1)
        match chance.randrange(3):
            case 0:
                return {"$and": [one, two]}, lambda leaf: means_one(leaf) and means_two(leaf)
            case 1:
                return {"$or": [one, two]}, lambda leaf: means_one(leaf) or means_two(leaf)
        return {"$not": one}, lambda leaf: not means_one(leaf)
    year, colour, named = chance.randint(2014, 2025), chance.choice(COLOURS), chance.choice(leaves)
    simple: list[tuple[dict[str, Any], Meaning]] = [
        ({"metadata.year": {"$gte": year}}, lambda leaf: leaf.year >= year),
        ({"metadata.year": {"$lt": year}}, lambda leaf: leaf.year < year),
        ({"metadata.colour": colour}, lambda leaf: leaf.colour == colour),
        ({"metadata.colour": {"$nin": [colour]}}, lambda leaf: leaf.colour != colour),
        ({"metadata.note": named.in_metadata}, lambda leaf: leaf == named),
        ({"metadata.note": {"$contains": named.in_metadata[:4]}}, _notes(named.in_metadata[:4])),
        ({"external_id": {"$ne": named.in_external_id}}, lambda leaf: leaf != named),
        ({"external_id": {"$in": [named.in_external_id]}}, lambda leaf: leaf == named),
        ({"title": {"$contains": named.in_title.upper()}}, lambda leaf: leaf == named),
        ({"metadata.missing": {"$exists": False}}, lambda leaf: True),
    ]
    return chance.choice(simple)


def _notes(part: str) -> Meaning:
    return lambda leaf: part in leaf.in_metadata
