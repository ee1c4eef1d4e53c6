"""One ranking out of several arms."""

from __future__ import annotations

import random

import pytest

from retrieval.fusion import Scale, fuse
from retrieval.index import Candidate

EVEN = {"dense": Scale(0.5), "sparse": Scale(0.5)}
FROM_ZERO = {"sparse": Scale(0.5, floor=0.0)}


def found(**scores: float) -> list[Candidate]:
    return [Candidate(name, score, name, 1, 1) for name, score in scores.items()]


def test_scores_are_normalised_by_each_arms_own_range_and_weighted() -> None:
    fused = fuse({"dense": found(a=0.9, b=0.5, c=0.1), "sparse": found(b=30.0, d=10.0)}, EVEN)
    assert [one.candidate.point_id for one in fused] == ["b", "a", "c", "d"]
    assert [one.score for one in fused] == [pytest.approx(0.75), 0.5, 0.0, 0.0]


def test_parts_are_the_raw_scores_of_the_arms_that_found_it() -> None:
    first, *_ = fuse({"dense": found(a=0.9, b=0.5), "sparse": found(a=30.0)}, EVEN)
    assert first.parts == {"dense": 0.9, "sparse": 30.0}


def test_a_single_arm_scores_up_to_one() -> None:
    assert [one.score for one in fuse({"sparse": found(a=3.0, b=1.0)}, EVEN)] == [1.0, 0.0]


@pytest.mark.parametrize("scores", [{"a": 0.2}, {"a": 0.2, "b": 0.2}])
def test_a_single_candidate_and_equal_ones_get_the_full_score(scores: dict[str, float]) -> None:
    assert {one.score for one in fuse({"dense": found(**scores)}, EVEN)} == {1.0}


def test_ties_are_ordered_by_point_so_that_equal_queries_give_equal_replies() -> None:
    candidates = found(**{f"p{n}": 0.5 for n in range(20)})
    random.Random(1).shuffle(candidates)
    fused = fuse({"dense": candidates}, EVEN)
    assert [one.candidate.point_id for one in fused] == sorted(one.point_id for one in candidates)


def test_nothing_found_is_nothing() -> None:
    assert fuse({"dense": [], "sparse": []}, EVEN) == []


def test_an_exhausted_arm_is_scored_from_its_floor() -> None:
    fused = fuse({"sparse": found(a=4.0, b=2.0, c=2.0)}, FROM_ZERO)
    assert [one.score for one in fused] == [1.0, 0.5, 0.5]
    assert [one.score for one in fuse({"sparse": found(a=2.0, b=2.0)}, FROM_ZERO)] == [1.0, 1.0]


def test_an_arm_whose_best_is_below_its_ceiling_does_not_call_it_the_best_there_is() -> None:
    arms = {"dense": found(a=0.35, b=0.1), "sparse": found(c=9.0, d=8.0)}
    scales = {"dense": Scale(0.6, ceiling=0.7), "sparse": Scale(0.4, floor=0.0)}
    assert [one.candidate.point_id for one in fuse(arms, scales)] == ["c", "d", "a", "b"]
    certain = {**arms, "dense": found(a=0.8, b=0.1)}
    assert fuse(certain, scales)[0].candidate.point_id == "a"
