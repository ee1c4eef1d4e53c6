"""Page assembly: the lines of all pages to one document. Decided once, over all of them: what is a running header,
what a paragraph, what a heading and of which level.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from ingest.document_titles import title_of
from ingest.heading_paths import with_heading_paths
from ingest.page_text import PageLine, PageText, body_size
from ingest.parsing import Defect, Element, ElementKind, Line, ParsedDocument
from ingest.running_lines import running_lines
from retrieval.errors import Unparseable

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


def assemble(pages: Sequence[PageText], *, title: str | None = None) -> ParsedDocument:
    """The document of all its pages, in order. `title` is what the file calls itself; often that is worthless.

    Raises `Unparseable` when there is no page to show for it: damaged, needs_program (a scan) or no_text.
    """
    defects = tuple(_defects(pages))
    if not any(page.lines for page in pages):
        raise _nothing(pages)
    running = running_lines(pages)
    kept = [
        replace(page, lines=tuple(line for at, line in enumerate(page.lines) if (page.page, at) not in running))
        for page in pages
    ]
    if not any(page.lines for page in kept):
        kept = list(pages)
    paragraphs = list(_over_page_ends(paragraph for page in kept for paragraph in _paragraphs(page.lines)))
    elements = tuple(with_heading_paths(_elements(paragraphs)))
    return ParsedDocument(elements, title=title_of(title, elements), pages=len(pages), defects=defects)


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


# --- headings ---------------------------------------------------------------------------------------------------------


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
        self._body = body_size(every)
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
