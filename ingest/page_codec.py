"""The text of a page as bytes and back, on its way from the parser child that read it to the one that assembles.

The pool passes these bytes on without looking into them. `decode_page` believes them no more than `parsed_codec` does
a document: the child that wrote them may have been taken over by its page. How much memory they may cost is bounded by
the limit of the child that decodes.
"""

from __future__ import annotations

import math
import struct
from array import array
from typing import Any, cast

import msgpack

from ingest.codec_values import Malformed, a_count, a_list, a_number, a_text, optional
from ingest.page_text import PageLine, PageText
from retrieval.chunks import Box

_NUMBERS = struct.Struct("=6d")  # of each line: its box, its baseline, its size
_BOLD, _DIVIDED = 1, 2


def encode_page(page: PageText) -> bytes:
    numbers, flags = array("d"), bytearray()
    for line in page.lines:
        box = line.box
        numbers.extend((box.x0, box.y0, box.x1, box.y1, line.baseline, line.size))
        flags.append(_BOLD * line.bold | _DIVIDED * line.divided)
    texts = [line.text for line in page.lines]
    row = [page.page, page.width, page.height, page.failure, page.scanned, texts, numbers.tobytes(), bytes(flags)]
    return cast(bytes, msgpack.packb(row, unicode_errors="surrogatepass"))


def decode_page(data: bytes, number: int) -> PageText:
    """The page of that number. Raises `Malformed` for anything that is not one; never anything else."""
    page, width, height, failure, scanned, texts, numbers, flags = a_list(_unpacked(data), 8)
    if a_count(page) != number or type(scanned) is not bool:
        raise Malformed("not the page that was asked for")
    lines = _lines(number, a_list(texts), numbers, flags)
    return PageText(page, a_number(width), a_number(height), lines, optional(a_text, failure), scanned)


def encode_title(title: str) -> bytes:
    return cast(bytes, msgpack.packb(title, unicode_errors="surrogatepass"))


def decode_title(data: bytes) -> str:
    return a_text(_unpacked(data))


def _lines(page: int, texts: list[Any], numbers: object, flags: object) -> tuple[PageLine, ...]:
    if not isinstance(numbers, bytes) or not isinstance(flags, bytes) or len(flags) != len(texts):
        raise Malformed("lines of the wrong shape")
    if len(numbers) != _NUMBERS.size * len(texts) or not all(map(math.isfinite, memoryview(numbers).cast("d"))):
        raise Malformed("lines without their numbers")
    return tuple(
        PageLine(a_text(text), Box(page, x0, y0, x1, y1), baseline, size, bool(flag & _BOLD), bool(flag & _DIVIDED))
        for text, flag, (x0, y0, x1, y1, baseline, size) in zip(
            texts, flags, _NUMBERS.iter_unpack(numbers), strict=True
        )
    )


def _unpacked(data: bytes) -> object:
    try:
        return msgpack.unpackb(data, unicode_errors="surrogatepass", max_map_len=0, max_ext_len=0)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise Malformed(str(error)) from error
