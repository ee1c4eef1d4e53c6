"""Relevance: which units a summary on a question may rest on. It is a gate; only what passes is ranked.

A document that does not speak of the question has a sentence nearest to it all the same, so nearness among the
candidates proves nothing: the gate asks for nearness in itself, for words in common, and for the names and numbers
that the question gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from summarize.evidence import particulars, question_weights, share
from summarize.units import Unit

# With sentence embedders of the MiniLM kind unrelated texts lie below 0.25 and texts of one subject above 0.4.
NEAR = 0.4
# Most of the question's weight in common words makes up for a vague nearness, and no words for a great one.
NEAR_WITH_WORDS = 0.25
MOST_WORDS = 0.5
# A unit worth less than this share of the best one only fills.
NEAR_BEST = 0.6
# Words count for less than meaning: the embedder has seen the words too.
WORD_WEIGHT = 0.3


def relevance(
    question: str, units: Sequence[Unit], bare: NDArray[np.float32], said: NDArray[np.float32]
) -> NDArray[np.float64]:
    """What each unit is worth for the question; minus infinity for those that are not about it.

    `bare` and `said` are the cosines with the question of the units alone and in their context. Context lets a unit
    pass as much as its own words do; it tells apart no two sentences under one title, so it counts less in the order.
    """
    weights = question_weights(question, units)
    words = np.array([share(unit.terms | unit.context, weights) for unit in units])
    own = np.array([share(unit.terms, weights) for unit in units])
    nearness = np.maximum(bare, said)
    about = (nearness >= NEAR) | ((nearness >= NEAR_WITH_WORDS) & (words >= MOST_WORDS))
    about &= _particular(question, units)
    if about.any():
        near = nearness + WORD_WEIGHT * words
        about &= near >= NEAR_BEST * near[about].max()
    return np.where(about, 0.5 * bare + 0.5 * said + 0.5 * WORD_WEIGHT * own, -np.inf)


def _particular(question: str, units: Sequence[Unit]) -> NDArray[np.bool_]:
    """Whether a unit, or the context or passage around it, holds the names and numbers of the question.

    Half of them is enough, for a question may name two things that are told apart. One with a digit, such as a lot or
    a type, must be there: everything else would be about another one.
    """
    wanted = particulars(question)
    codes = {one for one in wanted if any(c.isdigit() for c in one)}
    around: dict[int, frozenset[str]] = {}
    for unit in units:
        own = unit.terms | unit.context
        around[unit.passage.marker] = around.get(unit.passage.marker, frozenset()) | own
    held = [around[unit.passage.marker] for unit in units]
    return np.array([(not codes or bool(codes & own)) and 2 * len(wanted & own) >= len(wanted) for own in held])
