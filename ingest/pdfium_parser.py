"""The only door to PDFium: a PDF to pages of lines with boxes.

A document can be read in page ranges by several processes: `PdfPages` reads lines page by page, and
`page_assembly.assemble` then decides once, over all pages, what they make.

Boxes are in points, origin at the top left of the page as it is shown: rotation and crop box are applied.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from typing import Any

import pypdfium2
from pypdfium2 import raw

from ingest.page_assembly import assemble
from ingest.page_text import PageLine, PageText
from ingest.parsing import ParsedDocument
from ingest.text_parser import clean
from retrieval.chunks import Box
from retrieval.errors import Unparseable

_PDFIUM_HYPHEN = "\ufffe"  # PDFium's mark for a hyphen at a line's end; the line break itself is left out
_BREAK = re.compile("\r\n|[\r\n\ufffe]")
_LEADERS = re.compile(r"(?:[.·_…]\s?){5,}")  # the dots of a table of contents, each of them a word piece
_BLANKS = re.compile(r"[ \t\xa0\u2000-\u200a\u202f\u3000]+")
_TRANSLATED = {
    **{0xFB00 + i: letters for i, letters in enumerate(("ff", "fi", "fl", "ffi", "ffl", "st", "st"))},
    0xF0B7: "•", 0xF0A7: "▪", 0xF0D8: "▸", 0xFFFF: None, 0x200B: None,
}  # fmt: skip
_BOLD = re.compile(rb"bold|black|heavy|demi", re.I)
_BOLD_WEIGHT = 600
_MAX_RECTS = 24  # a line of more runs than this is boxed by a sample of them: its first, its last and some between
_SCANNED_SHARE = 0.5  # of the page's area under images, with no text on it: that is a scan, not a decoration


def parse_pdf(source: Path | bytes) -> ParsedDocument:
    """The whole document. Raises `Unparseable`: encrypted, damaged, no_text, or needs_program for a scan."""
    with PdfPages(source) as pdf:
        pages = [pdf.page(number) for number in range(1, pdf.count + 1)]
        title = pdf.title
    return assemble(pages, title=title)


class PdfPages:
    """An open PDF, its pages counted from 1. A page that cannot be read says so in its `PageText`.

    Raises `Unparseable` when it is opened: encrypted or damaged.
    """

    def __init__(self, source: Path | bytes) -> None:
        self._document = open_pdf(source)
        self.count: int = len(self._document)

    def __enter__(self) -> PdfPages:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def title(self) -> str:
        """What the file calls itself; often that is worthless."""
        return str(self._document.get_metadata_value("Title"))

    def page(self, number: int) -> PageText:
        page = raw.FPDF_LoadPage(self._document.raw, number - 1)
        if not page:
            return PageText(number, 0.0, 0.0, failure="PDFium cannot load the page.")
        try:
            return _page(page, number)
        finally:
            raw.FPDF_ClosePage(page)

    def close(self) -> None:
        self._document.close()


def open_pdf(source: Path | bytes) -> Any:
    try:
        document = pypdfium2.PdfDocument(source)
    except pypdfium2.PdfiumError as error:
        if error.err_code in {raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY}:
            raise Unparseable("encrypted", "The PDF is protected by a password.") from error
        raise Unparseable("damaged", f"The PDF cannot be opened: {error}") from error
    if len(document) == 0:
        document.close()
        raise Unparseable("damaged", "The PDF has no pages.")
    return document


def _page(page: Any, number: int) -> PageText:
    width, height = raw.FPDF_GetPageWidthF(page), raw.FPDF_GetPageHeightF(page)
    text_page = raw.FPDFText_LoadPage(page)
    if not text_page:
        return PageText(number, width, height, failure="PDFium cannot read the text of the page.")
    try:
        lines = tuple(_Reader(text_page, _Frame.of(page), number).lines())
    finally:
        raw.FPDFText_ClosePage(text_page)
    return PageText(number, width, height, lines, scanned=not lines and _image_share(page) > _SCANNED_SHARE)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The page's visible box in its own coordinates (origin at the bottom left), and how it is turned for showing."""

    left: float
    bottom: float
    right: float
    top: float
    quarters: int

    @classmethod
    def of(cls, page: Any) -> _Frame:
        box = raw.FS_RECTF()
        raw.FPDF_GetPageBoundingBox(page, box)
        return cls(box.left, box.bottom, box.right, box.top, raw.FPDFPage_GetRotation(page))

    def shown(self, left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 as shown, from the top left."""
        match self.quarters:
            case 1:
                return bottom - self.bottom, left - self.left, top - self.bottom, right - self.left
            case 2:
                return self.right - right, bottom - self.bottom, self.right - left, top - self.bottom
            case 3:
                return self.top - top, self.right - right, self.top - bottom, self.right - left
        return left - self.left, self.top - top, right - self.left, self.top - bottom


class _Reader:
    """Reads the lines of one page. The calls into PDFium are counted: a handful a line, none a character."""

    def __init__(self, text_page: Any, frame: _Frame, number: int) -> None:
        self._page = text_page
        self._frame = frame
        self._number = number
        self._edges = [ctypes.c_double() for _ in range(4)]
        self._matrix = raw.FS_MATRIX()
        self._font = ctypes.create_string_buffer(128)
        self._flags = ctypes.c_int()

    def lines(self) -> Iterator[PageLine]:
        text = self._text()
        start = 0
        for match in _BREAK.finditer(text):
            yield from self._line(text, start, match.start(), divided=match[0] == _PDFIUM_HYPHEN)
            start = match.end()
        yield from self._line(text, start, len(text), divided=False)

    def _text(self) -> str:
        count = raw.FPDFText_CountChars(self._page)
        if count <= 0:
            return ""
        units = (ctypes.c_ushort * (count + 1))()
        written = raw.FPDFText_GetText(self._page, 0, count, units)
        return bytes(units)[: 2 * max(written - 1, 0)].decode("utf-16-le", "surrogatepass")

    def _line(self, text: str, start: int, end: int, *, divided: bool) -> Iterator[PageLine]:
        written = _tidy(text[start:end])
        if not written:
            return
        first = raw.FPDFText_GetCharIndexFromTextIndex(self._page, start)
        box = self._box(first, end - start) if first >= 0 else None
        if box is None:
            return
        size, bold = self._style(first, end - start)
        baseline = self._baseline(first + (end - start) // 2)
        yield PageLine(written, box, box.y1 if baseline is None else baseline, size or box.y1 - box.y0, bold, divided)

    def _box(self, first: int, count: int) -> Box | None:
        rects = raw.FPDFText_CountRects(self._page, first, count)
        if rects <= 0:
            return None
        left, top, right, bottom = self._edges
        x0, y0, x1, y1 = float("inf"), float("inf"), float("-inf"), float("-inf")
        for at in range(rects) if rects <= _MAX_RECTS else (*range(0, rects - 1, rects // _MAX_RECTS), rects - 1):
            raw.FPDFText_GetRect(self._page, at, left, top, right, bottom)
            x0, y0 = min(x0, left.value), min(y0, bottom.value)
            x1, y1 = max(x1, right.value), max(y1, top.value)
        shown = self._frame.shown(x0, y0, x1, y1)
        return Box(self._number, *(round(edge, 2) for edge in shown))

    def _baseline(self, at: int) -> float | None:
        x, y, *_ = self._edges
        if not raw.FPDFText_GetCharOrigin(self._page, at, x, y):
            return None
        return round(self._frame.shown(x.value, y.value, x.value, y.value)[1], 2)

    def _style(self, first: int, count: int) -> tuple[float, bool]:
        """The middle one of three characters' sizes, and whether all three are bold: they stand for their line."""
        at = (first + count // 4, first + count // 2, first + (3 * count) // 4) if count > 4 else (first,)
        sizes = sorted(self._size(index) for index in at)
        return round(sizes[len(sizes) // 2], 1), all(self._is_bold(index) for index in at)

    def _size(self, at: int) -> float:
        """The nominal size times the vertical scale of its matrix; files split the two as they like."""
        nominal = raw.FPDFText_GetFontSize(self._page, at)
        if not raw.FPDFText_GetMatrix(self._page, at, self._matrix):
            return float(nominal)
        return float(nominal * hypot(self._matrix.c, self._matrix.d))

    def _is_bold(self, at: int) -> bool:
        length = raw.FPDFText_GetFontInfo(self._page, at, self._font, len(self._font), self._flags)
        name = self._font.raw[: min(length, len(self._font))] if length else b""
        return bool(_BOLD.search(name)) or raw.FPDFText_GetFontWeight(self._page, at) >= _BOLD_WEIGHT


def _tidy(text: str) -> str:
    text = clean(_BLANKS.sub(" ", text.translate(_TRANSLATED)))
    return _LEADERS.sub("… ", text).replace("\xad", "").strip()


def _image_share(page: Any) -> float:
    """The share of the page's area under its images, counted one by one."""
    frame = _Frame.of(page)
    area = abs((frame.right - frame.left) * (frame.top - frame.bottom)) or 1.0
    edges = [ctypes.c_float() for _ in range(4)]
    covered = 0.0
    for at in range(raw.FPDFPage_CountObjects(page)):
        item = raw.FPDFPage_GetObject(page, at)
        if raw.FPDFPageObj_GetType(item) == raw.FPDF_PAGEOBJ_IMAGE and raw.FPDFPageObj_GetBounds(item, *edges):
            left, bottom, right, top = (edge.value for edge in edges)
            covered += max(right - left, 0.0) * max(top - bottom, 0.0)
    return covered / area
