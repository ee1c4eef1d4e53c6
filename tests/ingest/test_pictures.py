"""Pictures: what is taken from a child, what is drawn on it, what comes out."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from ingest.codec_values import Malformed
from ingest.pictures import MOST_PIXELS, MOST_SIDE, Picture, decode, encode, most_bytes
from retrieval.chunks import Box

WHITE = (255, 255, 255)


def blank(width: int = 40, height: int = 20, points: tuple[float, float] = (20.0, 10.0)) -> Picture:
    return Picture(width, height, points, b"\xff" * (width * height * 3))


def opened(picture: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.png()))
    image.load()
    return image


def test_a_picture_is_the_same_after_the_way_from_its_child() -> None:
    picture = blank()
    assert decode(encode(picture)) == picture
    assert len(encode(picture)) < most_bytes()


@pytest.mark.parametrize(
    ("head", "pixels"),
    [
        ((40, 20, 20.0, 10.0), 40 * 20 * 3 - 1),
        ((40, 20, 20.0, 10.0), 40 * 20 * 3 + 1),
        ((0, 20, 20.0, 10.0), 0),
        ((40, 20, 0.0, 10.0), 40 * 20 * 3),
        ((40, 20, 20.0, -10.0), 40 * 20 * 3),
        ((40, 20, float("nan"), 10.0), 40 * 20 * 3),
        ((40, 20, 20.0, float("inf")), 40 * 20 * 3),
        ((MOST_SIDE + 1, 1, 20.0, 10.0), (MOST_SIDE + 1) * 3),
        ((MOST_SIDE, MOST_PIXELS // MOST_SIDE + 1, 20.0, 10.0), 0),
        ((2**32 - 1, 2**32 - 1, 20.0, 10.0), 3),
    ],
)
def test_what_is_no_picture_is_refused(head: tuple[int, int, float, float], pixels: int) -> None:
    with pytest.raises(Malformed):
        decode(struct.pack(">IIdd", *head) + bytes(pixels))


def test_half_a_head_is_refused() -> None:
    with pytest.raises(Malformed):
        decode(encode(blank())[:23])


def test_the_png_holds_the_pixels_that_came() -> None:
    noise = np.random.default_rng(7).integers(0, 256, (23, 31, 3), np.uint8)
    picture = Picture(31, 23, (15.5, 11.5), noise.tobytes())
    image = opened(picture)
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (31, 23))
    assert np.array_equal(np.asarray(image), noise)
    assert [round(dots) for dots in image.info["dpi"]] == [144, 144]


def test_boxes_are_drawn_where_their_points_are_and_nowhere_else() -> None:
    image = opened(blank().with_boxes([Box(1, 5, 2, 10, 4)]))  # pixels 10 to 20 across, 4 to 8 down
    assert image.getpixel((10, 4)) == image.getpixel((19, 7)) != WHITE
    frame = image.getpixel((8, 2))
    assert frame not in (WHITE, image.getpixel((10, 4)))
    assert frame == image.getpixel((21, 9)) == image.getpixel((15, 3))
    assert (
        image.getpixel((7, 5))
        == image.getpixel((22, 5))
        == image.getpixel((15, 1))
        == image.getpixel((15, 10))
        == WHITE
    )


def test_print_under_a_box_stays_dark_however_many_boxes_are_on_it() -> None:
    grey = Picture(40, 20, (20.0, 10.0), b"\x64" * (40 * 20 * 3))
    box = Box(1, 2, 2, 18, 8)
    once, often = (opened(grey.with_boxes([box] * count)) for count in (1, 9))
    assert once.tobytes() == often.tobytes()
    assert once.getpixel((20, 10)) == (100, 92, 50)
    assert grey.with_boxes([]) == grey


@pytest.mark.parametrize(
    "box",
    [
        Box(1, -1e300, -1e300, 1e300, 1e300),
        Box(1, 10, 5, 5, 2),
        Box(1, 1e9, 1e9, 2e9, 2e9),
        Box(1, 3, 3, 3, 3),
    ],
)
def test_boxes_that_no_page_has_do_no_harm(box: Box) -> None:
    assert opened(blank().with_boxes([box])).size == (40, 20)
