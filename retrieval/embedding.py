"""Embedder: texts in, unit vectors out.

Words
-----
*Spec*        the identity of the vectors: two embedders with equal specs may fill and ask the same index.
*Provenance*  how this process computes them (engine, device, precision): may differ between processes of one install.
*Passage*     a chunk's embedded text. *Query*: a question. Some models prefix them differently; the spec says how.

Promises: rows come back in the order of the texts, float32, contiguous, finite, of unit norm (± 1e-3). A text longer
than `spec.max_tokens` is cut by the model, so callers count with `tokenizer` first. Both methods may be called from
several threads at once; a query is never queued behind passages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EmbeddingSpec:
    """What must be equal for vectors to be comparable. `model` is its name, `digest` the sha256 of its weights."""

    model: str
    digest: str
    dimension: int
    max_tokens: int
    query_prompt: str = ""
    passage_prompt: str = ""
    normalised: bool = True


@dataclass(frozen=True, slots=True)
class Provenance:
    """How vectors are computed here: such as ("openvino", "cpu", "bf16")."""

    engine: str
    device: str
    precision: str


class Tokenizer(Protocol):
    """The model's own tokenizer, without special tokens."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Word pieces in each text."""
        ...

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The code-point span [start, end) of each word piece, in order."""
        ...


class Embedder(Protocol):
    @property
    def spec(self) -> EmbeddingSpec: ...

    @property
    def provenance(self) -> Provenance: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of `texts`, shape [len(texts), dimension]. Sorts by length and packs by token budget itself."""
        ...

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """The vector of one query, shape [dimension]. Raises `EmbedderBusy` when too many wait."""
        ...

    def close(self) -> None: ...
