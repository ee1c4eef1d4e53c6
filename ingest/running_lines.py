"""Running lines: the headers, footers and page numbers of a document, told by how they recur from page to page."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import takewhile

from ingest.page_text import PageText, body_size

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


def running_lines(pages: Sequence[PageText]) -> set[tuple[int, int]]:
    """(page, index) of the lines at the edges that recur on near pages or carry the printed page number."""
    edges = [(page, edge) for page in pages for edge in _edges(page)]
    margins = [(page, at, distance) for page, edge in edges for at, distance in edge]
    body = body_size(line for page in pages for line in page.lines)
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
