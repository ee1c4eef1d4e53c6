"""What runs inside a child in the tests of page ranges: each line of the document is a page, and may be an attack."""

from __future__ import annotations

import ctypes
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from ingest.parsing import Defect, Element, ElementKind, ParsedDocument
from retrieval.errors import Unparseable

_kept: list[bytearray] = []


def parse_file(path: Path, media_type: str, name: str) -> ParsedDocument:
    return ParsedDocument(elements=(Element(ElementKind.PARAGRAPH, f"whole, by {os.getpid()}"),))


def open_pages(path: Path, media_type: str) -> LinesAsPages | None:
    return LinesAsPages(path.read_text().splitlines()) if media_type == "text/pages" else None


def assemble_pages(about: bytes, pages: Iterable[bytes | str], name: str) -> ParsedDocument:
    elements, defects = [], []
    for number, page in enumerate(pages, start=1):
        if isinstance(page, str):
            defects.append(Defect("pages_failed", f"page {number}", page))
        else:
            elements.append(Element(ElementKind.PARAGRAPH, page.decode(), part=str(number)))
    if not elements:
        raise Unparseable("damaged", "No page is left.")
    return ParsedDocument(tuple(elements), title=about.decode(), pages=number, defects=tuple(defects))


class LinesAsPages:
    def __init__(self, lines: list[str]) -> None:
        if lines[0] == "dies when opened":
            os.abort()
        self._lines = lines

    @property
    def pages(self) -> int:
        return len(self._lines)

    def about(self) -> bytes:
        return json.dumps(self.pages).encode()

    def page(self, number: int) -> bytes:
        attack, _, value = self._lines[number - 1].partition(" ")
        match attack:
            case "aborts":
                os.abort()
            case "segfaults":
                ctypes.string_at(0)
            case "spins":
                while True:
                    pass
            case "sleeps":
                time.sleep(float(value))
            case "allocates":
                _kept.append(bytearray(2**30))
            case "keeps":
                _kept.append(bytearray(int(value) << 20))
            case "writes":
                return b"x" * int(value)
            case "raises":
                raise ValueError("a bug of the parser")
            case "garbage":
                os.write(3, b"\x00" * 7 + b"\x08" + os.urandom(8))
                time.sleep(60)
        return f"{self._lines[number - 1]}, by {os.getpid()}".encode()

    def close(self) -> None:
        self._lines = []
