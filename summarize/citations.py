"""Citations: the markers of a generated text, resolved to passages and verified, sentence by sentence.

What is promised of everything that leaves here:

1. every marker in the text belongs to a citation that was emitted, numbered from 1 in order of appearance;
2. every quote is verbatim a slice of its chunk's text;
3. every sentence has at least one such citation, its numbers, names and quoted spans stand in what it cites, and the
   cited passages share enough of its words (`SUPPORT`) and do not say the opposite in the same words.

What fails is dropped and said so, with one of the reasons of `Reason`. Verification reads words, not meaning: a wrong
sentence made of the right words and numbers of one passage passes. The quote beside it lets the reader judge.

The resolver holds text back until its sentence is complete, so a stream shows verified sentences only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from retrieval.chunks import Locator
from summarize.generation import Passage
from summarize.output_policy import without_links
from summarize.sentences import sentence_spans
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
_QUOTED = re.compile(r"“([^”]+)”|(?<![\w\"])\"([^\"\n]+)\"(?!\w)|«([^»]+)»|„([^“”]+)[“”]")
_LAYOUT = re.compile(r"^(?:[-*•–]|\d{1,3}[.)]|#{1,6}|>)\s+")


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
class Citation:
    """A marker of the emitted text and its proof. `quote` is verbatim in the chunk."""

    marker: int
    chunk_id: str
    document_id: str
    title: str
    locator: Locator
    quote: str


@dataclass(frozen=True, slots=True)
class Dropped:
    reason: Reason
    text: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A sentence that may be shown, with the white space before it, and the citations that it is the first to use.

    `evidence` is all it rests on: the passage's own marker and the quote, for notes that are reduced later.
    """

    text: str
    citations: tuple[Citation, ...]
    evidence: tuple[tuple[int, str], ...]


ResolverEvent = Verified | Dropped


@dataclass(frozen=True, slots=True)
class _Source:
    """A passage taken apart once."""

    passage: Passage
    spans: tuple[tuple[int, int], ...]
    sentence_terms: tuple[frozenset[str], ...]
    all_terms: frozenset[str]
    numbers: frozenset[str]
    plain: str


