"""Units of the passages: the sentences, items and rows an extract may be made of, with what is needed to judge them.

A sentence rarely repeats what it is about: its document's title, the headings above it and, for a row, the table's
header say that. So a unit carries this context, for comparison only; what is quoted is the bare unit, a slice of the
passage without the bullet or number before it and without a heading that runs into it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from summarize.generation import Passage
from summarize.sentences import is_row, sentence_spans
from summarize.terms import terms, word_set

# "Travel and expenses": a line of up to this many words without a full stop, before more text, is a heading.
HEADING_WORDS = 8
# Context beyond this many code points says nothing more and drowns the unit.
CONTEXT = 160
# A heading shorter than this may just as well be the first word of the sentence: "Safety first" under "Safety".
SHORTEST_PREFIX = 8
# Fewer content words than this are a label or a fragment.
SHORTEST = 4

_BULLET = re.compile(r"(?:[-*•–‣◦▪●]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s+(?=\S)")
_LAYOUT = re.compile(r"[\s#*_.:]+")
_END = re.compile(r"[.!?。！？…][\"'”’»」』)\]]*$")
_WORD = re.compile(r"[^\W\d_]+")
# Openings that point back at a sentence which is not there.
_POINTING = word_set(
    "it its this these that those they their them he his him she her such here there then so but and or yet also both "
    "neither however therefore thus hence otherwise afterwards instead meanwhile moreover furthermore nevertheless "
    "er sie es dies diese dieser dieses deshalb daher dort dann aber"
)
# Sections, and headings run into their first sentence ("Abstract. We show …"), that sum up the rest.
_SUMMING_UP = word_set(
    "summary abstract conclusion conclusions findings overview discussion outlook zusammenfassung fazit überblick "
    "résumé conclusión resumen"
)
# The finite verbs that English cannot do without; regular ones in the past are known by their ending.
_VERBS = word_set(
    "is are was were am be been being has have had do does did will would can cannot could may might must should "
    "isn't aren't wasn't weren't don't doesn't didn't won't can't went goes came comes took takes gave gives made "
    "said says saw found finds led leads kept keeps held holds became becomes began begins brought bought built sent "
    "met left lost put stood stands told thought wrote writes knew knows grew fell rose ran set sold spent shows needs"
)
_PAST = re.compile(r"(?<!^)\b[a-z]{2,}ed\b")


class Kind(StrEnum):
    SENTENCE = "sentence"  # whole, and to be understood alone
    DEPENDENT = "dependent"  # whole, but it points at what stands before it
    ITEM = "item"  # of a list
    ROW = "row"  # of a table
    FRAGMENT = "fragment"  # a label, an address, a line of a letter's head


@dataclass(frozen=True, slots=True)
class Unit:
    """One sentence, item or row. `place` counts from 0 within its passage, which has `of` units.

    `said` is what is compared by meaning: context and text. `terms` are the unit's own, `context` those around it.
    `section` names the innermost heading above it.
    """

    passage: Passage
    text: str
    place: int
    of: int
    said: str
    terms: frozenset[str]
    context: frozenset[str]
    kind: Kind
    section: str


def units_of(passages: Sequence[Passage]) -> list[Unit]:
    """The units of all passages, in order. Titles, headings and table headers are context, not units.

    A passage that holds nothing else is a unit of its own for each of its lines, as a fragment.
    """
    return [unit for passage in passages for unit in _units(passage)]


@dataclass(frozen=True, slots=True)
class _Found:
    text: str
    around: tuple[str, ...]
    kind: Kind


def _units(passage: Passage) -> list[Unit]:
    above = [passage.title, *(passage.locator.heading_path or ())]
    found = list(_found(passage.text, above))
    if not found:
        texts = [passage.text[start:end] for start, end in sentence_spans(passage.text)]
        found = [_Found(text, (), Kind.FRAGMENT) for text in texts]
    return [
        Unit(
            passage,
            one.text,
            place,
            len(found),
            f"{' '.join(dict.fromkeys((*above, *one.around)))[:CONTEXT]}. {one.text}" if above else one.text,
            frozenset(terms(one.text)),
            frozenset(terms(" ".join((*above, *one.around)))),
            one.kind,
            (*above, *one.around)[-1],
        )
        for place, one in enumerate(found)
    ]


def _found(text: str, above: Sequence[str]) -> Iterator[_Found]:
    """What may be quoted, in order, each with the heading and the table header that stand above it in the text."""
    spans = sentence_spans(text)
    known = {_plain(heading) for heading in above}
    heading: tuple[str, ...] = ()
    header: str | None = None
    for place, (start, end) in enumerate(spans):
        following = spans[place + 1][0] if place + 1 < len(spans) else len(text)
        own = text[start:end]
        if is_row(own):
            if header is None and place + 1 < len(spans) and is_row(text[slice(*spans[place + 1])]):
                header = own
                continue
            yield _Found(own, (*heading, header) if header else heading, Kind.ROW)
            continue
        header = None
        if _plain(own) in known | _SUMMING_UP or _is_heading(own, text[end:following], last=place + 1 == len(spans)):
            heading = (own,)
            continue
        bullet = _BULLET.match(own)
        bare = _without_heading(own[bullet.end() :] if bullet else own, [*above, *heading])
        yield _Found(bare, heading, _kind(bare, listed=bullet is not None))


def _kind(text: str, *, listed: bool) -> Kind:
    """What the shape of the text promises; no grammar is known here, so these are signs and not proofs."""
    words = _WORD.findall(text)
    if not _END.search(text) or len(set(terms(text))) < SHORTEST - listed or not _has_running_words(words):
        return Kind.FRAGMENT
    if listed:
        return Kind.ITEM
    pointing = bool(words) and words[0].casefold() in _POINTING
    return Kind.DEPENDENT if pointing or text[:1].islower() or _is_torn(text) else Kind.SENTENCE


def _has_running_words(words: Sequence[str]) -> bool:
    """Whether half of the words begin small, as they do in a sentence and not in a name, an address or a label.

    Writing without capitals, and German with its many, pass at a third.
    """
    small = sum(not word[0].isupper() for word in words)
    return bool(words) and 3 * small >= len(words)


def sums_up(section: str) -> bool:
    """Whether a section of this heading says in short what the document says."""
    return not _SUMMING_UP.isdisjoint(word.casefold() for word in _WORD.findall(section))


def has_verb(text: str) -> bool:
    """Whether a verb is plainly there. In another language than English it never is, which favours no sentence."""
    return any(word in _VERBS for word in text.casefold().split()) or _PAST.search(text) is not None


def _is_torn(text: str) -> bool:
    """Whether the sentence is cut out of somebody's speech or of a bracket."""
    return text.count('"') % 2 == 1 or text.count("“") != text.count("”") or text.count("(") != text.count(")")


