"""Chunk locators: where the pieces of one chunk stand in their document."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ingest.chunk_pieces import Piece
from retrieval.chunks import Box, Locator

_MAX_BOXES = 8  # a passage of 200 word pieces rarely covers more paragraphs; more would bloat every point


def locator_of(pieces: Sequence[Piece]) -> Locator:
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


def _rows(piece: Piece) -> tuple[int, int] | None:
    numbers = piece.element.row_numbers
    if not numbers:
        return None
    last = len(numbers) - 1
    return numbers[min(piece.first_line, last)], numbers[min(piece.last_line, last)]


def _common_path(pieces: Sequence[Piece]) -> tuple[str, ...] | None:
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


def _boxes(pieces: Sequence[Piece]) -> list[Box]:
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


def _element_boxes(piece: Piece) -> list[Box]:
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