class CitationResolver:
    """Resolves one generated text. Feed it deltas, then finish it; it is used once, by one thread."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._sources = {passage.marker: _source(passage) for passage in passages}
        self._markers: dict[tuple[str, str], int] = {}
        self._said: set[str] = set()
        self._held = ""
        self._started = False
        self._gap = ""

    def feed(self, delta: str) -> list[ResolverEvent]:
        """Takes more of the text; gives what is now complete and decided, in order."""
        self._held += delta
        units, self._held = _complete(self._held)
        return [event for unit in units for event in self._judge(unit)]

    def finish(self) -> list[ResolverEvent]:
        """The text has ended: decides what was still held back."""
        units = [*_units(self._held)]
        self._held = ""
        return [event for unit in units for event in self._judge(unit)]

    def _judge(self, unit: str) -> Iterator[ResolverEvent]:
        raw = unit.strip()
        self._gap = max(self._gap, _gap(unit), key=len)
        if not any(c.isalnum() for c in raw):
            return
        clean = without_links(raw, evidence=[self._sources[n].passage.text for n in self._cited(raw)])
        yield from (Dropped(Reason.LINK, link) for link in clean.removed)
        statement = _Statement.of(clean.text, self._verbatim)
        if not any(c.isalnum() for c in statement.words):
            yield from (Dropped(Reason.INVENTED_MARKER, f"[{n}]") for n in statement.markers if n not in self._sources)
            return
        yield from self._verify(statement, clean.text)

    def _verify(self, statement: _Statement, text: str) -> Iterator[ResolverEvent]:
        valid: list[int] = []
        invented: list[int] = []
        reason: Reason | None = Reason.UNCITED
        for part, markers in statement.parts:
            for marker in markers:
                fault = self._fault(part, marker, alone=len(markers) == 1)
                reason = fault or reason
                if fault is Reason.INVENTED_MARKER:
                    invented.append(marker)
                elif fault is None and marker not in valid:
                    valid.append(marker)
        if valid:
            reason = self._sentence_fault(statement.words, valid)
        if reason is not Reason.INVENTED_MARKER:
            yield from (Dropped(Reason.INVENTED_MARKER, f"[{marker}]") for marker in invented)
        if reason is None:
            self._said.add(collapsed(statement.words).casefold())
            yield self._emitted(statement, valid)
        else:
            yield Dropped(reason, text)

    def _sentence_fault(self, words: str, valid: Sequence[int]) -> Reason | None:
        """What is wrong with the whole sentence, resting on all its valid markers together."""
        if collapsed(words).casefold() in self._said:
            return Reason.REPEATED
        return _fault(words, [self._sources[marker] for marker in valid])

    def _fault(self, part: str, marker: int, *, alone: bool) -> Reason | None:
        """What is wrong with this one marker behind this part of a sentence."""
        source = self._sources.get(marker)
        if source is None:
            return Reason.INVENTED_MARKER
        if alone:
            return _fault(part, [source])
        return Reason.UNSUPPORTED if _support(part, source.all_terms) < SHARED_SUPPORT else None

    def _emitted(self, statement: _Statement, valid: Sequence[int]) -> Verified:
        new: list[Citation] = []
        evidence: list[tuple[int, str]] = []
        numbers: dict[int, int] = {}
        for marker in valid:
            source = self._sources[marker]
            quote = _quote(statement.part_of(marker), source)
            number, citation = self._numbered(source.passage, quote)
            numbers[marker] = number
            evidence.append((marker, quote))
            if citation is not None:
                new.append(citation)
        text = statement.rendered(numbers)
        gap = self._gap if self._started else ""
        self._started, self._gap = True, ""
        return Verified(gap + text, tuple(new), tuple(evidence))

    def _numbered(self, passage: Passage, quote: str) -> tuple[int, Citation | None]:
        """The marker of this quote, and its citation if this is its first use."""
        key = (passage.chunk_id, quote)
        if key in self._markers:
            return self._markers[key], None
        # The last word on promise 2, whatever was decided before.
        if not quote or quote not in passage.text:
            raise AssertionError("a quote is not verbatim in its chunk")
        number = self._markers[key] = len(self._markers) + 1
        citation = Citation(number, passage.chunk_id, passage.document_id, passage.title, passage.locator, quote)
        return number, citation

    def _cited(self, text: str) -> list[int]:
        return [n for match in _MARKER.finditer(text) for n in _marker_numbers(match) if n in self._sources]

    def _verbatim(self, body: str, markers: Iterable[int]) -> bool:
        """Whether the body, brackets included, is copied from one of the passages it cites."""
        wanted = collapsed(body)
        return any(holds(self._sources[n].plain, wanted) for n in markers if n in self._sources)


# Whether a text is copied from one of the passages that these markers name.
_VerbatimTest = Callable[[str, Iterable[int]], bool]


@dataclass(frozen=True, slots=True)
class _Statement:
    """A sentence taken apart: pieces of text, each followed by the markers behind it (the last by none or some)."""

    pieces: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, text: str, verbatim: _VerbatimTest) -> _Statement:
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
        return _LAYOUT.sub("", "".join(piece for piece, _ in self.pieces).strip())

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


def _source(passage: Passage) -> _Source:
    spans = tuple(sentence_spans(passage.text))
    around = " ".join((passage.title, *(passage.locator.heading_path or ())))
    return _Source(
        passage,
        spans,
        tuple(frozenset(terms(passage.text[a:b])) for a, b in spans),
        frozenset(terms(f"{passage.text} {around}")),
        offered_numbers(f"{passage.text} {around}"),
        collapsed(passage.text),
    )


# --- what a sentence must satisfy ---------------------------------------------------------------------------------


def _fault(statement: str, sources: Sequence[_Source]) -> Reason | None:
    """Why these passages do not prove the statement, None when they do."""
    if any(holds(source.plain, collapsed(statement).rstrip(" .")) for source in sources):
        return None
    numbers = frozenset().union(*(source.numbers for source in sources))
    if any(numbers.isdisjoint(claim) for claim in claimed_numbers(statement)):
        return Reason.NUMBER
    if not all(_spoken(span, sources) for span in _quoted(statement)):
        return Reason.QUOTE
    if not all(_named(name, sources, numbers) for name in names(_LAYOUT.sub("", statement.strip()))):
        return Reason.NAME
    if _support(statement, frozenset().union(*(source.all_terms for source in sources))) < SUPPORT:
        return Reason.UNSUPPORTED
    return Reason.NEGATION if _is_opposite(statement, sources) else None


def _support(statement: str, offered: frozenset[str]) -> float:
    claimed = set(terms(statement))
    return len(claimed & offered) / len(claimed) if claimed else 0.0


def _quoted(statement: str) -> list[str]:
    """The spans that claim to be verbatim, cut at ellipses."""
    spans = [next(filter(None, match.groups())) for match in _QUOTED.finditer(statement)]
    pieces = [piece for span in spans for piece in re.split(r"\s*(?:\[?…\]?|\[?\.\.\.\]?)\s*", span)]
    return [piece for piece in pieces if any(c.isalnum() for c in piece)]


def _spoken(span: str, sources: Sequence[_Source]) -> bool:
    wanted = collapsed(span).strip(" .,;:!?").casefold()
    return any(holds(source.plain.casefold(), wanted) for source in sources)


def _named(name: str, sources: Sequence[_Source], numbers: frozenset[str]) -> bool:
    month = month_number(name)
    return any(term(name) in source.all_terms for source in sources) or (month is not None and month in numbers)


def _is_opposite(statement: str, sources: Sequence[_Source]) -> bool:
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


def _quote(statement: str, source: _Source) -> str:
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


# --- taking a text apart ------------------------------------------------------------------------------------------


def _marker_numbers(match: re.Match[str]) -> tuple[int, ...]:
    """The passages a marker names: "[1, 3]" is 1 and 3, "[1-3]" is 1 to 3. Ranges longer than 20 are their ends."""
    found: list[int] = []
    listed = match.group("square") or match.group("lenticular")
    for first, last in re.findall(r"(\d+)(?:\s*[-–]\s*(\d+))?", listed):
        low, high = int(first), int(last or first)
        found += range(low, high + 1) if low <= high <= low + 20 else [low, high]
    return tuple(dict.fromkeys(found))


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


def _units(text: str) -> list[str]:
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


def _complete(text: str) -> tuple[list[str], str]:
    """The units that more text cannot change, and the rest."""
    units = _units(text)
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


def _gap(unit: str) -> str:
    """The break before a unit: a paragraph, a line or a space."""
    lead = unit[: len(unit) - len(unit.lstrip())]
    if lead.count("\n") > 1:
        return "\n\n"
    return "\n" if "\n" in lead else " "
