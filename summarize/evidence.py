"""Evidence: whether the passages answer a question at all, judged by several weak signals together.

No single signal decides: the meaning of a question and of a sentence that merely shares its topic lie close together,
and the right sentence often shares few of its words. Measured by `benchmarks/abstention.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from summarize.terms import names, question_terms, term
from summarize.units import Unit


@dataclass(frozen=True, slots=True)
class Signals:
    """All in [0, 1] but the cosines, which can be a little below 0.

    cosine        question and best unit with its context
    bare_cosine   question and best unit without it
    passage       question and best passage (the mean of its units)
    unit_share    of the question's term weight, what the best unit and its context hold
    passage_share the same for the best passage
    any_share     the same for all passages together
    names_missing share of the question's names and numbers that the best passage and its context lack
    """

    cosine: float
    passage: float
    unit_share: float
    passage_share: float
    any_share: float
    names_missing: float
