"""The only door to PDFium: a PDF to lines with boxes, and lines to elements.

Two steps, so that a long document can be read in page ranges by several processes: `parse_pages` reads lines page by
page; `assemble` decides once, over all pages, what is a running header, what a paragraph and what a heading.

Boxes are in points, origin at the top left of the page as it is shown: rotation and crop box are applied.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from math import hypot
from pathlib import Path
from typing import Any

import pypdfium2
from pypdfium2 import raw

from ingest.heading_paths import with_heading_paths
from ingest.parsing import Defect, Element, ElementKind, Line, ParsedDocument
from ingest.text_parser import clean
from retrieval.chunks import Box
from retrieval.errors import Unparseable


@dataclass(frozen=True, slots=True)
class PageLine:
    """A printed line. `size` is its font's size in points as shown, `baseline` its height on the page.

    `divided`: its last word goes on in the next line.
    """

    text: str
    box: Box
    baseline: float
    size: float
    bold: bool
    divided: bool = False


@dataclass(frozen=True, slots=True)
class PageText:
    """What one page holds. `failure` says why it could not be read; `scanned`: an image covers it and no text."""

    page: int
    width: float
    height: float
    lines: tuple[PageLine, ...] = ()
    failure: str | None = None
    scanned: bool = False


# --- reading ------------------------------------------------------------------------------------------------------

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
    document = open_pdf(source)
    try:
        pages = list(_pages(document, 1, len(document)))
        title = document.get_metadata_value("Title")
    finally:
        document.close()
    return assemble(pages, title=title)


def page_count(path: Path) -> int:
    document = open_pdf(path)
    try:
        return len(document)
    finally:
        document.close()


def parse_pages(path: Path, first: int, last: int) -> list[PageText]:
    """The pages from `first` to `last`, counted from 1, both included. A page that cannot be read says so."""
    document = open_pdf(path)
    try:
        return list(_pages(document, first, last))
    finally:
        document.close()


def document_title(path: Path) -> str:
    document = open_pdf(path)
    try:
        return str(document.get_metadata_value("Title"))
    finally:
        document.close()


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


def _pages(document: Any, first: int, last: int) -> Iterator[PageText]:
    for number in range(first, last + 1):
        page = raw.FPDF_LoadPage(document.raw, number - 1)
        if not page:
            yield PageText(number, 0.0, 0.0, failure="PDFium cannot load the page.")
            continue
        try:
            yield _page(page, number)
        finally:
            raw.FPDF_ClosePage(page)


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


# --- assembling ---------------------------------------------------------------------------------------------------

_MARGIN = 0.2  # of the page's height, above and below: where running headers and footers stand
_MARGIN_LINES = 3
_NEAR_PAGES = (
    6  # a running line recurs within this many pages (left and right pages may differ, a chapter may be short)
)
_RECURRENCES = 2  # other pages near that carry it
_TITLE_SIZE = 1.4  # times the body's size
_NUMBERED_SHARE = 0.2  # of all pages: a number that counts with the pages on so many of them is the page number
_PRINTED_NUMBER = re.compile(
    r"^[^\w]*(?:page\s|p\.\s?|seite\s)?(\d{1,4})\b.{0,90}$|^.{0,90}?\b(\d{1,4})[^\w]*$", re.IGNORECASE
)
_SAME_HEIGHT = 6.0  # points a running line may move
_NUMBERS = re.compile(r"\d+|\b[ivxlc]{1,7}\b")
_SENTENCE_END = re.compile(r"[.!?:;…。！？][\"'”’)\]]*$")
_BULLET = re.compile(r"[•▪▸‣●○◦■□➢✓*–-]\s+\S")
_NUMBERED = re.compile(r"(?:\(?\d{1,3}[.)]|\(?[a-z][.)]|\([ivx]{1,5}\))\s+\S")
_CONTENTS_ENTRY = re.compile(r"(?:…|\.{3,}) ?[\divxlc-]{1,8}$", re.I)
# In sizes of the text, from baseline to baseline: less than the first is the same row, more than the second another
# block; without five equal steps on a page to learn from, lines up to the third apart are one paragraph.
_LEAST_STEP, _MOST_STEP, _STEP = 0.35, 3.2, 1.75
_USUAL_TIMES = 5
_COLUMN_LINES = 4  # neighbours that show how wide the column is
_EARLY = 0.75  # of the column's width: a line that ends before was ended on purpose
_HEADING_CHARACTERS = 160
_HEADING_LINES = 3
_LARGER = 1.15  # a heading's size over the body's; less is a font's quirk or a scan's noise
_HEADING_SHARE = 0.25  # of the text in one style: more of it than that is no heading style
_LEVELS = 3
_CONTENTS = re.compile(r"(?:table of )?contents", re.I)
_WORTHLESS_TITLE = re.compile(r"^(untitled|microsoft word|powerpoint|slide \d|.*\.(docx?|pdf|indd|qxd|tex|dvi)$)", re.I)


def assemble(pages: Sequence[PageText], *, title: str | None = None) -> ParsedDocument:
    """The document of all its pages, in order. `title` is what the file calls itself; often that is worthless.

    Raises `Unparseable` when there is no page to show for it: damaged, needs_program (a scan) or no_text.
    """
    defects = tuple(_defects(pages))
    if not any(page.lines for page in pages):
        raise _nothing(pages)
    running = _running_lines(pages)
    kept = [
        replace(page, lines=tuple(line for at, line in enumerate(page.lines) if (page.page, at) not in running))
        for page in pages
    ]
    if not any(page.lines for page in kept):
        kept = list(pages)
    paragraphs = list(_over_page_ends(paragraph for page in kept for paragraph in _paragraphs(page.lines)))
    elements = tuple(with_heading_paths(_elements(paragraphs)))
    return ParsedDocument(elements, title=_title(title, elements), pages=len(pages), defects=defects)


def _defects(pages: Iterable[PageText]) -> Iterator[Defect]:
    for page in pages:
        if page.failure:
            yield Defect("pages_failed", f"page {page.page}", page.failure)
        elif page.scanned:
            yield Defect("pages_failed", f"page {page.page}", "The page is an image; its text needs an OCR program.")


def _nothing(pages: Sequence[PageText]) -> Unparseable:
    if all(page.failure for page in pages):
        return Unparseable("damaged", f"No page of the PDF can be read: {pages[0].failure}")
    if any(page.scanned for page in pages):
        return Unparseable("needs_program", "The PDF is a scan without text; it needs an OCR program (tesseract).")
    return Unparseable("no_text", "The PDF holds no text.")


def _running_lines(pages: Sequence[PageText]) -> set[tuple[int, int]]:
    """(page, index) of the lines at the edges that recur on near pages or carry the printed page number."""
    edges = [(page, edge) for page in pages for edge in _edges(page)]
    margins = [(page, at, distance) for page, edge in edges for at, distance in edge]
    body = _body_size(line for page in pages for line in page.lines)
    suspects = _recurring(margins, body) | _numbered(margins, len(pages))
    return {
        (page.page, at)
        for page, edge in edges
        for at, _ in takewhile(lambda found, page=page: (page.page, found[0]) in suspects, edge)  # type: ignore[misc]
    }


def _recurring(margins: Sequence[_InMargin], body: float) -> set[tuple[int, int]]:
    """Lines that recur, but for their numbers, at one height. Large ones are the titles of slides: they stay."""
    seen: defaultdict[tuple[bool, str], list[tuple[int, int, float]]] = defaultdict(list)
    for page, at, distance in margins:
        line = page.lines[at]
        if line.size <= _TITLE_SIZE * body:
            words = "".join(_NUMBERS.sub("#", line.text.casefold()).split())
            seen[distance > 0, words].append((page.page, at, distance))
    running = set()
    for places in seen.values():
        for i, (number, at, distance) in enumerate(places):
            others = {
                other
                for other, _, height in places[max(i - _NEAR_PAGES, 0) : i + _NEAR_PAGES + 1]
                if 0 < abs(other - number) <= _NEAR_PAGES and abs(height - distance) <= _SAME_HEIGHT
            }
            if len(others) >= _RECURRENCES:
                running.add((number, at))
    return running


def _numbered(margins: Sequence[_InMargin], pages: int) -> set[tuple[int, int]]:
    """Lines that begin or end with a number that counts with the pages: "What is cancer? 5"."""
    offsets: defaultdict[int, set[int]] = defaultdict(set)
    carriers: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)
    for page, at, _ in margins:
        for number in _PRINTED_NUMBER.findall(page.lines[at].text):
            offset = int(number[0] or number[1]) - page.page
            offsets[offset].add(page.page)
            carriers[offset].add((page.page, at))
    running: set[tuple[int, int]] = set()
    for offset, numbered in offsets.items():
        if len(numbered) >= max(_RECURRENCES + 1, pages * _NUMBERED_SHARE):
            running |= carriers[offset]
    return running


_InMargin = tuple[PageText, int, float]  # page, index of the line, its height as `_edges` gives it


def _edges(page: PageText) -> Iterator[list[tuple[int, float]]]:
    """The lines at the top, then those at the bottom, outermost first: index, and points from there, negative below."""
    lines = page.lines
    downwards = sorted(range(len(lines)), key=lambda at: lines[at].box.y0)
    above, below = page.height * _MARGIN, page.height * (1 - _MARGIN)
    yield [(at, lines[at].box.y0 + 0.01) for at in downwards[:_MARGIN_LINES] if lines[at].box.y1 < above]
    upwards = downwards[: -_MARGIN_LINES - 1 : -1]
    yield [(at, lines[at].box.y1 - page.height - 0.01) for at in upwards if lines[at].box.y0 > below]


def _paragraphs(lines: Sequence[PageLine]) -> Iterator[list[PageLine]]:
    spacing = _spacing(lines)
    paragraph: list[PageLine] = []
    right = 0.0  # the right edge of the column, as far as the paragraph shows it
    for line in lines:
        if paragraph and not _goes_on(paragraph, line, right, spacing):
            yield paragraph
            paragraph, right = [], 0.0
        paragraph.append(line)
        right = max(right, line.box.x1)
    if paragraph:
        yield paragraph


def _spacing(lines: Sequence[PageLine]) -> float:
    """The most that two lines of one paragraph stand apart on this page, in sizes of its text."""
    steps: Counter[float] = Counter()
    for above, below in pairwise(lines):
        size = max(above.size, below.size) or 1.0
        step = (below.baseline - above.baseline) / size
        if _LEAST_STEP < step < _MOST_STEP:
            steps[round(step, 1)] += 1
    usual, times = steps.most_common(1)[0] if steps else (0.0, 0)
    return max(usual * 1.25, 1.4) if times >= _USUAL_TIMES else _STEP


def _goes_on(paragraph: Sequence[PageLine], line: PageLine, right: float, spacing: float) -> bool:
    """Whether `line` belongs to the paragraph above it."""
    last = paragraph[-1]
    if last.divided:
        return True
    size = max(last.size, line.size)
    if abs(last.size - line.size) > 0.15 * size or last.bold != line.bold:
        return False
    step = line.baseline - last.baseline
    if abs(step) < _LEAST_STEP * size:  # the same row: cells of a table, or words set apart
        return True
    if step < 0 or step > spacing * size or line.box.x0 >= last.box.x1 or line.box.x1 <= last.box.x0:
        return False
    ended = bool(_SENTENCE_END.search(last.text))
    if _BULLET.match(line.text) or (_NUMBERED.match(line.text) and (ended or _NUMBERED.match(paragraph[0].text))):
        return False
    left = min(above.box.x0 for above in paragraph)
    short = last.box.x1 < max(right, line.box.x1) - 2.0 * size
    indented = line.box.x0 > left + 0.8 * size
    return not (ended and (short or indented))


def _over_page_ends(paragraphs: Iterable[list[PageLine]]) -> Iterator[list[PageLine]]:
    """Joins a paragraph that stops in mid-sentence with the next, when that goes on in lower case elsewhere."""
    open_one: list[PageLine] | None = None
    for paragraph in paragraphs:
        if open_one and _continues(open_one[-1], paragraph[0]):
            open_one.extend(paragraph)
            continue
        if open_one:
            yield open_one
        open_one = list(paragraph)
    if open_one:
        yield open_one


def _continues(last: PageLine, first: PageLine) -> bool:
    elsewhere = last.box.page != first.box.page or first.box.y1 < last.box.y0
    alike = abs(last.size - first.size) <= 0.1 * last.size and last.bold == first.bold
    goes_on = last.divided or (not _SENTENCE_END.search(last.text) and first.text[:1].islower())
    return elsewhere and alike and goes_on


# --- headings -----------------------------------------------------------------------------------------------------


def _elements(paragraphs: Sequence[list[PageLine]]) -> Iterator[Element]:
    levels = _Levels(paragraphs)
    for paragraph in paragraphs:
        text, lines = _joined(paragraph)
        level = levels.of(paragraph, text)
        yield Element(_kind(level, text), text, level=level, lines=lines)


def _kind(level: int | None, text: str) -> ElementKind:
    if level is not None:
        return ElementKind.TITLE
    return ElementKind.LIST_ITEM if _BULLET.match(text) or _NUMBERED.match(text) else ElementKind.PARAGRAPH


def _joined(paragraph: Sequence[PageLine]) -> tuple[str, tuple[Line, ...]]:
    """The paragraph as running text: words whole again, a line break kept where a line was ended on purpose."""
    parts: list[str] = []
    lines: list[Line] = []
    at = 0
    for i, line in enumerate(paragraph):
        after = paragraph[i + 1] if i + 1 < len(paragraph) else None
        text = line.text
        if after and line.divided and not after.text[:1].islower():
            text += "-"
        lines.append(Line(at, at + len(text), line.box))
        gap = _gap(line, after, paragraph[max(i - _COLUMN_LINES, 0) : i + _COLUMN_LINES]) if after else ""
        parts.append(text + gap)
        at += len(text) + len(gap)
    return "".join(parts), tuple(lines)


def _gap(line: PageLine, after: PageLine, near: Sequence[PageLine]) -> str:
    if line.divided:
        return ""
    if _CONTENTS_ENTRY.search(line.text):
        return "\n"
    box, below = line.box, after.box
    beside = below.page != box.page or below.x0 >= box.x1 or below.x1 <= box.x0  # another page or column
    if beside or abs(after.baseline - line.baseline) < _LEAST_STEP * line.size:
        return " "
    column = [other.box for other in near if other.box.x0 < box.x1 and box.x0 < other.box.x1]
    left, right = min(found.x0 for found in column), max(found.x1 for found in column)
    return "\n" if box.x1 - left < _EARLY * (right - left) else " "


class _Levels:
    """The heading levels of one document, by size over the body's, then by boldness."""

    def __init__(self, paragraphs: Sequence[list[PageLine]]) -> None:
        every = [line for paragraph in paragraphs for line in paragraph]
        self._body = _body_size(every)
        total = sum(len(line.text) for line in every)
        bold = sum(len(line.text) for line in every if line.bold)
        self._bold_means_heading = bold <= _HEADING_SHARE * total
        shares: Counter[float] = Counter()
        for paragraph in paragraphs:
            if self._may_be_larger(paragraph):
                shares[paragraph[0].size] += sum(len(line.text) for line in paragraph)
        self._sizes = _grouped(size for size, share in shares.items() if share <= _HEADING_SHARE * total)

    def of(self, paragraph: Sequence[PageLine], text: str) -> int | None:
        first = paragraph[0]
        if not _reads_like_heading(paragraph, text):
            return None
        if self._may_be_larger(paragraph):
            for level, (least, most) in enumerate(self._sizes, start=1):
                if least <= first.size <= most:
                    return min(level, _LEVELS)
            return None
        bold = self._bold_means_heading and all(line.bold for line in paragraph) and first.size >= 0.95 * self._body
        if bold and len(paragraph) <= 2 and not _SENTENCE_END.search(text):
            return min(len(self._sizes) + 1, _LEVELS)
        return None

    def _may_be_larger(self, paragraph: Sequence[PageLine]) -> bool:
        return paragraph[0].size >= _LARGER * self._body and len(paragraph) <= _HEADING_LINES


