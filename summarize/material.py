"""Material: what the caller found, before it is numbered and cut to a budget."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval.chunks import Locator


@dataclass(frozen=True, slots=True)
class Material:
    """One chunk offered for an answer or a summary.

    Answers take it best first, summaries in document order. `score` orders the chunks of one request and means
    nothing beyond it; `packing` maps it to [0, 1].
    """

    chunk_id: str
    document_id: str
    title: str
    text: str
    locator: Locator
    score: float
