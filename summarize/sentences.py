"""Sentences of a passage as code-point spans, so that a quote is always a slice of the text it stands in.

Rules, made for extracted text rather than prose alone:

- a table row (a line with " | ") and a list item are units of their own;
- a blank line always ends a sentence; a single newline only where the lines are short or the next one starts a unit,
  because PDFs and mails break lines inside sentences;
- a full stop ends a sentence unless it follows an abbreviation or an initial, or stands inside a number;
- 。！？ end a sentence without a space after them;
- a unit longer than `LONGEST` is cut at its last comma, semicolon or space, so that no quote fills a page.

Spans never overlap, come in order, carry no white space at their ends and skip units without a letter or digit.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from summarize.terms import is_stop_word, word_set

# 600 code points: about 100 words, three times a long sentence; beyond it the extraction lost its full stops.
LONGEST = 600
# A line this short was not broken by a margin: the writer ended it.
SHORT_LINE = 50
# A line shorter than this share of its block's longest line ends its paragraph.
RAGGED = 0.6

_BLANK = re.compile(r"\n[^\S\n]*\n\s*")
_BULLET = re.compile(r"[^\S\n]*(?:[-*•–‣◦▪●]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])[^\S\n]+\S")
_STOP = re.compile(r"(?P<cjk>[。！？]+[”’」』）)]*)|(?P<mark>(?<![.!?…])[.!?…]++[\"'”’»)\]]*)(?=\s)")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_FIRST_WORD = re.compile(r"\w+")
_OPENERS = "\"'“‘«([¿¡"
# Never the end of a sentence.
_ABBREVIATIONS = word_set(
    "mr mrs ms dr prof sr jr st rev hon gen col sgt capt lt vs cf al e.g i.e ph.d z.b d.h bzw ca vgl"
)
# The end of one only where a new one plainly begins: "Larkfield Inc. The company", not "Larkfield Inc. Holdings".
_SOMETIMES = word_set("inc ltd co corp llc plc etc usw dept ave blvd tel ext")
# Abbreviations before a number, words elsewhere: "No. 5", "The answer is no. Five people came."
_BEFORE_NUMBERS = word_set(
    "no nos nr fig figs eq eqs sec ch vol vols art p pp ed eds est max min approx resp abs bd "
    "jan feb mar apr jun jul aug sep sept oct nov dec"
)


def sentence_spans(text: str, *, longest: int = LONGEST, streamed: bool = False) -> list[tuple[int, int]]:
    """The spans [start, end) of the sentences of `text`, in code points, in order.

    `streamed` decides by what stands before a cut and the next word only, so that no text behind it changes the cut:
    a unit is then a row, to the end of its line, from its first " | " on.
    """
    return [
        cut
        for start, end in _units(text)
        for sentence in _split(text, start, end, streamed=streamed)
        for cut in _cut(text, *_trimmed(text, *sentence), longest)
        if any(c.isalnum() for c in text[cut[0] : cut[1]])
    ]


def sentences(text: str) -> list[str]:
    """The sentences themselves: verbatim slices of `text`."""
    return [text[start:end] for start, end in sentence_spans(text)]


def is_row(sentence: str) -> bool:
    """Whether this unit is a table row."""
    return " | " in sentence


def _units(text: str) -> Iterator[tuple[int, int]]:
    """Rows, list items and paragraphs: what no sentence crosses."""
    start = 0
    for blank in _BLANK.finditer(text):
        yield from _lines(text, start, blank.start())
        start = blank.end()
    yield from _lines(text, start, len(text))


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    lines: list[tuple[int, int]] = []
    at = start
    for line in text[start:end].splitlines(keepends=True):
        lines.append((at, at + len(line)))
        at += len(line)
    longest = max((len(text[a:b].strip()) for a, b in lines), default=0)
    unit = start
    for (a, b), (c, d) in itertools.pairwise(lines):
        if _ends(text[a:b], text[c:d], longest):
            yield unit, b
            unit = c
    if unit < end:
        yield unit, end


def _ends(line: str, following: str, longest: int) -> bool:
    """Whether the newline between two lines of one block ends a unit."""
    if is_row(line) or is_row(following) or _BULLET.match(following):
        return True
    first = following.strip()[:1]
    if first.islower() or not first:
        return False
    return longest < SHORT_LINE or len(line.strip()) < RAGGED * longest


def _split(text: str, start: int, end: int, *, streamed: bool) -> Iterator[tuple[int, int]]:
    if not streamed and is_row(text[start:end]):
        yield start, end
        return
    at = start
    for stop in _STOP.finditer(text, start, end):
        if is_row(text[at : stop.start()]):
            break
        if stop["cjk"] or _is_stop(text, at, stop.start(), stop.end(), end):
            yield at, stop.end()
            at = stop.end()
    if at < end:
        yield at, end


def _is_stop(text: str, start: int, at: int, after: int, end: int) -> bool:
    following = text[after:end].lstrip().lstrip(_OPENERS)[:1]
    before = text[start:at]
    if not before.strip() or not following:
        return False
    if text[at] != ".":
        return not following.islower()
    if before[-1].isspace():
        return True  # " . " is how tokenised text ends a sentence, whatever the case of the next word
    if following.islower():
        return False
    word = before.split()[-1].lstrip(_OPENERS)
    folded = word.casefold()
    if folded in _ABBREVIATIONS or (len(word) == 1 and word.isalpha() and word.isupper()):
        return False
    if folded in _BEFORE_NUMBERS and following.isdigit():
        return False
    # "28 C.F.R. § 58" and "J.R.R. Tolkien" go on; "in the U.S. The" does not.
    if (folded in _SOMETIMES or _DOTTED.fullmatch(word)) and not is_stop_word(_first_word(text[after:end])):
        return False
    # "1. Scope": the number of a list item, not a sentence.
    return not (word.isdigit() and len(word) <= 3 and before.strip().lstrip("(") == word)


def _first_word(text: str) -> str:
    found = _FIRST_WORD.search(text)
    return found.group() if found else ""


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), end - (len(inner) - len(inner.rstrip()))


def _cut(text: str, start: int, end: int, longest: int) -> Iterator[tuple[int, int]]:
    while end - start > longest:
        window = text[start : start + longest]
        at = max(window.rfind("; "), window.rfind(", "), window.rfind("，"))
        if at < longest // 2:
            at = max(window.rfind(" "), window.rfind("\n"))
        at = at + 1 if at > 0 else longest
        yield _trimmed(text, start, start + at)
        start, end = _trimmed(text, start + at, end)
    if start < end:
        yield start, end
