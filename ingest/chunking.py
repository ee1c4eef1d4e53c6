"""Chunking: a parsed document in, the passages that are embedded and found out. Pure; it knows no engine.

How a document is cut
---------------------
*Segment*  an element, or a slice of one that is too long to be looked at whole.
*Piece*    a slice of one segment that fits a chunk: whole where it fits, else cut at rows, sentences, words, tokens.
*Chunk*    neighbouring pieces joined along the headings.

Promises: every non-whitespace character of the extracted text lies in exactly one chunk; `chunk.text` is the extracted
text at the locator's span; no chunk is empty; slides, sheets and mail parts never share a chunk; a heading stays with
the text after it; no embedded text is longer than `limits.embedded_tokens`.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice, pairwise
from typing import TypeVar

from ingest.parsing import Element, ElementKind, ParsedDocument
from retrieval.chunks import Box, Chunk, Locator
from retrieval.embedding import Tokenizer
from retrieval.identity import chunk_ids

_T = TypeVar("_T")

# A sentence ends after . ! ? … and closing quotes before whitespace, and directly after the CJK full stops.
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？｡]+[」』”’）]*|\n(?=\s*\n)|\n(?=[-*•‣▪])")
_LINE_END = re.compile(r"\n")
_SEGMENT_CHARACTERS = 50_000  # tokens of more text than this are never held at once (about 1 MB of spans)
_BATCH = 256  # texts counted in one call of the tokenizer
_MAX_BOXES = 8  # a passage of 200 word pieces rarely covers more paragraphs; more would bloat every point
_CELLS = " | "  # between the cells of a row, as `ingest.parsing` lays tables out
_HEADER_ROWS, _HEADER_CHARACTERS = 3, 2_000  # where a table names its columns: titles of one cell may stand above
_SMALLEST_SHARE = 3  # a cut that leaves less than a third of the room used is made at a finer boundary instead


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """Word pieces of quoted text, of title and headings before it, and of both with what else is embedded.

    200 + 48 + a table's header row stay under the 254 that a model of 256 positions leaves beside its two markers.
    `enough` is when a chunk may end before the next heading. `characters` bounds text that has few word pieces for
    its length (one unknown word of a megabyte is one word piece).
    """

    tokens: int = 200
    header_tokens: int = 48
    embedded_tokens: int = 254
    enough: int = 60
    characters: int = 4_000

    def __post_init__(self) -> None:
        if not 0 < self.tokens <= self.embedded_tokens or self.header_tokens < 0 or self.characters < 1:
            raise ValueError("chunk limits: 0 < tokens <= embedded_tokens, header_tokens >= 0, characters >= 1")


@dataclass(frozen=True, slots=True)
class _Segment:
    """`text` is `element.text[offset:offset + len(text)]`; it starts at `start` in the extracted text.

    `line` counts the line breaks of the element before it.
    """

    element: Element
    text: str
    offset: int
    start: int
    line: int


@dataclass(frozen=True, slots=True)
class _Piece:
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


@dataclass(slots=True)
class _Draft:
    """A chunk in the making."""

    pieces: list[_Piece] = field(default_factory=list)
    tokens: int = 0

    def add(self, piece: _Piece) -> None:
        self.pieces.append(piece)
        self.tokens += piece.tokens

    @property
    def start(self) -> int:
        return self.pieces[0].start

    @property
    def end(self) -> int:
        return self.pieces[-1].end

    @property
    def headings_only(self) -> bool:
        return all(piece.is_heading for piece in self.pieces)

    def take_trailing_headings(self) -> list[_Piece]:
        """Removes and returns the headings at the end, unless there is nothing else."""
        cut = len(self.pieces)
        while cut and self.pieces[cut - 1].is_heading:
            cut -= 1
        if not cut:
            return []
        taken = self.pieces[cut:]
        del self.pieces[cut:]
        self.tokens -= sum(piece.tokens for piece in taken)
        return taken


def chunk(
    document: ParsedDocument, *, document_id: str, title: str, tokenizer: Tokenizer, limits: ChunkLimits
) -> Iterator[Chunk]:
    """The chunks of `document` in order; none for a document without text. `title` is what precedes each of them."""
    text = document.text()
    drafts = list(_drafts(document, tokenizer, limits))
    ids = chunk_ids(document_id, (text[draft.start : draft.end] for draft in drafts))
    header = _Header(title=title, tokenizer=tokenizer, limits=limits)
    ordinals = count()
    for batch in _batched(drafts, _BATCH):
        quotes = [text[draft.start : draft.end] for draft in batch]
        embedded = header.before_all(batch, quotes)
        for draft, quote, whole, tokens in zip(batch, quotes, embedded, tokenizer.count(embedded), strict=True):
            yield Chunk(next(ids), document_id, next(ordinals), quote, whole, _locator(draft.pieces), tokens)


# --- from elements to drafts --------------------------------------------------------------------------------------


def _drafts(document: ParsedDocument, tokenizer: Tokenizer, limits: ChunkLimits) -> Iterator[_Draft]:
    """Joins pieces greedily along the headings."""
    cutter = _Cutter(tokenizer, limits)
    draft = _Draft()
    for segments in _batched(_segments(document), _BATCH):
        for segment, tokens in zip(segments, tokenizer.count([s.text for s in segments]), strict=True):
            if not segment.text or segment.text.isspace():
                continue
            whole = _piece(segment, 0, len(segment.text), tokens)
            if draft.pieces and _begins_anew(draft, whole, limits):
                yield from _finished(draft)
                draft = _Draft()
            if not _fits(draft, whole, limits):
                carried = draft.take_trailing_headings()
                if not draft.headings_only:
                    yield draft
                    draft = _Draft()
                for piece in carried:
                    draft.add(piece)
            if _fits(draft, whole, limits):
                draft.add(whole)
                continue
            for piece in cutter.cut(segment, tokens, first_room=limits.tokens - draft.tokens):
                if not _fits(draft, piece, limits):
                    yield from _finished(draft)
                    draft = _Draft()
                draft.add(piece)
    yield from _finished(draft)


def _finished(draft: _Draft) -> Iterator[_Draft]:
    if draft.pieces:
        yield draft


def _fits(draft: _Draft, piece: _Piece, limits: ChunkLimits) -> bool:
    start = draft.start if draft.pieces else piece.start
    return draft.tokens + piece.tokens <= limits.tokens and piece.end - start <= limits.characters


def _begins_anew(draft: _Draft, piece: _Piece, limits: ChunkLimits) -> bool:
    """Whether `piece` must not join the draft though there may be room."""
    last = draft.pieces[-1]
    if last.group != piece.group:
        return True
    if not piece.is_heading or draft.headings_only:
        return False
    # A small section may take in its sub-sections and its siblings, never what stands above it.
    above = draft.pieces[0].path
    return draft.tokens >= limits.enough or piece.path[: len(above)] != above


def _segments(document: ParsedDocument) -> Iterator[_Segment]:
    for element, start, _ in document.spans():
        text, offset, line = element.text, 0, 0
        while len(text) - offset > _SEGMENT_CHARACTERS:
            end = _coarse_end(text, offset)
            yield _Segment(element, text[offset:end], offset, start + offset, line)
            line += text.count("\n", offset, end)
            offset = end
        yield _Segment(element, text[offset:], offset, start + offset, line)


def _coarse_end(text: str, offset: int) -> int:
    """Where a segment of a very long element ends: at a line, else a word, else anywhere."""
    limit = offset + _SEGMENT_CHARACTERS
    for mark in ("\n", " "):
        end = text.rfind(mark, offset + _SEGMENT_CHARACTERS // 2, limit)
        if end >= 0:
            return end + 1
    return limit


def _piece(segment: _Segment, start: int, end: int, tokens: int) -> _Piece:
    """The piece of `segment.text[start:end]` without the whitespace around it."""
    text = segment.text[start:end]
    start += len(text) - len(text.lstrip())
    end -= len(text) - len(text.rstrip())
    first_line = segment.line + segment.text.count("\n", 0, start)
    return _Piece(
        element=segment.element,
        base=segment.start - segment.offset,
        start=segment.start + start,
        end=segment.start + end,
        tokens=tokens,
        first_line=first_line,
        last_line=first_line + segment.text.count("\n", start, end),
    )


class _Cutter:
    """Cuts what does not fit one chunk."""

    def __init__(self, tokenizer: Tokenizer, limits: ChunkLimits) -> None:
        self._tokenizer = tokenizer
        self._limits = limits

    def cut(self, segment: _Segment, tokens: int, *, first_room: int) -> Iterator[_Piece]:
        """Pieces of at most the limit; the first of at most `first_room` word pieces where that is worth a cut."""
        rows = segment.element.kind is ElementKind.TABLE
        first_room = first_room if first_room * _SMALLEST_SHARE >= self._limits.tokens else self._limits.tokens
        return self._rows(segment, first_room) if rows else self._prose(segment, 0, len(segment.text), first_room)

    def _rows(self, segment: _Segment, room: int) -> Iterator[_Piece]:
        spans = list(_line_spans(segment.text))
        counts = self._tokenizer.count([segment.text[start:end] for start, end in spans])
        run: list[tuple[int, int]] = []
        used = 0
        for (start, end), tokens in zip(spans, counts, strict=True):
            over = run and (used + tokens > room or end - run[0][0] > self._limits.characters)
            if over:
                yield _piece(segment, run[0][0], run[-1][1], used)
                run, used, room = [], 0, self._limits.tokens
            if tokens > room or end - start > self._limits.characters:
                yield from self._prose(segment, start, end, self._limits.tokens)
            elif not segment.text[start:end].isspace() and start < end:
                run.append((start, end))
                used += tokens
        if run:
            yield _piece(segment, run[0][0], run[-1][1], used)

    def _prose(self, segment: _Segment, start: int, end: int, first_room: int) -> Iterator[_Piece]:
        text = segment.text[start:end]
        spans = self._tokenizer.spans(text)
        starts = [span[0] for span in spans]
        boundary = _LINE_END if segment.element.kind is ElementKind.CODE else _SENTENCE_END
        ends = [match.end() for match in boundary.finditer(text)]
        at, token, room = 0, 0, first_room
        while at < len(text):
            room = min(room, _even(len(spans) - token, room))
            stop = starts[token + room] if token + room < len(starts) else len(text)
            stop = max(min(stop, at + self._limits.characters), at + 1)
            if stop < len(text):
                stop = _boundary(text, at, stop, ends)
            next_token = bisect_left(starts, stop)
            if not text[at:stop].isspace():
                yield _piece(segment, start + at, start + stop, next_token - token)
            at, token, room = stop, next_token, self._limits.tokens


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


# --- what stands before the quote ---------------------------------------------------------------------------------


class _Header:
    """Writes title, heading path and, for the later rows of a table, its header row before the quoted text."""

    def __init__(self, *, title: str, tokenizer: Tokenizer, limits: ChunkLimits) -> None:
        self._title = " ".join(title.split())
        self._tokenizer = tokenizer
        self._limits = limits
        self._known: dict[tuple[str, ...], str] = {}

    def before_all(self, drafts: Sequence[_Draft], quotes: Sequence[str]) -> list[str]:
        texts = [self._before(draft, quote) for draft, quote in zip(drafts, quotes, strict=True)]
        counts = self._tokenizer.count(texts)
        limit = self._limits.embedded_tokens
        return [
            text if tokens <= limit else self._shortened(text, quote, tokens - limit)
            for text, quote, tokens in zip(texts, quotes, counts, strict=True)
        ]

    def _before(self, draft: _Draft, quote: str) -> str:
        first = draft.pieces[0]
        parts = [self._path(first.path), _header_row(first), quote]
        return "\n".join(part for part in parts if part)

    def _path(self, path: tuple[str, ...]) -> str:
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._written(path)
        return known

    def _written(self, path: tuple[str, ...]) -> str:
        """Title and headings, one a line. Cut to the limit, the title keeps half of it and the deepest the rest."""
        headings = [" ".join(heading.split()) for heading in path]
        if headings and headings[0] == self._title:
            headings = headings[1:]
        room = self._limits.header_tokens
        below = self._last(" / ".join(headings), room - min(room // 2, self._tokenizer.count([self._title])[0]))
        above = self._first(self._title, room - self._tokenizer.count([below])[0])
        return "\n".join(part for part in (above, below) if part)

    def _first(self, text: str, tokens: int) -> str:
        spans = self._tokenizer.spans(text)
        return text if len(spans) <= tokens else text[: spans[tokens][0]].rstrip()

    def _last(self, text: str, tokens: int) -> str:
        spans = self._tokenizer.spans(text)
        return text if len(spans) <= tokens else text[spans[-tokens][0] :].lstrip() if tokens > 0 else ""

    def _shortened(self, text: str, quote: str, excess: int) -> str:
        """`text` with less before the quote; a quote is never cut (it alone is within the limit)."""
        header = text[: len(text) - len(quote)]
        kept = self._first(header, max(len(self._tokenizer.spans(header)) - excess, 0))
        return f"{kept}\n{quote}" if kept else quote


def _header_row(piece: _Piece) -> str:
    """The row with the names of the columns, for a piece of a table that stands below it; else ""."""
    if piece.element.kind is not ElementKind.TABLE or piece.first_line == 0:
        return ""
    rows = piece.element.text[:_HEADER_CHARACTERS].split("\n")[: min(_HEADER_ROWS, piece.first_line)]
    return next((row for row in rows if _CELLS in row), "")


# --- where it stands ----------------------------------------------------------------------------------------------


def _locator(pieces: Sequence[_Piece]) -> Locator:
    first = pieces[0].element
    boxes = _boxes(pieces)
    rows = [row for piece in pieces if (row := _rows(piece))]
    return Locator(
        char_start=pieces[0].start,
        char_end=pieces[-1].end,
        pages=tuple(sorted({box.page for box in boxes})) or None,
        boxes=tuple(boxes) or None,
        heading_path=_common_path(pieces),
        slide=first.slide,
        sheet=first.sheet,
        row_start=min(row[0] for row in rows) if rows else None,
        row_end=max(row[1] for row in rows) if rows else None,
        part=first.part,
    )


def _rows(piece: _Piece) -> tuple[int, int] | None:
    numbers = piece.element.row_numbers
    if not numbers:
        return None
    last = len(numbers) - 1
    return numbers[min(piece.first_line, last)], numbers[min(piece.last_line, last)]


def _common_path(pieces: Sequence[_Piece]) -> tuple[str, ...] | None:
    """The headings above all of the text: a heading inside the chunk counts when all of its text is below it."""
    if all(piece.element.heading_path is None for piece in pieces):
        return None
    body = [piece.path for piece in pieces if not piece.is_heading] or [piece.path for piece in pieces]
    common = body[0]
    for path in body[1:]:
        same = 0
        while same < min(len(common), len(path)) and common[same] == path[same]:
            same += 1
        common = common[:same]
    return common


def _boxes(pieces: Sequence[_Piece]) -> list[Box]:
    """One box for each element and page, a second where its lines stand in another column; at most eight."""
    boxes: list[Box] = []
    for piece in pieces:
        boxes.extend(_element_boxes(piece))
    while len(boxes) > _MAX_BOXES:
        joined = _join_nearest(boxes)
        if len(joined) == len(boxes):
            break
        boxes = joined
    return boxes


def _element_boxes(piece: _Piece) -> list[Box]:
    start, end = piece.start - piece.base, piece.end - piece.base
    boxes: list[Box] = []
    for line in piece.element.lines:
        if line.end <= start or line.start >= end:
            continue
        if boxes and _same_column(boxes[-1], line.box):
            boxes[-1] = _union(boxes[-1], line.box)
        else:
            boxes.append(line.box)
    return boxes


def _same_column(above: Box, below: Box) -> bool:
    return above.page == below.page and below.x0 < above.x1 and above.x0 < below.x1 and below.y1 > above.y0


def _union(one: Box, other: Box) -> Box:
    return Box(one.page, min(one.x0, other.x0), min(one.y0, other.y0), max(one.x1, other.x1), max(one.y1, other.y1))


def _join_nearest(boxes: Sequence[Box]) -> list[Box]:
    """Joins the two neighbours on one page whose union wastes the least area; none if no neighbours share a page."""
    best: tuple[float, int] | None = None
    for i, (one, other) in enumerate(pairwise(boxes)):
        if one.page == other.page:
            union = _union(one, other)
            waste = _area(union) - _area(one) - _area(other)
            best = min(best, (waste, i)) if best else (waste, i)
    if best is None:
        return list(boxes)
    at = best[1]
    return [*boxes[:at], _union(boxes[at], boxes[at + 1]), *boxes[at + 2 :]]


def _area(box: Box) -> float:
    return (box.x1 - box.x0) * (box.y1 - box.y0)


def _batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
