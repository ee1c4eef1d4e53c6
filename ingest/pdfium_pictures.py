"""Pages of a PDF as pixels: what the children behind `ingest.page_pictures` run. See `ParserEntry` for the names."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path
from typing import Any

from pypdfium2 import raw

from ingest import media_types as types
from ingest.parsing import ParsedDocument
from ingest.pdfium_parser import open_pdf
from ingest.pictures import MOST_PIXELS, MOST_SIDE, Picture, encode
from retrieval.errors import Unparseable

# 144 dots an inch: the smallest print is legible, and a letter page is 2 million pixels.
_PIXELS_PER_POINT = 2.0
_CHANNELS = 3
_WHITE = 0xFFFFFFFF


def read_whole(_path: Path, media_type: str, _name: str) -> ParsedDocument:
    """Of what has no pages to be drawn."""
    raise Unparseable("damaged", f"{media_type} has no pages that are drawn.")


def open_pages(path: Path, media_type: str) -> DrawnPdf | None:
    return DrawnPdf(path) if media_type == types.PDF else None


class DrawnPdf:
    """A `PageReader` whose pages are encoded pictures. Raises `Unparseable` when it is opened: encrypted or damaged."""

    def __init__(self, path: Path) -> None:
        self._document = open_pdf(path)
        self.pages: int = len(self._document)

    def about(self) -> bytes:
        return b""

    def page(self, number: int) -> bytes:
        page = raw.FPDF_LoadPage(self._document.raw, number - 1)
        if not page:
            raise Unparseable("damaged", f"PDFium cannot load page {number}.")
        try:
            return encode(_drawn(page))
        finally:
            raw.FPDF_ClosePage(page)

    def close(self) -> None:
        self._document.close()


def size_in_pixels(across: float, down: float) -> tuple[int, int]:
    """Of a page of so many points; a large one is drawn smaller, within what a picture may have."""
    scale = min(
        _PIXELS_PER_POINT, math.sqrt(MOST_PIXELS / across / down), MOST_SIDE / across, MOST_SIDE / down
    )  # each division for itself: a product of two sides may be too large for a number
    return max(1, int(across * scale)), max(1, int(down * scale))


def _drawn(page: Any) -> Picture:
    """On white, annotations too, as a viewer shows it: rotation and crop box are applied."""
    across, down = raw.FPDF_GetPageWidthF(page), raw.FPDF_GetPageHeightF(page)
    if not (0 < across < math.inf and 0 < down < math.inf):
        raise Unparseable("damaged", "The page has no size.")
    width, height = size_in_pixels(across, down)
    pixels = (ctypes.c_ubyte * (width * height * _CHANNELS))()
    bitmap = raw.FPDFBitmap_CreateEx(width, height, raw.FPDFBitmap_BGR, pixels, width * _CHANNELS)
    if not bitmap:
        raise MemoryError
    try:
        raw.FPDFBitmap_FillRect(bitmap, 0, 0, width, height, _WHITE)
        flags = raw.FPDF_ANNOT | raw.FPDF_REVERSE_BYTE_ORDER
        raw.FPDF_RenderPageBitmap(bitmap, page, 0, 0, width, height, 0, flags)
    finally:
        raw.FPDFBitmap_Destroy(bitmap)
    return Picture(width, height, (across, down), bytes(pixels))
