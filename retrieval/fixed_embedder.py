"""An embedder without a model: a hashed bag of words. Deterministic, quick, and similar texts are similar.

For tests, index benchmarks and demonstrations where a model is in the way. Not for search: it knows no synonym.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import log1p

import numpy as np
from numpy.typing import NDArray

from retrieval.embedding import EmbeddingSpec, Provenance

_WORD = re.compile(r"\w+|[^\w\s]")


class WordTokenizer:
    """Words and single punctuation marks."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(_WORD.findall(text)) for text in texts]

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in _WORD.finditer(text)]


class FixedEmbedder:
    """Texts with the same words, in any order and case, have the same vector; without common words, nearly orthogonal.

    A text is cut at `max_tokens` words, as a model would. Equal dimensions give equal specs on every machine.
    """

    def __init__(self, *, dimension: int = 384, max_tokens: int = 256) -> None:
        digest = hashlib.sha256(f"fixed/1/{dimension}".encode()).hexdigest()
        self._spec = EmbeddingSpec(model="fixed", digest=digest, dimension=dimension, max_tokens=max_tokens)
        self._tokenizer = WordTokenizer()

    @property
    def spec(self) -> EmbeddingSpec:
        return self._spec

    @property
    def provenance(self) -> Provenance:
        return Provenance("fixed", "cpu", "f32")

    @property
    def tokenizer(self) -> WordTokenizer:
        return self._tokenizer

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self._spec.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self.embed_query(text)
        return vectors

    def embed_query(self, text: str) -> NDArray[np.float32]:
        words = Counter(word.casefold() for word in _WORD.findall(text)[: self._spec.max_tokens])
        vector = np.zeros(self._spec.dimension, dtype=np.float32)
        for word, occurrences in words.items():
            vector += log1p(occurrences) * _direction(word, self._spec.dimension)
        norm = float(np.linalg.norm(vector))
        return vector / np.float32(norm) if norm > 0 else _direction("", self._spec.dimension)

    def close(self) -> None:
        """Nothing to let go of."""


@lru_cache(maxsize=65536)
def _direction(word: str, dimension: int) -> NDArray[np.float32]:
    """The unit vector of a word: signs from a hash of it."""
    bits = hashlib.shake_256(word.encode("utf-8", "surrogatepass")).digest((dimension + 7) // 8)
    signs = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=dimension).astype(np.float32) * 2 - 1
    direction: NDArray[np.float32] = signs / np.float32(np.sqrt(dimension))
    direction.setflags(write=False)
    return direction
