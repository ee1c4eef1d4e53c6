"""Selection: a few items of value that do not repeat each other, chosen greedily (maximal marginal relevance).

Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing summaries",
SIGIR 1998.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Above this cosine two sentences are one thought in other words.
SAME = 0.95
# More than any value: every group is served once before any is served twice.
EACH_GROUP_FIRST = 100.0


def choose(
    values: NDArray[np.float64],
    vectors: NDArray[np.float32],
    *,
    count: int,
    redundancy: float,
    floor: float | None = None,
    groups: Sequence[str] | None = None,
    unserved: float = EACH_GROUP_FIRST,
    sections: Sequence[str] | None = None,
    crowding: float = 0.0,
) -> list[int]:
    """Places of at most `count` items, in the order of choice.

    Each further item is the one of highest value less `redundancy` times its cosine with the nearest item already
    chosen, plus `unserved` if nothing of its group was chosen yet, less `crowding` for each item chosen from its
    section. Items below `floor` and items that repeat a chosen one are never chosen. `vectors` are of unit norm, one
    row for each value.
    """
    chosen: list[int] = []
    nearest = np.zeros(len(values))
    crowd = np.zeros(len(values))
    open_ = np.ones(len(values), dtype=bool) if floor is None else values >= floor
    labels = np.array(groups if groups is not None else [""] * len(values))
    places = np.array(sections if sections is not None else [""] * len(values))
    while len(chosen) < count and open_.any():
        bonus = unserved * ~np.isin(labels, labels[chosen])
        gain = np.where(open_, values - redundancy * nearest - crowding * crowd + bonus, -np.inf)
        best = int(np.argmax(gain))
        chosen.append(best)
        likeness = vectors @ vectors[best]
        nearest = np.maximum(nearest, likeness)
        crowd += places == places[best]
        open_ = open_ & (likeness < SAME)
        open_[best] = False
    return chosen
