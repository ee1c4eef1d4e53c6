"""Statements: a generated text cut into cited sentences, as it streams.

A marker names passages: `[3]`, `[1, 2]`, `[1-3]`, `[Passage 2]`, `【1】`. A statement is a sentence with the markers in
and behind it. Each cut is found from the text behind the one before it alone, so a stream is cut like the whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from summarize.sentences import sentence_spans

# Held back at most: no sentence is longer; what is, is judged in pieces.
HELD_BACK = 4000
# "[Passages 1, 2, 3, 4 and 5]" and then some.
LONGEST_MARKER = 60

_NUMBERS = r"\d{1,4}(?:\s*(?:[,;&]|and|-|–)\s*\d{1,4})*"
_MARKER = re.compile(
    rf"\[\^?(?:(?:passages?|sources?|documents?|ref(?:erence)?s?)[\s:#]*)?(?P<square>{_NUMBERS})\]"
    rf"|【(?P<lenticular>{_NUMBERS})(?:†[^】]*)?】",
    re.IGNORECASE,
)
_MARKER_RUN = re.compile(
    rf"(?:\s*[,;]?\s*(?:{_MARKER.pattern.replace('?P<square>', '').replace('?P<lenticular>', '')}))+", re.IGNORECASE
)
_AFTER_STOP = re.compile(rf"[.!?…。！？][\"'”’)*_]*{_MARKER_RUN.pattern}(?=\s)", re.IGNORECASE)
_FIRST_WORD = re.compile(r"\W*\w+\W")
LAYOUT = re.compile(r"^(?:[-*•–]|\d{1,3}[.)]|#{1,6}|>)\s+")

VerbatimTest = Callable[[str, Iterable[int]], bool]


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence taken apart: pieces of text, each followed by the markers behind it (the last by none or some)."""

    pieces: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, text: str, verbatim: VerbatimTest) -> Statement:
        found = list(_MARKER.finditer(text))
        # Papers cite too: when everything before the last marker is copied from what that marker cites, brackets
        # inside are the document's own words.
        if len(found) > 1 and not any(c.isalnum() for c in text[found[-1].end() :]):
            start, end, markers = found[-1].start(), found[-1].end(), _marker_numbers(found[-1])
            if verbatim(text[:start].strip(), markers):
                return cls(((_unbracketed(text[:start]), markers), (text[end:], ())))
        pieces: list[tuple[str, tuple[int, ...]]] = []
        at = 0
        for start, end, markers in _groups(text):
            pieces.append((text[at:start], markers))
            at = end
        pieces.append((text[at:], ()))
        return cls(tuple(pieces))

    @property
    def words(self) -> str:
        return LAYOUT.sub("", "".join(piece for piece, _ in self.pieces).strip())

    @property
    def markers(self) -> list[int]:
        return [n for _, markers in self.pieces for n in markers]

    @property
    def parts(self) -> list[tuple[str, tuple[int, ...]]]:
        """Each cited part with its markers; words behind the last marker belong to the last part."""
        cited = [(piece, markers) for piece, markers in self.pieces if markers]
        if not cited:
            return []
        last, markers = cited[-1]
        tail = "".join(piece for piece, none in self.pieces if not none)
        return [*cited[:-1], (last + tail, markers)]

    def part_of(self, marker: int) -> str:
        return next((part for part, markers in self.parts if marker in markers), self.words)

    def rendered(self, numbers: dict[int, int]) -> str:
        """The sentence with its markers renumbered; those without a number are gone."""
        text = ""
        for piece, markers in self.pieces:
            kept = list(dict.fromkeys(numbers[n] for n in markers if n in numbers))
            text += piece.rstrip() + " " + "".join(f"[{n}]" for n in kept) if kept else piece
        return re.sub(r"[^\S\n]+", " ", text).strip()


