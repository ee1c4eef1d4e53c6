"""Pages drawn in confined children, real ones."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from ingest.page_pictures import PagePictures
from ingest.parser_limits import MIB, ParserLimits
from ingest.pdfium_parser import PdfPages
from ingest.pdfium_pictures import size_in_pixels
from ingest.pictures import MOST_PIXELS, MOST_SIDE, Picture
from ingest.sandbox import SandboxLevel
from retrieval.errors import Unavailable, Unparseable
from tests.made_files import pdf

LIMITS = ParserLimits(memory_bytes=512 * MIB)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagePictures]:
    made = PagePictures(limits=LIMITS, size=2, scratch=tmp_path_factory.mktemp("scratch"))
    yield made
    made.close()


def saved(folder: Path, data: bytes) -> Path:
    path = folder / "a.pdf"
    path.write_bytes(data)
    return path


def heavy_page(folder: Path) -> Path:
    """A page of half a million curves."""
    data = io.BytesIO()
    canvas = Canvas(data, pageCompression=1)
    canvas._code.append("0 0 m 600 800 300 100 20 700 c S\n" * 500_000)
    canvas.showPage()
    canvas.save()
    return saved(folder, data.getvalue())


def pixels(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(picture.png())))


def turned(*, rotation: int, crop: tuple[int, int, int, int] | None) -> bytes:
    """A page with one line, turned for showing, and cut down to a part of it."""
    data = io.BytesIO()
    canvas = Canvas(data, pagesize=(400, 300))
    canvas.setPageRotation(rotation)
    if crop is not None:
        canvas.setCropBox(crop)
    canvas.drawString(120, 200, "Otters")
    canvas.showPage()
    canvas.save()
    return data.getvalue()


def test_a_page_is_drawn_as_it_is_shown(pictures: PagePictures, tmp_path: Path) -> None:
    path = saved(tmp_path, pdf("First", "Second"))
    first, second = (pictures.draw(path, page=page) for page in (1, 2))
    assert (first.width, first.height) == (int(2 * first.points[0]), int(2 * first.points[1]))
    assert first.pixels != second.pixels
    page = pixels(first)
    assert (page == 255).mean() > 0.99
    assert page.min() < 64


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("crop", [None, (100, 150, 350, 280)], ids=["whole", "cut"])
def test_what_is_printed_lies_in_the_box_that_the_parser_found(
    pictures: PagePictures, tmp_path: Path, rotation: int, crop: tuple[int, int, int, int] | None
) -> None:
    path = saved(tmp_path, turned(rotation=rotation, crop=crop))
    with PdfPages(path) as document:
        [line] = document.page(1).lines
    picture = pictures.draw(path, page=1)
    inked = (pixels(picture) < 128).any(axis=2)
    rows, columns = np.nonzero(inked)
    across, down = picture.width / picture.points[0], picture.height / picture.points[1]
    box = line.box
    for found, wanted in (
        (columns.min(), box.x0 * across),
        (columns.max() + 1, box.x1 * across),
        (rows.min(), box.y0 * down),
        (rows.max() + 1, box.y1 * down),
    ):
        assert abs(found - wanted) <= 3, (rotation, crop)
    before, after = pixels(picture), pixels(picture.with_boxes([box]))
    ink = after[inked].astype(int) - before[inked]
    assert (ink <= 0).all()
    assert (before != after).any(axis=2)[rows.min() : rows.max(), columns.min() : columns.max()].mean() > 0.5


@pytest.mark.parametrize(
    ("across", "down"),
    [(612, 792), (14_400, 14_400), (1e9, 1e-9), (1e-3, 1e30), (3e38, 3e38), (0.01, 0.01)],
)
def test_no_page_is_so_large_that_its_picture_is_too_large(across: float, down: float) -> None:
    width, height = size_in_pixels(across, down)
    assert 1 <= width <= MOST_SIDE
    assert 1 <= height <= MOST_SIDE
    assert width * height <= MOST_PIXELS
    if across * down * 4 < MOST_PIXELS and min(across, down) > 1:
        assert (width, height) == (2 * across, 2 * down)


def test_a_huge_page_is_drawn_smaller(pictures: PagePictures, tmp_path: Path) -> None:
    data = io.BytesIO()
    canvas = Canvas(data, pagesize=(14_400, 7_200))
    canvas.drawString(72, 72, "wide")
    canvas.showPage()
    canvas.save()
    picture = pictures.draw(saved(tmp_path, data.getvalue()), page=1)
    assert MOST_PIXELS * 0.99 < picture.width * picture.height <= MOST_PIXELS
    assert picture.points == (14_400, 7_200)


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"%PDF-1.4 and no more", "damaged"), (pdf("x", password="open sesame"), "encrypted"), (b"words", "damaged")],
    ids=["half", "encrypted", "no PDF"],
)
def test_what_cannot_be_opened_says_why_and_the_next_page_is_drawn(
    pictures: PagePictures, tmp_path: Path, data: bytes, code: str
) -> None:
    with pytest.raises(Unparseable) as caught:
        pictures.draw(saved(tmp_path, data), page=1)
    assert caught.value.reason_code == code
    assert pictures.draw(saved(tmp_path, pdf("well")), page=1).width > 0


def test_colours_are_as_they_are_shown(pictures: PagePictures, tmp_path: Path) -> None:
    data = io.BytesIO()
    canvas = Canvas(data, pagesize=(100, 100))
    canvas.setFillColorRGB(1, 0, 0)
    canvas.rect(0, 50, 100, 50, stroke=0, fill=1)
    canvas.showPage()
    canvas.save()
    page = pixels(pictures.draw(saved(tmp_path, data.getvalue()), page=1))
    assert (page[:99] == (255, 0, 0)).all()
    assert (page[101:] == (255, 255, 255)).all()


def test_a_page_beyond_the_last_cannot_be_drawn(pictures: PagePictures, tmp_path: Path) -> None:
    with pytest.raises(Unparseable, match="page 2"):
        pictures.draw(saved(tmp_path, pdf("only one")), page=2)


@pytest.mark.parametrize(
    "limits", [{"cpu_s": 1}, {"wall_s": 0.3}, {"memory_bytes": 8 * MIB}], ids=["cpu", "wall", "memory"]
)
def test_a_page_that_takes_too_much_is_ended_and_holds_up_nobody(tmp_path: Path, limits: dict[str, Any]) -> None:
    made = PagePictures(limits=ParserLimits(**{"memory_bytes": 1024 * MIB, **limits}), size=1, scratch=tmp_path / "s")
    try:
        with pytest.raises(Unparseable) as caught:
            made.draw(heavy_page(tmp_path), page=1)
        assert caught.value.reason_code == "parse_limit"
        if "memory_bytes" not in limits:
            assert made.draw(saved(tmp_path, pdf("light")), page=1).width > 0
    finally:
        made.close()


@pytest.mark.parametrize("page", ["lies", "talks", "dies", "hangs", "is too large"])
def test_what_a_child_that_was_taken_over_does_it_does_to_its_own_page(tmp_path: Path, page: str) -> None:
    made = PagePictures(
        parsers=f"{Path(__file__).with_name('hostile_drawing.py')}:read_whole",
        limits=ParserLimits(memory_bytes=512 * MIB, wall_s=3.0),
        size=1,
        scratch=tmp_path / "scratch",
    )
    try:
        with pytest.raises(Unparseable) as caught:
            made.draw(saved(tmp_path, page.encode()), page=1)
        assert caught.value.reason_code == ("parse_limit" if page in ("hangs", "is too large") else "kills_worker")
        assert "page 1" in str(caught.value).lower()
        assert made.draw(saved(tmp_path, b"draws"), page=1).pixels == b"\x00\x00\x00"
    finally:
        made.close()


def test_nothing_runs_before_the_first_page_no_child_outlives_its_page_and_nothing_the_end(tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    made = PagePictures(limits=LIMITS, size=2, scratch=tmp_path / "scratch")
    assert set(psutil.Process().children(recursive=True)) == before
    path = saved(tmp_path, pdf("one"))
    drawn = [made.draw(path, page=1)]
    idle = set(psutil.Process().children(recursive=True)) - before
    with ThreadPoolExecutor(5) as threads:
        drawn += threads.map(lambda _: made.draw(path, page=1), range(5))
    assert len({picture.pixels for picture in drawn}) == 1
    assert set(psutil.Process().children(recursive=True)) - before == idle != set()
    made.close()
    assert set(psutil.Process().children(recursive=True)) == before
    assert list((tmp_path / "scratch").iterdir()) == []
    with pytest.raises(Unavailable):
        made.draw(path, page=1)


def test_where_no_sandbox_is_reached_nothing_is_drawn(tmp_path: Path) -> None:
    made = PagePictures(limits=LIMITS, size=1, scratch=tmp_path / "scratch", level=SandboxLevel.NONE)
    with pytest.raises(Unavailable, match="ALLOW_UNSANDBOXED"):
        made.draw(saved(tmp_path, pdf("one")), page=1)


@pytest.mark.parametrize("level", [level for level in SandboxLevel if level is not SandboxLevel.NONE])
def test_pages_are_drawn_at_every_level(tmp_path: Path, level: SandboxLevel) -> None:
    made = PagePictures(limits=LIMITS, size=1, scratch=tmp_path / "scratch", level=level)
    try:
        picture = made.draw(saved(tmp_path, pdf("one")), page=1)
    except Unavailable as error:
        pytest.skip(f"this machine does not reach the level: {str(error)[:200]}")
    finally:
        made.close()
    assert picture.width > 0
