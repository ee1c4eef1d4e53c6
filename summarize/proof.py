"""Proof: whether the passages that a statement cites say it, and the words of theirs that say it best.

Verification reads words, not meaning: a wrong sentence made of the right words and numbers of one passage passes. The
quote beside it lets the reader judge.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from summarize.generation import Passage
from summarize.sentences import sentence_spans
from summarize.statements import LAYOUT
from summarize.terms import (
    claimed_numbers,
    collapsed,
    holds,
    is_negated,
    month_number,
    names,
    offered_numbers,
    term,
    terms,
)

# The share of a sentence's content words that its cited passages must hold. Half: a paraphrase changes verbs and
# joins; a sentence of which most content words stand nowhere in its source is the model's own.
SUPPORT = 0.5
# One of several markers may prove a part only; below a fifth it proves nothing.
SHARED_SUPPORT = 0.2
# A sentence that uses this much of its source's words and drops or adds a "not" says the opposite of it.
SAME_WORDS = 0.8
# Each further sentence in a quote must earn this much support.
QUOTE_COST = 0.08
QUOTE_SENTENCES = 4
_QUOTED = re.compile(r"“([^”]+)”|(?<![\w\"])\"([^\"\n]+)\"(?!\w)|«([^»]+)»|„([^“”]+)[“”]")


class Reason(StrEnum):
    """Why something was left out of a text."""

    INVENTED_MARKER = "invented_marker"
    UNCITED = "uncited"
    UNSUPPORTED = "unsupported"
    NUMBER = "number_not_in_passage"
    NAME = "name_not_in_passage"
    NEGATION = "negation_differs"
    QUOTE = "quote_not_found"
    LINK = "link_removed"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class Source:
    """A passage taken apart once."""

    passage: Passage
    spans: tuple[tuple[int, int], ...]
    sentence_terms: tuple[frozenset[str], ...]
    all_terms: frozenset[str]
    numbers: frozenset[str]
    plain: str


def source_of(passage: Passage) -> Source:
    spans = tuple(sentence_spans(passage.text))
    around = " ".join((passage.title, *(passage.locator.heading_path or ())))
    return Source(
        passage,
        spans,
        tuple(frozenset(terms(passage.text[a:b])) for a, b in spans),
        frozenset(terms(f"{passage.text} {around}")),
        offered_numbers(f"{passage.text} {around}"),
        collapsed(passage.text),
    )


def fault(statement: str, sources: Sequence[Source]) -> Reason | None:
    """Why these passages do not prove the statement, None when they do."""
    if any(holds(source.plain, collapsed(statement).rstrip(" .")) for source in sources):
        return None
    numbers = frozenset().union(*(source.numbers for source in sources))
    if any(numbers.isdisjoint(claim) for claim in claimed_numbers(statement)):
        return Reason.NUMBER
    if not all(_spoken(span, sources) for span in _quoted(statement)):
        return Reason.QUOTE
    if not all(_named(name, sources, numbers) for name in names(LAYOUT.sub("", statement.strip()))):
        return Reason.NAME
    if support(statement, frozenset().union(*(source.all_terms for source in sources))) < SUPPORT:
        return Reason.UNSUPPORTED
    return Reason.NEGATION if _is_opposite(statement, sources) else None


def support(statement: str, offered: frozenset[str]) -> float:
    claimed = set(terms(statement))
    return len(claimed & offered) / len(claimed) if claimed else 0.0


def _quoted(statement: str) -> list[str]:
    """The spans that claim to be verbatim, cut at ellipses."""
    spans = [next(filter(None, match.groups())) for match in _QUOTED.finditer(statement)]
    pieces = [piece for span in spans for piece in re.split(r"\s*(?:\[?…\]?|\[?\.\.\.\]?)\s*", span)]
    return [piece for piece in pieces if any(c.isalnum() for c in piece)]


def _spoken(span: str, sources: Sequence[Source]) -> bool:
    wanted = collapsed(span).strip(" .,;:!?").casefold()
    return any(holds(source.plain.casefold(), wanted) for source in sources)


def _named(name: str, sources: Sequence[Source], numbers: frozenset[str]) -> bool:
    month = month_number(name)
    return any(term(name) in source.all_terms for source in sources) or (month is not None and month in numbers)


def _is_opposite(statement: str, sources: Sequence[Source]) -> bool:
    """Whether the sentence of the source nearest in words differs by a "not"."""
    claimed = frozenset(terms(statement))
    if not claimed:
        return False
    nearest = max(
        (
            (len(claimed & own) / len(claimed | own), span, source)
            for source in sources
            for span, own in zip(source.spans, source.sentence_terms, strict=True)
            if own
        ),
        key=lambda found: found[0],
        default=None,
    )
    if nearest is None:
        return False
    likeness, (start, end), source = nearest
    negated = is_negated(source.passage.text[start:end])
    if is_negated(statement):
        return not is_negated(source.passage.text)
    return negated and likeness >= SAME_WORDS


def quote_of(statement: str, source: Source) -> str:
    """The run of at most four sentences that supports the statement best, verbatim; the fewer, the better."""
    text, spans = source.passage.text, source.spans
    if not spans:
        return text.strip()
    wanted = collapsed(statement).strip().rstrip(" .")
    claimed = frozenset(terms(statement))
    numbers = claimed_numbers(statement)
    best, best_score = spans[0], -1.0
    for first in range(len(spans)):
        held: frozenset[str] = frozenset()
        for last in range(first, min(first + QUOTE_SENTENCES, len(spans))):
            held |= source.sentence_terms[last]
            window = text[spans[first][0] : spans[last][1]]
            score = len(claimed & held) / max(1, len(claimed)) - QUOTE_COST * (last - first)
            score += 0.5 * sum(not offered_numbers(window).isdisjoint(n) for n in numbers) / max(1, len(numbers))
            score += 1.0 if wanted and wanted in collapsed(window) else 0.0
            if score > best_score + 1e-9:
                best, best_score = (spans[first][0], spans[last][1]), score
    return text[best[0] : best[1]]
