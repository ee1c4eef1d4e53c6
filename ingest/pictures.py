"""Picture: a page's pixels. They come from a process that may be hostile, get boxes drawn on, and leave as PNG.

Whatever that process sends is pixels and nothing else: the PNG is written here, so what a browser gets is always one.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ingest.codec_values import Malformed
from retrieval.chunks import Box

# 8 million: an A2 page at two pixels a point, and 24 MB of memory for each page that is drawn at once.
MOST_PIXELS = 2**23
# A side of a page may be any length, and a process's arithmetic on it anything.
MOST_SIDE = 2**14

_HEAD = struct.Struct(">IIdd")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = 3
# Tint and frame only darken, each channel for itself, so that no print is hidden.
_TINT = np.array([255, 236, 130], np.uint16)
_EDGE = np.array([214, 110, 0], np.uint8)
_EDGE_POINTS = 0.75
# 3: of zlib's levels the one behind which a page hardly gets smaller, only slower.
_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Picture:
    """`width` and `height` in pixels, `points` the page's width and height in points; `pixels` are rows of RGB from the
    top left."""

    width: int
    height: int
    points: tuple[float, float]
    pixels: bytes

    @property
    def is_sound(self) -> bool:
        sides = 0 < self.width <= MOST_SIDE and 0 < self.height <= MOST_SIDE
        page = all(math.isfinite(side) and side > 0 for side in self.points)
        count = self.width * self.height
        return sides and page and count <= MOST_PIXELS and len(self.pixels) == count * _CHANNELS

    def with_boxes(self, boxes: Iterable[Box]) -> Picture:
        """The same with these boxes, of this page and in points from its top left, tinted and framed."""
        page = np.frombuffer(self.pixels, np.uint8).reshape(self.height, self.width, _CHANNELS).copy()
        tinted = np.zeros((self.height, self.width), bool)
        framed = np.zeros((self.height, self.width), bool)
        edge = max(1, round(_EDGE_POINTS * self.width / self.points[0]))
        for box in boxes:
            left, right = self._across(box.x0), self._across(box.x1)
            top, bottom = self._down(box.y0), self._down(box.y1)
            framed[max(top - edge, 0) : bottom + edge, max(left - edge, 0) : right + edge] = True
            tinted[top:bottom, left:right] = True
        page[tinted] = page[tinted] * _TINT // 255
        framed &= ~tinted
        page[framed] = np.minimum(page[framed], _EDGE)
        return replace(self, pixels=page.tobytes())

    def png(self) -> bytes:
        """The PNG file: 8 bits, RGB, each row as the difference to the one above it."""
        rows = np.frombuffer(self.pixels, np.uint8).reshape(self.height, self.width * _CHANNELS)
        lines = np.empty((self.height, 1 + self.width * _CHANNELS), np.uint8)
        lines[:, 0] = 2  # the filter "up"
        lines[0, 1:] = rows[0]
        np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        density = round(self.width / self.points[0] * 72 / 0.0254)
        resolution = struct.pack(">IIB", density, density, 1)
        parts = ((b"IHDR", head), (b"pHYs", resolution), (b"IDAT", zlib.compress(lines.data, _LEVEL)), (b"IEND", b""))
        return _SIGNATURE + b"".join(_part(kind, data) for kind, data in parts)

    def _across(self, points: float) -> int:
        return _pixel(points, self.width, self.points[0])

    def _down(self, points: float) -> int:
        return _pixel(points, self.height, self.points[1])


def encode(picture: Picture) -> bytes:
    return _HEAD.pack(picture.width, picture.height, *picture.points) + picture.pixels


def decode(data: bytes) -> Picture:
    """Raises `Malformed` for what no picture is."""
    if len(data) < _HEAD.size:
        raise Malformed("a picture without its head")
    width, height, *points = _HEAD.unpack_from(data)
    picture = Picture(width, height, (points[0], points[1]), data[_HEAD.size :])
    if not picture.is_sound:
        raise Malformed("a picture of another size than it says")
    return picture


def most_bytes() -> int:
    """The most that `encode` gives."""
    return _HEAD.size + MOST_PIXELS * _CHANNELS


def _pixel(points: float, pixels: int, page: float) -> int:
    """A place on the page in pixels, never beyond its edges."""
    return round(min(max(points / page, 0.0), 1.0) * pixels)


def _part(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
