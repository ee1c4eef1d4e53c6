"""Contrast: whether a sentence speaks of another time than the question, or of the opposite of what it asks.

"What is the smallest voltage?" and "The largest voltage is 600 V" are as near to each other as two texts can be, for
an embedder hears what they are about and hardly what sets them apart.
"""

from __future__ import annotations

import re

from summarize.terms import word_set, words

_PERIOD = r"(?:year|month|week|quarter|season|spring|summer|autumn|winter|decade|century|time)s?\b"
_PAST = re.compile(rf"\b(?:last|previous|past) {_PERIOD}|\bago\b|\b{_PERIOD} before\b|\bbefore last\b", re.IGNORECASE)
_FUTURE = re.compile(rf"\b(?:next|coming|following) {_PERIOD}|\bin the future\b", re.IGNORECASE)
# A year may be the one that is meant; which one "last year" was, a document does not say.
_YEAR = r"\b(?:1[5-9]|20)\d\d\b"
_TELLS_PAST = re.compile(
    rf"\b(?:last|previous|past|ago|before|earlier|former|formerly|then)\b|\bfrom\b.*\bto\b|{_YEAR}", re.IGNORECASE
)
_TELLS_FUTURE = re.compile(
    rf"\b(?:next|coming|following|future|will|shall|plan\w*|expect\w*|intend\w*|from|forecast\w*)\b|{_YEAR}",
    re.IGNORECASE,
)
# Each side turns the other around. What is measured along one dimension says nothing of another.
_SIDES = tuple(
    (word_set(one), word_set(other))
    for one, other in (
        (
            "largest biggest most maximum highest longest upper greatest",
            "smallest least minimum lowest shortest lower fewest",
        ),
        ("new newest", "old oldest former previous"),
        ("first", "second third last final"),
        ("original initial", "final"),
        ("open opens opened", "close closes closed"),
        ("summer", "winter"),
        ("morning", "afternoon evening"),
        ("inside", "outside"),
        ("net", "gross"),
        ("deep depth", "long length wide width high height tall"),
        ("wide width", "long length high height tall"),
        ("long length", "high height tall"),
    )
)
# "It needs less gas than the old line" speaks of the new one.
_COMPARED = re.compile(r"\bthan\b.*", re.IGNORECASE | re.DOTALL)
_OPPOSITES = _SIDES + tuple((other, one) for one, other in _SIDES)


def is_of_another_time(question: str, text: str) -> bool:
    """Whether the question asks for a past or coming period and the text speaks of none."""
    return any(
        asked.search(question) is not None and told.search(text) is None
        for asked, told in ((_PAST, _TELLS_PAST), (_FUTURE, _TELLS_FUTURE))
    )


def is_opposite(question: str, text: str, around: str) -> bool:
    """Whether the text holds the opposite of a word of the question, and neither it nor what is around it the word."""
    said = _COMPARED.sub("", text)
    asked, held, near = set(words(question)), set(words(said)), set(words(around))
    return any(asked & one and held & other and not (held | near) & one for one, other in _OPPOSITES)
