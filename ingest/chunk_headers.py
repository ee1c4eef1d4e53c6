"""Chunk headers: what stands before the quoted text in what is embedded."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.chunk_pieces import Piece
from ingest.parsing import ElementKind
from retrieval.embedding import Tokenizer

_CELLS = " | "  # between the cells of a row, as `ingest.parsing` lays tables out
_HEADER_ROWS, _HEADER_CHARACTERS = 3, 2_000  # where a table names its columns: titles of one cell may stand above


class HeaderWriter:
    """Writes title, heading path and, for the later rows of a table, its header row before the quoted text."""

    def __init__(self, title: str, tokenizer: Tokenizer, *, header_tokens: int, embedded_tokens: int) -> None:
        self._title = " ".join(title.split())
        self._tokenizer = tokenizer
        self._header_tokens = header_tokens
        self._embedded_tokens = embedded_tokens
        self._known: dict[tuple[str, ...], str] = {}

    def before_all(self, firsts: Sequence[Piece], quotes: Sequence[str]) -> list[str]:
        """The quotes of chunks, each with what stands before it; `firsts` are the chunks' first pieces."""
        texts = [self._before(first, quote) for first, quote in zip(firsts, quotes, strict=True)]
        counts = self._tokenizer.count(texts)
        limit = self._embedded_tokens
        return [
            text if tokens <= limit else self._shortened(text, quote, tokens - limit)
            for text, quote, tokens in zip(texts, quotes, counts, strict=True)
        ]

    def _before(self, first: Piece, quote: str) -> str:
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
        room = self._header_tokens
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


def _header_row(piece: Piece) -> str:
    """The row with the names of the columns, for a piece of a table that stands below it; else ""."""
    if piece.element.kind is not ElementKind.TABLE or piece.first_line == 0:
        return ""
    rows = piece.element.text[:_HEADER_CHARACTERS].split("\n")[: min(_HEADER_ROWS, piece.first_line)]
    return next((row for row in rows if _CELLS in row), "")
