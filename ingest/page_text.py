"""Page text: what one PDF page holds, as lines with boxes. It crosses processes when page ranges are read apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from retrieval.chunks import Box


@dataclass(frozen=True, slots=True)
class PageLine:
    """A printed line. `size` is its font's size in points as shown, `baseline` its height on the page.

    `divided`: its last word goes on in the next line.
    """

    text: str
    box: Box
    baseline: float
    size: float
    bold: bool
    divided: bool = False


@dataclass(frozen=True, slots=True)
class PageText:
    """What one page holds. `failure` says why it could not be read; `scanned`: an image covers it and no text."""

    page: int
    width: float
    height: float
    lines: tuple[PageLine, ...] = ()
    failure: str | None = None
    scanned: bool = False


def body_size(lines: Iterable[PageLine]) -> float:
    """The size that most characters have, in steps of half a point."""
    characters: Counter[float] = Counter()
    for line in lines:
        characters[round(line.size * 2) / 2] += len(line.text)
    return characters.most_common(1)[0][0] if characters else 0.0
