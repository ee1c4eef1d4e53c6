"""BM25 vectors by Qdrant's own encoder: the same in every deployment, whichever engine stores them."""

from __future__ import annotations

from qdrant_edge import Bm25, Bm25Config, TokenizerType
from qdrant_edge import SparseVector as EdgeSparseVector

from retrieval.chunks import SparseVector


class Bm25Encoder:
    """Text to term ids and weights. Empty for a text of stop words alone. Safe to share between threads."""

    def __init__(self) -> None:
        # Said in full, because stored vectors and queries must be made alike for as long as the index lives. k, b and
        # the average length are the encoder's defaults; a passage of the default size is near to it. Accents stay.
        config = Bm25Config(
            k=1.2,
            b=0.75,
            avg_len=256.0,
            tokenizer=TokenizerType.Word,
            language="english",
            lowercase=True,
            ascii_folding=False,
        )
        self._bm25 = Bm25(config)

    def passage(self, text: str) -> SparseVector:
        """Term frequencies, saturated and normalised by length; IDF is the index's part."""
        return _vector(self._bm25.embed_document(_encodable(text)))

    def query(self, text: str) -> SparseVector:
        """Each distinct term with weight 1."""
        return _vector(self._bm25.embed_query(_encodable(text)))


def _encodable(text: str) -> str:
    """The text with lone surrogates, which no encoder takes, as question marks: they separate words either way."""
    return text.encode("utf-8", "replace").decode()


def _vector(made: EdgeSparseVector) -> SparseVector:
    return SparseVector(tuple(made.indices), tuple(made.values))
