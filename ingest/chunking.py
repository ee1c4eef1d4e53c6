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

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice, tee
from typing import TypeVar

from ingest.chunk_headers import HeaderWriter
from ingest.chunk_locators import locator_of
from ingest.chunk_pieces import Cutter, Piece, piece_of, segments_of
from ingest.parsing import ParsedDocument
from retrieval.chunks import Chunk
from retrieval.embedding import Tokenizer
from retrieval.identity import chunk_ids

_T = TypeVar("_T")
_BATCH = 256  # texts counted in one call of the tokenizer


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


@dataclass(slots=True)
class _Draft:
    """A chunk in the making."""

    pieces: list[Piece] = field(default_factory=list)
    tokens: int = 0

    def add(self, piece: Piece) -> None:
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

    def take_trailing_headings(self) -> list[Piece]:
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
    """The chunks of `document` in order; none for a document without text. `title` is what precedes each of them.

    Lazily: who takes only the first ones does not pay for the rest."""
    text = document.text()
    drafts, same = tee(_drafts(document, tokenizer, limits))
    ids = chunk_ids(document_id, (text[draft.start : draft.end] for draft in same))
    header = HeaderWriter(title, tokenizer, header_tokens=limits.header_tokens, embedded_tokens=limits.embedded_tokens)
    ordinals = count()
    for batch in _batched(drafts, _BATCH):
        quotes = [text[draft.start : draft.end] for draft in batch]
        embedded = header.before_all([draft.pieces[0] for draft in batch], quotes)
        for draft, quote, whole, tokens in zip(batch, quotes, embedded, tokenizer.count(embedded), strict=True):
            yield Chunk(next(ids), document_id, next(ordinals), quote, whole, locator_of(draft.pieces), tokens)


# --- from elements to drafts --------------------------------------------------------------------------------------


def _drafts(document: ParsedDocument, tokenizer: Tokenizer, limits: ChunkLimits) -> Iterator[_Draft]:
    """Joins pieces greedily along the headings."""
    cutter = Cutter(tokenizer, tokens=limits.tokens, characters=limits.characters)
    draft = _Draft()
    for segments in _batched(segments_of(document), _BATCH):
        for segment, tokens in zip(segments, tokenizer.count([s.text for s in segments]), strict=True):
            if not segment.text or segment.text.isspace():
                continue
            whole = piece_of(segment, 0, len(segment.text), tokens)
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


def _fits(draft: _Draft, piece: Piece, limits: ChunkLimits) -> bool:
    start = draft.start if draft.pieces else piece.start
    return draft.tokens + piece.tokens <= limits.tokens and piece.end - start <= limits.characters


def _begins_anew(draft: _Draft, piece: Piece, limits: ChunkLimits) -> bool:
    """Whether `piece` must not join the draft though there may be room."""
    last = draft.pieces[-1]
    if last.group != piece.group:
        return True
    if not piece.is_heading or draft.headings_only:
        return False
    # A small section may take in its sub-sections and its siblings, never what stands above it.
    above = draft.pieces[0].path
    return draft.tokens >= limits.enough or piece.path[: len(above)] != above


def _batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
