"""ROUGE-1 and ROUGE-L, the F1 of common words and of the longest common subsequence of words.

Lin, "ROUGE: a package for automatic evaluation of summaries", 2004; words are lower-case runs of letters and digits,
without stemming, so figures lie one to two points below those with it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"[a-z0-9]+")


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def rouge_1(candidate: str, reference: str) -> float:
    """F1 of the words in common, in [0, 1]."""
    ours, theirs = words(candidate), words(reference)
    return _f1(sum((Counter(ours) & Counter(theirs)).values()), len(ours), len(theirs))


def rouge_l(candidate: str, reference: str) -> float:
    """F1 of the longest common subsequence, in [0, 1]."""
    ours, theirs = words(candidate), words(reference)
    return _f1(_longest_common(ours, theirs), len(ours), len(theirs))


def _f1(common: int, candidate: int, reference: int) -> float:
    return 2 * common / (candidate + reference) if common else 0.0


def _longest_common(left: Sequence[str], right: Sequence[str]) -> int:
    row = [0] * (len(right) + 1)
    for word in left:
        before = 0
        for place, other in enumerate(right, start=1):
            above = row[place]
            row[place] = before + 1 if word == other else max(above, row[place - 1])
            before = above
    return row[-1]
