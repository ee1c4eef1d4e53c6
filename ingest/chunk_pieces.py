"""Chunk pieces: the slices of elements that chunks are made of, and how a long element is cut into them."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ingest.parsing import Element, ElementKind, ParsedDocument
from retrieval.embedding import Tokenizer

# A sentence ends after . ! ? … and closing quotes before whitespace, and directly after the CJK full stops.
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？｡]+[」』”’）]*|\n(?=\s*\n)|\n(?=[-*•‣▪])")
_LINE_END = re.compile(r"\n")
_SEGMENT_CHARACTERS = 50_000  # tokens of more text than this are never held at once (about 1 MB of spans)
_SMALLEST_SHARE = 3  # a cut that leaves less than a third of the room used is made at a finer boundary instead


@dataclass(frozen=True, slots=True)
class Segment:
    """`text` is `element.text[offset:offset + len(text)]`; it starts at `start` in the extracted text.

    `line` counts the line breaks of the element before it.
    """

    element: Element
    text: str
    offset: int
    start: int
    line: int


@dataclass(frozen=True, slots=True)
class Piece:
    """The extracted text's [start, end) within one element that starts at `base`. Both ends are not whitespace.

    `first_line` and `last_line` are the lines of the element's text, from 0, that it touches.
    """

    element: Element
    base: int
    start: int
    end: int
    tokens: int
    first_line: int
    last_line: int

    @property
    def is_heading(self) -> bool:
        return self.element.kind is ElementKind.TITLE

    @property
    def group(self) -> tuple[int | None, str | None, str | None]:
        return self.element.slide, self.element.sheet, self.element.part

    @property
    def path(self) -> tuple[str, ...]:
        return self.element.heading_path or ()


def segments_of(document: ParsedDocument) -> Iterator[Segment]:
    for element, start, _ in document.spans():
        text, offset, line = element.text, 0, 0
        while len(text) - offset > _SEGMENT_CHARACTERS:
            end = _coarse_end(text, offset)
            yield Segment(element, text[offset:end], offset, start + offset, line)
            line += text.count("\n", offset, end)
            offset = end
        yield Segment(element, text[offset:], offset, start + offset, line)


def _coarse_end(text: str, offset: int) -> int:
    """Where a segment of a very long element ends: at a line, else a word, else anywhere."""
    limit = offset + _SEGMENT_CHARACTERS
    for mark in ("\n", " "):
        end = text.rfind(mark, offset + _SEGMENT_CHARACTERS // 2, limit)
        if end >= 0:
            return end + 1
    return limit


def piece_of(segment: Segment, start: int, end: int, tokens: int) -> Piece:
    """The piece of `segment.text[start:end]` without the whitespace around it."""
    text = segment.text[start:end]
    start += len(text) - len(text.lstrip())
    end -= len(text) - len(text.rstrip())
    first_line = segment.line + segment.text.count("\n", 0, start)
    return Piece(
        element=segment.element,
        base=segment.start - segment.offset,
        start=segment.start + start,
        end=segment.start + end,
        tokens=tokens,
        first_line=first_line,
        last_line=first_line + segment.text.count("\n", start, end),
    )


class Cutter:
    """Cuts what does not fit one chunk."""

    def __init__(self, tokenizer: Tokenizer, *, tokens: int, characters: int) -> None:
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._characters = characters

    def cut(self, segment: Segment, tokens: int, *, first_room: int) -> Iterator[Piece]:
        """Pieces of at most the limit; the first of at most `first_room` word pieces where that is worth a cut."""
        rows = segment.element.kind is ElementKind.TABLE
        first_room = first_room if first_room * _SMALLEST_SHARE >= self._tokens else self._tokens
        return self._rows(segment, first_room) if rows else self._prose(segment, 0, len(segment.text), first_room)

    def _rows(self, segment: Segment, room: int) -> Iterator[Piece]:
        spans = list(_line_spans(segment.text))
        counts = self._tokenizer.count([segment.text[start:end] for start, end in spans])
        run: list[tuple[int, int]] = []
        used = 0
        for (start, end), tokens in zip(spans, counts, strict=True):
            over = run and (used + tokens > room or end - run[0][0] > self._characters)
            if over:
                yield piece_of(segment, run[0][0], run[-1][1], used)
                run, used, room = [], 0, self._tokens
            if tokens > room or end - start > self._characters:
                yield from self._prose(segment, start, end, self._tokens)
            elif not segment.text[start:end].isspace() and start < end:
                run.append((start, end))
                used += tokens
        if run:
            yield piece_of(segment, run[0][0], run[-1][1], used)

    def _prose(self, segment: Segment, start: int, end: int, first_room: int) -> Iterator[Piece]:
        text = segment.text[start:end]
        spans = self._tokenizer.spans(text)
        starts = [span[0] for span in spans]
        boundary = _LINE_END if segment.element.kind is ElementKind.CODE else _SENTENCE_END
        ends = [match.end() for match in boundary.finditer(text)]
        at, token, room = 0, 0, first_room
        while at < len(text):
            room = min(room, _even(len(spans) - token, room))
            stop = starts[token + room] if token + room < len(starts) else len(text)
            stop = max(min(stop, at + self._characters), at + 1)
            if stop < len(text):
                stop = _boundary(text, at, stop, ends)
            next_token = bisect_left(starts, stop)
            if not text[at:stop].isspace():
                yield piece_of(segment, start + at, start + stop, next_token - token)
            at, token, room = stop, next_token, self._tokens


def _even(tokens: int, room: int) -> int:
    """The room to use so that what remains makes pieces of like size, not a full one and a scrap."""
    pieces = -(-tokens // room)
    return room if pieces > 2 or pieces < 2 else min(room, tokens // 2 + room // 4)


def _boundary(text: str, start: int, stop: int, ends: Sequence[int]) -> int:
    """The best place to cut in (start, stop]: a sentence's end, else a word's, else `stop` itself."""
    least = start + (stop - start) // _SMALLEST_SHARE
    found = bisect_right(ends, stop) - 1
    if found >= 0 and ends[found] > least:
        return ends[found]
    if text[stop].isspace() or text[stop - 1].isspace():
        return stop
    space = max(text.rfind(mark, least, stop) for mark in (" ", "\n", "\t"))
    return space + 1 if space > start else stop


def _line_spans(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _LINE_END.finditer(text):
        yield start, match.start()
        start = match.end()
    yield start, len(text)
