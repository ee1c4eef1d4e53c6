"""Fusing arms: one ranking out of several, with the parts of each score.

A convex combination of the arms' scores, each mapped to [0, 1] by its own range. Unlike ranks it keeps how much better
a candidate is than the next; `docs/decisions/0004-convex-fusion.md` has what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retrieval.index import Candidate


@dataclass(frozen=True, slots=True)
class Scale:
    """How an arm's scores count.

    `floor` maps to 0; None is the lowest score returned. `ceiling` maps to 1, or the highest score where that is more;
    None is the highest score: an arm that found nothing good must not call its best good.
    """

    weight: float
    floor: float | None = None
    ceiling: float | None = None


# Passages that say what a question asks have a cosine of .7 and more with this kind of model. A best of .4 is noise;
# stretched to 1 it would push down the one passage that holds the serial number asked for.
DENSE = Scale(weight=0.6, ceiling=0.7)
SPARSE = Scale(weight=0.4)
# BM25 gives what holds none of the terms 0. An arm that returned all it has is counted from there: three passages with
# the rare word of a query are all good, not one good and one bad.
SPARSE_EXHAUSTED = Scale(weight=0.4, floor=0.0)


@dataclass(frozen=True, slots=True)
class Fused:
    """A candidate with its final score in [0, 1] and the raw score of each arm that found it."""

    candidate: Candidate
    score: float
    parts: Mapping[str, float]


def fuse(arms: Mapping[str, Sequence[Candidate]], scales: Mapping[str, Scale]) -> list[Fused]:
    """All candidates, best first; ties by point id, so that equal queries give equal replies."""
    found: dict[str, tuple[Candidate, float, dict[str, float]]] = {}
    total = sum(scales[name].weight for name in arms)
    for name, candidates in arms.items():
        share = scales[name].weight / total
        for candidate, normalised in zip(candidates, _normalised(candidates, scales[name]), strict=True):
            first, score, parts = found.get(candidate.point_id) or (candidate, 0.0, {})
            parts[name] = candidate.score
            found[candidate.point_id] = (first, score + share * normalised, parts)
    ordered = sorted(found.values(), key=lambda one: (-one[1], one[0].point_id))
    return [Fused(*one) for one in ordered]


def _normalised(candidates: Sequence[Candidate], scale: Scale) -> list[float]:
    """Scores mapped to [0, 1]; where there is no range, all get 1."""
    if not candidates:
        return []
    scores = [candidate.score for candidate in candidates]
    low = min(scores) if scale.floor is None else scale.floor
    high = max(scores) if scale.ceiling is None else max(*scores, scale.ceiling)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]
