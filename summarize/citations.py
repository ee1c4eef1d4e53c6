"""Citations: the markers of a generated text, resolved to passages and verified, sentence by sentence.

What is promised of everything that leaves here:

1. every marker in the text belongs to a citation that was emitted, numbered from 1 in order of appearance;
2. every quote is verbatim a slice of its chunk's text;
3. every sentence has at least one such citation, its numbers, names and quoted spans stand in what it cites, and the
   cited passages share enough of its words (`proof.SUPPORT`) and do not say the opposite in the same words.

What fails is dropped and said so, with one of the reasons of `Reason`. Verification reads words, not meaning: a wrong
sentence made of the right words and numbers of one passage passes. The quote beside it lets the reader judge.

The resolver holds text back until its sentence is complete, so a stream shows verified sentences only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from retrieval.chunks import Locator
from summarize.generation import Passage
from summarize.output_policy import without_links
from summarize.proof import SHARED_SUPPORT, Reason, fault, quote_of, source_of, support
from summarize.statements import Statement, complete, gap, numbers_cited, units_of_text
from summarize.terms import collapsed, holds


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


class CitationResolver:
    """Resolves one generated text. Feed it deltas, then finish it; it is used once, by one thread."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._sources = {passage.marker: source_of(passage) for passage in passages}
        self._markers: dict[tuple[str, str], int] = {}
        self._said: set[str] = set()
        self._held = ""
        self._started = False
        self._gap = ""

    def feed(self, delta: str) -> list[ResolverEvent]:
        """Takes more of the text; gives what is now complete and decided, in order."""
        self._held += delta
        units, self._held = complete(self._held)
        return [event for unit in units for event in self._judge(unit)]

    def finish(self) -> list[ResolverEvent]:
        """The text has ended: decides what was still held back."""
        units = [*units_of_text(self._held)]
        self._held = ""
        return [event for unit in units for event in self._judge(unit)]

    def _judge(self, unit: str) -> Iterator[ResolverEvent]:
        raw = unit.strip()
        self._gap = max(self._gap, gap(unit), key=len)
        if not any(c.isalnum() for c in raw):
            return
        clean = without_links(raw, evidence=[self._sources[n].passage.text for n in self._cited(raw)])
        yield from (Dropped(Reason.LINK, link) for link in clean.removed)
        statement = Statement.of(clean.text, self._verbatim)
        if not any(c.isalnum() for c in statement.words):
            yield from (Dropped(Reason.INVENTED_MARKER, f"[{n}]") for n in statement.markers if n not in self._sources)
            return
        yield from self._verify(statement, clean.text)

    def _verify(self, statement: Statement, text: str) -> Iterator[ResolverEvent]:
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
        return fault(words, [self._sources[marker] for marker in valid])

    def _fault(self, part: str, marker: int, *, alone: bool) -> Reason | None:
        """What is wrong with this one marker behind this part of a sentence."""
        source = self._sources.get(marker)
        if source is None:
            return Reason.INVENTED_MARKER
        if alone:
            return fault(part, [source])
        return Reason.UNSUPPORTED if support(part, source.all_terms) < SHARED_SUPPORT else None

    def _emitted(self, statement: Statement, valid: Sequence[int]) -> Verified:
        new: list[Citation] = []
        evidence: list[tuple[int, str]] = []
        numbers: dict[int, int] = {}
        for marker in valid:
            source = self._sources[marker]
            quote = quote_of(statement.part_of(marker), source)
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
        return [n for n in numbers_cited(text) if n in self._sources]

    def _verbatim(self, body: str, markers: Iterable[int]) -> bool:
        """Whether the body, brackets included, is copied from one of the passages it cites."""
        wanted = collapsed(body)
        return any(holds(self._sources[n].plain, wanted) for n in markers if n in self._sources)


# Whether a text is copied from one of the passages that these markers name.
