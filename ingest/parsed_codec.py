"""A ParsedDocument as bytes and back, across the border to a process that may be hostile.

msgpack and nothing that can carry code. `decode` believes nothing: every value is checked for its type and range, and
how much memory the answer may cost is bounded before it is built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast, get_args

import msgpack

from ingest.codec_values import Malformed, a_count, a_list, a_number, a_positive, a_text, optional
from ingest.parsing import Defect, Element, ElementKind, Line, ParsedDocument
from retrieval.chunks import Box

# List items in one message. An element costs about ten and a line eight, so this is 800,000 elements or a million
# lines; and a message of nothing but one-byte items cannot grow into more than about 0.5 GiB of Python objects.
MAX_ITEMS = 2**23

DefectCode = Literal["pages_failed", "parts_failed", "truncated"]


class TooManyItems(ValueError):
    """The document has more elements and lines than a message may carry."""


def encode(document: ParsedDocument) -> bytes:
    """Raises `TooManyItems` for a document that `decode` would not take back."""
    elements = [_element_row(element) for element in document.elements]
    if sum(_weight(row) for row in elements) > MAX_ITEMS - 2**16:
        raise TooManyItems
    defects = [[defect.code, defect.where, defect.why] for defect in document.defects]
    row = [document.title, document.language, document.pages, defects, elements]
    return cast(bytes, msgpack.packb(row, use_bin_type=True, unicode_errors="surrogatepass"))


def decode(data: bytes | bytearray) -> ParsedDocument:
    """Raises `Malformed` for anything that is not a whole, consistent document; never anything else."""
    try:
        row = msgpack.unpackb(
            data,
            list_hook=_budget(MAX_ITEMS),
            unicode_errors="surrogatepass",
            max_array_len=MAX_ITEMS,
            max_map_len=0,
            max_ext_len=0,
        )
        return _document(row)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise Malformed(str(error)) from error


def _weight(row: list[Any]) -> int:
    return len(row) + sum(len(value) for value in row if isinstance(value, list)) + 8 * len(row[4])


def _element_row(element: Element) -> list[Any]:
    lines = [
        [line.start, line.end, line.box.page, line.box.x0, line.box.y0, line.box.x1, line.box.y1]
        for line in element.lines
    ]
    return [
        element.kind.value,
        element.text,
        None if element.heading_path is None else list(element.heading_path),
        element.level,
        lines,
        element.slide,
        element.sheet,
        None if element.row_numbers is None else list(element.row_numbers),
        element.part,
    ]


def _budget(items: int) -> Callable[[list[Any]], list[Any]]:
    """A hook that sees each list as it is finished and stops the decoder once they hold more than `items`."""
    left = items

    def spend(values: list[Any]) -> list[Any]:
        nonlocal left
        left -= len(values) + 1
        if left < 0:
            raise Malformed("too many items")
        return values

    return spend


def _document(row: object) -> ParsedDocument:
    title, language, pages, defects, elements = a_list(row, 5)
    return ParsedDocument(
        elements=tuple(_element(value) for value in a_list(elements)),
        title=optional(a_text, title),
        language=optional(a_text, language),
        pages=optional(a_count, pages),
        defects=tuple(_defect(value) for value in a_list(defects)),
    )


def _element(row: object) -> Element:
    kind, text, heading_path, level, lines, slide, sheet, row_numbers, part = a_list(row, 9)
    text = a_text(text)
    return Element(
        kind=ElementKind(a_text(kind)),
        text=text,
        heading_path=optional(lambda value: tuple(a_text(item) for item in a_list(value)), heading_path),
        level=optional(a_positive, level),
        lines=tuple(_line(value, len(text)) for value in a_list(lines)),
        slide=optional(a_positive, slide),
        sheet=optional(a_text, sheet),
        row_numbers=optional(lambda value: tuple(a_positive(item) for item in a_list(value)), row_numbers),
        part=optional(a_text, part),
    )


def _line(row: object, length: int) -> Line:
    start, end, page, *corners = a_list(row, 7)
    start, end = a_count(start), a_count(end)
    if not start <= end <= length:
        raise Malformed("a line outside its text")
    x0, y0, x1, y1 = (a_number(corner) for corner in corners)
    return Line(start, end, Box(a_positive(page), x0, y0, x1, y1))


def _defect(row: object) -> Defect:
    code, where, why = a_list(row, 3)
    if code not in get_args(DefectCode):
        raise Malformed("an unknown defect")
    return Defect(cast(DefectCode, code), a_text(where), a_text(why))
