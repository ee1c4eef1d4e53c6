"""Coverage: how much of a question a passage speaks of, in the same words or in words near to them.

A question about stores is answered by a sentence about shops. Two single words of one meaning are near to each other
for the embedder, and two of one subject are not, so each word of the question looks for its nearest in the passage.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.embedding import Embedder
from summarize.sentences import is_row
from summarize.terms import content_words, question_words, term, word_set, words
from summarize.units import Unit

# Cosines of single words under MiniLM: strangers lie about 0.2 to 0.35, synonyms above 0.7. Between them the count
# is partial.
STRANGERS = 0.35
SYNONYMS = 0.7
# "1,032 people worked": what a number counts stands within three words of it.
REACH = 3
# "How many paid vacation days": more words than that are no longer the name of one thing.
NAMED_BY = 3

_COUNTED = re.compile(r"\bhow many (?:of (?:the|its|their|our|your|his|her) )?(?P<rest>[^?]*)", re.IGNORECASE)
_COUNTED_ENDS = word_set(
    "of did do does is are was were has have had in on at to from by for can may will must that who"
)
_COUNT = re.compile(
    r"\d.*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|half|both|no|none|dozen"
)


def covered(embedder: Embedder, question: str, weights: Mapping[str, float], beside: Sequence[Unit]) -> float:
    """The share of the question's weight that one passage's units and their context speak of, in [0, 1]."""
    asked = question_words(question)
    held = content_words(" ".join(unit.said for unit in beside))
    if not asked or not held:
        return 0.0
    nearest = _likeness(embedder, list(asked.values()), held).max(axis=1)
    parts = np.clip((nearest - STRANGERS) / (SYNONYMS - STRANGERS), 0.0, 1.0)
    weight = np.array([weights[wanted] for wanted in asked])
    return float((parts * weight).sum() / weight.sum())


def counts_apart(embedder: Embedder, question: str, unit: Unit) -> float:
    """How far what the unit's numbers count is from what the question wants counted, in [0, 1]; 0 if nothing is.

    "Parental leave is granted for 14 months" counts months and no employees. In a row every cell may be counted.
    """
    wanted = wanted_count(question)
    if not wanted:
        return 0.0
    counted = _counted_in(unit)
    if not counted:
        return 1.0
    return 1.0 - float(_likeness(embedder, wanted, counted).max())


def wanted_count(question: str) -> list[str]:
    """The words that name what is to be counted: "vacation" and "days" of "How many vacation days do we get?"."""
    found = _COUNTED.search(question)
    named = itertools.takewhile(lambda word: word not in _COUNTED_ENDS, words(found["rest"])) if found else ()
    return content_words(" ".join(itertools.islice(named, NAMED_BY)))


def _counted_in(unit: Unit) -> list[str]:
    """The content words that stand near to a number."""
    row = is_row(unit.text)
    said = list(words(unit.said if row else unit.text))
    places = [at for at, word in enumerate(said) if _COUNT.fullmatch(word)]
    near = said if row and places else [w for at in places for w in said[max(0, at - REACH) : at + REACH + 1]]
    return content_words(" ".join(word for word in near if not _COUNT.fullmatch(word)))


def _likeness(embedder: Embedder, asked: Sequence[str], held: Sequence[str]) -> NDArray[np.float32]:
    """One row for each asked word: 1 where the held word is the same but for its inflection, or else their cosine."""
    vectors = embedder.embed_passages([*asked, *held])
    cosines = vectors[: len(asked)] @ vectors[len(asked) :].T
    same = np.array([[term(one) == term(other) for other in held] for one in asked])
    return np.where(same, np.float32(1.0), cosines)
