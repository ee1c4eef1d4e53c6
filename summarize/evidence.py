"""Evidence: whether the passages answer a question at all, judged by several weak signals together.

No single signal decides: the meaning of a question lies close to a sentence that merely shares its topic, and the
right sentence often shares few of its words. The weights are those of a logistic regression over questions with and
without an answer (`benchmarks/abstention.py` has the questions and prints both rates); they belong to no file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from summarize.terms import names, offered_numbers, question_terms, term
from summarize.units import Unit

# At even odds both errors weigh the same: silence where there is an answer, an answer where there is none.
ANSWERED = 0.5
_FOR_A_NUMBER = re.compile(
    r"\b(?:how (?:many|much|long|often|high|old|far|tall|soon|large|big|fast)|when|(?:what|which) (?:year|date|day|"
    r"percentage|share|price|amount|temperature|number)|at what)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Signals:
    """What speaks for an answer and against it.

    nearness        cosine of the question with the nearest unit, bare or in its context
    passage         cosine of the question with the mean of the units of the passage that holds the best unit
    unit_share      of the question's term weight, the share that the best unit and its context hold, in [0, 1]
    any_share       the share that all passages together hold, in [0, 1]
    name_missing    a name or number of the question stands in no passage
    number_missing  the question asks for a number or a date and the best unit has none
    """

    nearness: float
    passage: float
    unit_share: float
    any_share: float
    name_missing: bool
    number_missing: bool


def answerability(found: Signals) -> float:
    """The probability, in [0, 1], that the passages answer the question."""
    logit = (
        6.9 * found.nearness
        + 5.0 * found.passage
        + 1.9 * found.unit_share
        + 1.7 * found.any_share
        - 1.3 * found.name_missing
        - 1.9 * found.number_missing
        - 7.2
    )
    return 1.0 / (1.0 + math.exp(-logit))


def signals(
    question: str,
    units: Sequence[Unit],
    best: int,
    asked: NDArray[np.float32],
    vectors: NDArray[np.float32],
    nearness: NDArray[np.float32],
    weights: Mapping[str, float],
) -> Signals:
    """Reads the signals. `vectors` are those of the bare units, `nearness` the cosines, `asked` the question's."""
    marker = units[best].passage.marker
    mean = vectors[[at for at, unit in enumerate(units) if unit.passage.marker == marker]].mean(axis=0)
    held = frozenset().union(*(unit.terms | unit.context for unit in units))
    return Signals(
        nearness=float(nearness.max()),
        passage=float(mean @ asked) / max(float(np.linalg.norm(mean)), 1e-9),
        unit_share=share(units[best].terms | units[best].context, weights),
        any_share=share(held, weights),
        name_missing=not particulars(question) <= held,
        number_missing=bool(_FOR_A_NUMBER.search(question)) and not offered_numbers(units[best].text),
    )


def question_weights(question: str, units: Sequence[Unit]) -> dict[str, float]:
    """The weight of each term of the question: the fewer passages hold it, the more it says (inverse frequency)."""
    held: dict[int, set[str]] = {}
    for unit in units:
        held.setdefault(unit.passage.marker, set()).update(unit.terms | unit.context)
    return {
        wanted: math.log(1 + (len(held) + 1) / (sum(wanted in own for own in held.values()) + 0.5))
        for wanted in question_terms(question)
    }


def share(held: frozenset[str], weights: Mapping[str, float]) -> float:
    """The share of the weight whose terms are held, in [0, 1]; 0 for a question of stop words alone."""
    whole = sum(weights.values())
    return sum(weight for wanted, weight in weights.items() if wanted in held) / whole if whole else 0.0


def particulars(question: str) -> set[str]:
    """Names and numbers of the question as terms. Its first word is capitalised without being a name."""
    first, _, rest = question.strip().partition(" ")
    words = names(f"{first.lower()} {rest}")
    return {term(word) for word in words} | {t for t in question_terms(question) if t[0].isdigit()}