def _is_heading(text: str, gap: str, *, last: bool) -> bool:
    """Whether a line stands over what follows. A question on a line of its own does: its answer is below it."""
    if text.startswith("#"):
        return True
    if last:
        return False
    if text.endswith("?") and "\n" in gap:
        return True
    alone = "\n" in gap and len(text.split()) <= HEADING_WORDS and text[-1].isalnum() and not _BULLET.match(text)
    return alone and (
        not any(c.isdigit() for c in text) or ("\n\n" in gap and text[0].isdigit() and text[-1].isalpha())
    )


def _without_heading(text: str, headings: Sequence[str]) -> str:
    """The sentence behind a heading that the extraction glued to its front."""
    for heading in sorted(headings, key=len, reverse=True):
        rest = text[len(heading) :]
        if len(heading) >= SHORTEST_PREFIX and text.startswith(heading) and re.match(r"[\s:.]+[^\W\d_]", rest):
            inner = rest.lstrip(" \t\n:.")
            # "Working time is 38 hours" goes on in small letters: there the heading's words are the subject.
            if inner[0].isupper() and len(inner.split()) >= SHORTEST:
                return inner
    return text


def _plain(heading: str) -> str:
    """A heading without its marks and numbers' dots, for comparison."""
    return _LAYOUT.sub(" ", heading).strip().casefold()