def _marker_numbers(match: re.Match[str]) -> tuple[int, ...]:
    """The passages a marker names: "[1, 3]" is 1 and 3, "[1-3]" is 1 to 3. Ranges longer than 20 are their ends."""
    found: list[int] = []
    listed = match.group("square") or match.group("lenticular")
    for first, last in re.findall(r"(\d+)(?:\s*[-–]\s*(\d+))?", listed):
        low, high = int(first), int(last or first)
        found += range(low, high + 1) if low <= high <= low + 20 else [low, high]
    return tuple(dict.fromkeys(found))


def numbers_cited(text: str) -> list[int]:
    """Every passage that any marker of the text names, in order."""
    return [n for match in _MARKER.finditer(text) for n in _marker_numbers(match)]


def _groups(text: str) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Runs of adjacent markers: where each stands, and the passages it names."""
    start, end = -1, -1
    numbers: tuple[int, ...] = ()
    for match in _MARKER.finditer(text):
        if start >= 0 and text[end : match.start()].strip(" \t,;") == "":
            end, numbers = match.end(), numbers + _marker_numbers(match)
            continue
        if start >= 0:
            yield start, end, tuple(dict.fromkeys(numbers))
        start, end, numbers = match.start(), match.end(), _marker_numbers(match)
    if start >= 0:
        yield start, end, tuple(dict.fromkeys(numbers))


def _unbracketed(text: str) -> str:
    """The document's own bracketed numbers in parentheses, so that nobody takes them for ours."""
    return _MARKER.sub(lambda match: f"({match.group()[1:-1]})", text)


def units_of_text(text: str) -> list[str]:
    """The text cut into sentences with the white space before each; a run of markers belongs to what stands before.

    A generated text breaks lines on purpose, so every line ends a unit. Each cut is found from the text behind the
    one before it alone, so that a stream is cut like the whole.
    """
    units: list[str] = []
    while (cut := _first_cut(text)) is not None:
        units.append(text[:cut])
        text = text[cut:]
    return [*units, text] if text.strip() else units


def _first_cut(text: str) -> int | None:
    """Where the first unit ends, None while no other has begun."""
    begin = len(text) - len(text.lstrip())
    end = text.find("\n", begin)
    line = text[begin : end if end >= 0 else len(text)]
    starts = [begin + start for start, _ in sentence_spans(line, longest=HELD_BACK, streamed=True)[1:2]]
    run = _AFTER_STOP.search(text, begin, begin + len(line) + 1)
    cuts = [_behind_markers(text, at) for at in (*starts, *([run.end()] if run else []), *([end] if end >= 0 else []))]
    cut = min((at for at in cuts if text[at:].strip()), default=None)
    return None if cut is None else len(text[:cut].rstrip())


def _behind_markers(text: str, at: int) -> int:
    """The place behind the markers that stand at `at`, `at` itself when none do."""
    run = _MARKER_RUN.match(text, at)
    return run.end() if run else at


def complete(text: str) -> tuple[list[str], str]:
    """The units that more text cannot change, and the rest."""
    units = units_of_text(text)
    if len(units) < 2:
        if len(text) <= HELD_BACK:
            return [], text
        cut = max(text.rfind(" ", 0, HELD_BACK), HELD_BACK // 2)
        return [text[:cut]], text[cut:]
    # What begins with a bracket may become a marker of the unit before it, and whether a unit begins at all can depend
    # on its first word: both are waited for.
    opened = units[-1].lstrip()
    undecided = opened[0] in "[【" and len(opened) < LONGEST_MARKER
    ready = units[:-2] if undecided or not _FIRST_WORD.match(opened) else units[:-1]
    return ready, text[sum(map(len, ready)) :]


def gap(unit: str) -> str:
    """The break before a unit: a paragraph, a line or a space."""
    lead = unit[: len(unit) - len(unit.lstrip())]
    if lead.count("\n") > 1:
        return "\n\n"
    return "\n" if "\n" in lead else " "
