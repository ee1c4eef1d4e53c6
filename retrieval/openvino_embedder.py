"""An embedder on the CPU: the model folder, converted once, run by OpenVINO and the `tokenizers` package alone.

Queries and passages run on compiled models of their own, so a query never stands behind a passage batch in a queue:
the two compete for cores, not for a place. Each is compiled at its first use: a process that only searches never
pays for the other. The converted weights are mapped, and shared between processes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from retrieval.batching import batches, padded
from retrieval.embedding import EmbeddingSpec, Provenance
from retrieval.openvino_door import openvino
from retrieval.query_gathering import QueryGathering
from retrieval.wordpiece_tokenizer import WordPieceTokenizer

Precision = Literal["f32", "bf16"]

# Batches of 2,048 padded tokens stay in the second-level cache of a core or two; 16,384 were a tenth slower.
PASSAGE_TOKENS = 2048
# A short query gains 0.1 ms from a second thread and loses 4 ms when that thread has to wait for a core.
QUERY_THREADS = 1
# Gathered queries of very unequal length go in several calls rather than padded to the longest.
QUERY_TOKENS = 1024


class OpenVinoEmbedder:
    """`converted` is the `.xml` that `model_conversion` writes: ids and mask in, the pooled vector out.

    `passage_token_budget` is asked before each passage batch: at about 10,000 tokens a second on two cores, 512
    tokens keep a batch under 50 ms. `threads` bounds what one passage batch uses.
    """

    def __init__(
        self,
        converted: Path,
        spec: EmbeddingSpec,
        tokenizer: WordPieceTokenizer,
        *,
        precision: Precision,
        threads: int,
        passage_token_budget: Callable[[], int] | None = None,
    ) -> None:
        self._spec = spec
        self._tokenizer = tokenizer
        self._precision = precision
        self._passage_token_budget = passage_token_budget or (lambda: PASSAGE_TOKENS)
        self._passages = _Request(converted, precision, threads=threads)
        self._queries = _Request(converted, precision, threads=QUERY_THREADS)
        self._gathering = QueryGathering(self._embed_queries)

    @property
    def spec(self) -> EmbeddingSpec:
        return self._spec

    @property
    def provenance(self) -> Provenance:
        return Provenance("openvino", "cpu", self._precision)

    @property
    def tokenizer(self) -> WordPieceTokenizer:
        return self._tokenizer

    @property
    def waiting_queries(self) -> int:
        return self._gathering.waiting

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        prompted = [self._spec.passage_prompt + text for text in texts]
        return self._embed(prompted, self._passages, self._passage_token_budget)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return self._gathering.ask(text)

    def close(self) -> None:
        self._passages.close()
        self._queries.close()

    def _embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        prompted = [self._spec.query_prompt + text for text in texts]
        return self._embed(prompted, self._queries, lambda: QUERY_TOKENS)

    def _embed(self, texts: Sequence[str], request: _Request, budget: Callable[[], int]) -> NDArray[np.float32]:
        ids = self._tokenizer.encode_batch(texts, max_tokens=self._spec.max_tokens)
        vectors = np.empty((len(texts), self._spec.dimension), dtype=np.float32)
        for batch in batches([len(row) for row in ids], budget):
            vectors[list(batch.rows)] = request.infer(*padded(ids, batch))
        return vectors


class _Request:
    """One compiled model with one inference request, made at its first use; callers take turns, batch by batch."""

    def __init__(self, converted: Path, precision: Precision, *, threads: int) -> None:
        self._compile = partial(_compile, converted, precision, threads=threads)
        self._request: Any = None
        self._turn = threading.Lock()

    def infer(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors of unit norm, shape [rows, dimension]."""
        with self._turn:
            if self._request is None:
                self._request = self._compile().create_infer_request()
            outputs = self._request.infer([ids, mask], share_inputs=True)
            vectors: NDArray[np.float32] = np.array(outputs[0], dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def close(self) -> None:
        with self._turn:
            self._request = None


def _compile(converted: Path, precision: Precision, *, threads: int) -> Any:
    """`threads` and the latency hint give one stream: one batch at a time on all the threads, the next one after."""
    return openvino.Core().compile_model(
        str(converted),
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
        },
    )
