"""Parser: bytes in, elements out.

Words
-----
*Element*         a parsed unit with its text and where it stands: heading, paragraph, list item, table, …
*ParsedDocument*  the elements in reading order, and what could not be read.
*Extracted text*  the elements' texts joined by a blank line: what every character span counts in.

Promises: a document that can never be read raises `Unparseable` with one of its codes. A part that could not be read
(a page, a mail part) does not fail the document: it is named in `defects`, and the document ends as *partial*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from retrieval.chunks import Box

SEPARATOR = "\n\n"  # between the texts of two elements in the extracted text


class ElementKind(StrEnum):
    TITLE = "title"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Line:
    """A run of an element's text that stands in one box: `text[start:end]` of the element."""

    start: int
    end: int
    box: Box


@dataclass(frozen=True, slots=True)
class Element:
    """A parsed unit. `level` is a heading's depth from 1; `lines` are where a PDF element's text stands on its pages.

    `heading_path` holds the headings above, outermost first, without the element itself. For a table, rows are lines
    of the text, cells joined by " | "; `row_start` is the sheet row (from 1) of the first of them and each line is the
    next `row_numbers` entry when rows are not consecutive.
    """

    kind: ElementKind
    text: str
    heading_path: tuple[str, ...] | None = None
    level: int | None = None
    lines: tuple[Line, ...] = ()
    slide: int | None = None
    sheet: str | None = None
    row_numbers: tuple[int, ...] | None = None
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Defect:
    """Something that could not be read: `where` names it ("page 3", "part 1.2"), `why` in a sentence."""

    code: Literal["pages_failed", "parts_failed", "truncated"]
    where: str
    why: str


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    elements: tuple[Element, ...]
    title: str | None = None
    language: str | None = None
    pages: int | None = None
    defects: tuple[Defect, ...] = ()

    def spans(self) -> Iterator[tuple[Element, int, int]]:
        """Each element with its code-point span [start, end) in the extracted text."""
        start = 0
        for element in self.elements:
            yield element, start, start + len(element.text)
            start += len(element.text) + len(SEPARATOR)

    def text(self) -> str:
        return SEPARATOR.join(element.text for element in self.elements)


class Parser(Protocol):
    def parse(
        self, path: Path, *, media_type: str, name: str, wanted: Callable[[], bool] | None = None
    ) -> ParsedDocument:
        """Reads the file at `path`. Raises `Unparseable`; a crash of the parsing process raises `ParserKilled`.

        `wanted` is asked now and then, by any thread; once it says no, or the parser is closed, raises `NotJudged`.
        """
        ...

    def close(self) -> None: ...


class NotJudged(Exception):
    """The parse was given up: nobody wants it any more, or the parser is closed. It says nothing of the document."""


class ParserKilled(Exception):
    """The process that parsed this document died of it (a signal nobody sent on purpose)."""


class ParserFailed(Exception):
    """A bug in a parser: it raised what it never promised. Carries the traceback's text."""