def _reads_like_heading(paragraph: Sequence[PageLine], text: str) -> bool:
    letters = sum(character.isalpha() for character in text[:_HEADING_CHARACTERS])
    return (
        len(paragraph) <= _HEADING_LINES
        and len(text) <= _HEADING_CHARACTERS
        and letters >= 2
        and letters * 2 >= len(text.replace(" ", ""))
        and not (text.endswith((".", ",", ";")) and len(text) > 60)
        and not _BULLET.match(text)
    )


def _grouped(sizes: Iterable[float]) -> list[tuple[float, float]]:
    """Sizes within 6 % of each other as one (least, most), largest first."""
    groups: list[tuple[float, float]] = []
    for size in sorted(sizes, reverse=True):
        if groups and size >= groups[-1][1] * 0.94:
            groups[-1] = (size, groups[-1][1])
        else:
            groups.append((size, size))
    return groups


def _body_size(lines: Iterable[PageLine]) -> float:
    """The size that most characters have, in steps of half a point."""
    characters: Counter[float] = Counter()
    for line in lines:
        characters[round(line.size * 2) / 2] += len(line.text)
    return characters.most_common(1)[0][0] if characters else 0.0


def _title(declared: str | None, elements: Sequence[Element]) -> str | None:
    """What the file calls itself, unless that is a program's filler; else the first heading on the first page."""
    words = " ".join(clean(declared or "").split())
    if words and not _WORTHLESS_TITLE.match(words):
        return words
    for element in elements:
        if element.lines and element.lines[0].box.page > 1:
            return None
        if element.level == 1 and not _CONTENTS.fullmatch(element.text):
            return " ".join(element.text.split())
    return None
