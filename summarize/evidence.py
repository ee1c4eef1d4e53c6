"""Evidence: whether the passages answer a question at all, judged by several weak signals together.

No single signal decides: the meaning of a question lies close to a sentence that merely shares its topic, and the
right sentence often shares few of its words. The weights are those of two logistic regressions over questions with and
without an answer (`benchmarks/abstention.py` has the questions and prints both rates), an older one over fewer signals
and a newer one, mixed 7 to 3: each alone fits its own documents better than others. They belong to no file.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.embedding import Embedder
from summarize.contrast import is_of_another_time, is_opposite
from summarize.coverage import counts_apart, covered
from summarize.expectation import heads, lacks_kind
from summarize.terms import is_of_calendar, names, question_terms, term
from summarize.units import Unit

# Below even odds: an answer is a sentence of a document with its citation, which a reader can check, and silence where
# there is an answer is nothing that anybody can check.
ANSWERED = 0.4
WEIGHTS = {
    "nearness": 3.2,
    "beyond_title": 0.7,
    "passage": 0.4,
    "covered": 0.8,
    "unit_share": 0.7,
    "head_share": 1.0,
    "names_apart": -2.5,
    "names_missing": -1.0,
    "kind_missing": -2.4,
    "counts_apart": -0.8,
    "another_time": -1.2,
    "opposite": -0.9,
}
INTERCEPT = -3.1


@dataclass(frozen=True, slots=True)
class Signals:
    """What speaks for an answer and against it. Shares are in [0, 1].

    nearness      cosine of the question with the best unit, bare or in its context
    beyond_title  how much nearer the best unit is than its document's title: whoever asks about the subject in general
                  is as near to the title, and to every sentence under it
    passage       cosine of the question with the mean of the units of the passage that holds the best unit
    covered       of the question's term weight, the share that the passage of the best unit speaks of (`coverage`)
    unit_share    the share that the best unit and its context hold in the very words
    head_share    of the words that name what is asked for, the share that the passage and its context hold
    names_apart   of the names and numbers of the question, the share that the best unit and its context lack
    names_missing the share that even its passage lacks
    kind_missing  the question asks for a kind of thing, such as an amount of money, that the best unit holds none of
    counts_apart  how far what the best unit counts is from what the question wants counted
    another_time  the question asks for last or next year, and the best unit speaks of neither
    opposite      the best unit speaks of the opposite: the largest for the smallest
    """

    nearness: float
    beyond_title: float
    passage: float
    covered: float
    unit_share: float
    head_share: float
    names_apart: float
    names_missing: float
    kind_missing: bool
    counts_apart: float
    another_time: bool
    opposite: bool


def answerability(found: Signals) -> float:
    """The probability, in [0, 1], that the passages answer the question."""
    logit = sum(weight * float(getattr(found, name)) for name, weight in WEIGHTS.items()) + INTERCEPT
    return 1.0 / (1.0 + math.exp(-logit))


def signals(
    embedder: Embedder,
    question: str,
    units: Sequence[Unit],
    best: int,
    asked: NDArray[np.float32],
    vectors: NDArray[np.float32],
    nearness: NDArray[np.float32],
    weights: Mapping[str, float],
) -> Signals:
    """Reads the signals. `vectors` are those of the bare units, `nearness` the cosines, `asked` the question's."""
    unit = units[best]
    places = [at for at, other in enumerate(units) if other.passage.marker == unit.passage.marker]
    beside = [units[at] for at in places]
    mean = vectors[places].mean(axis=0)
    around = frozenset().union(*(other.terms | other.context for other in beside))
    title = embedder.embed_passages([unit.passage.title])[0]
    return Signals(
        nearness=float(nearness[best]),
        beyond_title=float(nearness[best] - title @ asked),
        passage=float(mean @ asked) / max(float(np.linalg.norm(mean)), 1e-9),
        covered=covered(embedder, question, weights, beside),
        unit_share=share(unit.terms | unit.context, weights),
        head_share=_held(heads(question), around, none=0.7),
        names_apart=names_apart(particulars(question), unit),
        names_missing=1.0 - _held(particulars(question), around, none=1.0),
        kind_missing=lacks_kind(question, unit.text),
        counts_apart=counts_apart(embedder, question, unit),
        another_time=is_of_another_time(question, unit.said),
        opposite=is_opposite(question, unit.text, unit.said),
    )


def _held(wanted: Collection[str], terms_held: frozenset[str], *, none: float) -> float:
    """The share of the wanted terms that are held; `none` where none is wanted."""
    return sum(one in terms_held for one in wanted) / len(wanted) if wanted else none


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
    """Names and numbers of the question as terms. Its first word is capitalised without being a name.

    Months and days of the week are left out: documents write dates in too many ways for a missing word to say much.
    """
    first, _, rest = question.strip().partition(" ")
    found = {term(word) for word in names(f"{first.lower()} {rest}") if not is_of_calendar(word)}
    return found | {t for t in question_terms(question) if t[0].isdigit()}


def names_apart(wanted: Collection[str], unit: Unit) -> float:
    """The share of the names and numbers that stand neither in the unit nor in its context, in [0, 1]."""
    return 1.0 - _held(wanted, unit.terms | unit.context, none=1.0)
