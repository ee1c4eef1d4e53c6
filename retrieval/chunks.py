"""A chunk is the passage that is embedded and found; a locator says where in its document it stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a page, in points, origin at the page's top left as it is shown. Pages count from 1."""

    page: int
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class Locator:
    """Where in the document. What is not known is None, never invented.

    `char_start` and `char_end` count code points in the document's extracted text. Rows, slides and pages count
    from 1 and include both ends. `part` is the MIME part number of a message, such as "1.2".
    """

    char_start: int
    char_end: int
    pages: tuple[int, ...] | None = None
    boxes: tuple[Box, ...] | None = None
    heading_path: tuple[str, ...] | None = None
    slide: int | None = None
    sheet: str | None = None
    row_start: int | None = None
    row_end: int | None = None
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """One passage. `text` is what is quoted: verbatim the extracted text at the locator's span.

    `embedded_text` additionally carries the title and the heading path; `tokens` counts it in word pieces.
    """

    id: str
    document_id: str
    ordinal: int
    text: str
    embedded_text: str
    locator: Locator
    tokens: int


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Term ids and weights, as Qdrant's BM25 makes them. Empty for a text of stop words alone."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class EmbeddedChunk:
    """A chunk with its vectors. `vector` is float32 of the spec's dimension and of unit norm."""

    chunk: Chunk
    vector: NDArray[np.float32]
    sparse: SparseVector
