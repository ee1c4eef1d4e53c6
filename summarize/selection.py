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


def choose(
    values: NDArray[np.float64],
    vectors: NDArray[np.float32],
    *,
    count: int,
    redundancy: float,
    floor: float | None = None,
    groups: Sequence[str] | None = None,
) -> list[int]:
    """Places of at most `count` items, in the order of choice.

    Each further item is the one of highest value less `redundancy` times its cosine with the nearest item already
    chosen. Items below `floor` and items that repeat a chosen one are never chosen. With `groups`, every group is
    served once before any is served twice. `vectors` are of unit norm, one row for each value.
    """
    chosen: list[int] = []
    nearest = np.zeros(len(values))
    open_ = np.ones(len(values), dtype=bool) if floor is None else values >= floor
    labels = np.array(groups if groups is not None else [""] * len(values))
    while len(chosen) < count and open_.any():
        unserved = open_ & ~np.isin(labels, labels[chosen])
        candidates = unserved if groups is not None and unserved.any() else open_
        gain = np.where(candidates, values - redundancy * nearest, -np.inf)
        best = int(np.argmax(gain))
        chosen.append(best)
        likeness = vectors @ vectors[best]
        nearest = np.maximum(nearest, likeness)
        open_ = open_ & (likeness < SAME)
        open_[best] = False
    return chosen
