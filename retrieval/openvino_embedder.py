"""An embedder on the CPU: the model folder, converted once, run by OpenVINO and the `tokenizers` package alone.

Queries and passages run on compiled models of their own, so a query never stands behind a passage batch in a queue:
the two compete for cores, not for a place. Each is compiled at its first use: a process that only searches never
pays for the other. The converted weights are mapped, and shared between processes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from retrieval.batching import Batch, batches, padded
from retrieval.embedding import EmbeddingSpec, Provenance
from retrieval.openvino_door import openvino
from retrieval.query_gathering import QueryGathering
from retrieval.wordpiece_tokenizer import WordPieceTokenizer

Precision = Literal["f32", "bf16"]

# Batches of 384 to 1,024 padded tokens stay in a core's second-level cache; 2,048 were a tenth slower and padded more.
PASSAGE_TOKENS = 768
# A few passages are shared out among the cores, but not into batches so small that the model's fixed costs show.
SMALLEST_SHARE = 192
# Gathered queries of very unequal length go in several calls rather than padded to the longest.
QUERY_TOKENS = 1024


class OpenVinoEmbedder:
    """`converted` is the `.xml` that `model_conversion` writes: ids and mask in, the pooled vector out.

    `passage_token_budget` is asked before each passage batch. `threads` is the number of passage batches computed at
    once, each on one core: two cores on one batch wait for each other at every layer, a fifth of their time (measured;
    half of it beside other load). A query uses one thread more: a second one gains it 0.1 ms of 3.
    """

    def __init__(
        self,
        converted: Path,
        spec: EmbeddingSpec,
        tokenizer: WordPieceTokenizer,
        *,
        precision: Precision,
        threads: int,
        passage_token_budget: Callable[[], int | None] | None = None,
    ) -> None:
        self._spec = spec
        self._tokenizer = tokenizer
        self._precision = precision
        self._wanted_tokens = passage_token_budget or (lambda: None)
        self._passages = _Streams(converted, precision, count=threads)
        self._queries = _Streams(converted, precision, count=1)
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
        return self._embed(prompted, self._passages, lambda: self._wanted_tokens() or PASSAGE_TOKENS)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return self._gathering.ask(text)

    def close(self) -> None:
        self._passages.close()
        self._queries.close()

    def _embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        prompted = [self._spec.query_prompt + text for text in texts]
        return self._embed(prompted, self._queries, lambda: QUERY_TOKENS)

    def _embed(self, texts: Sequence[str], streams: _Streams, budget: Callable[[], int]) -> NDArray[np.float32]:
        ids = self._tokenizer.encode_batch(texts, max_tokens=self._spec.max_tokens)
        vectors = np.empty((len(texts), self._spec.dimension), dtype=np.float32)
        streams.fill(vectors, ids, budget)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


@dataclass(frozen=True, slots=True)
class _Running:
    """A batch under way. The request reads `inputs` in place, so they live as long as it."""

    request: Any
    batch: Batch
    inputs: tuple[NDArray[np.int64], NDArray[np.int64]]


class _Streams:
    """One compiled model that computes `count` batches at once, a thread each. Compiled at its first use.

    Callers share the inference requests. Nobody waits for one while holding others, so callers cannot block each other.
    """

    def __init__(self, converted: Path, precision: Precision, *, count: int) -> None:
        self._converted = converted
        self._precision = precision
        self._count = count
        self._free: SimpleQueue[Any] | None = None
        self._opening = threading.Lock()

    def fill(self, vectors: NDArray[np.float32], ids: Sequence[NDArray[np.int64]], budget: Callable[[], int]) -> None:
        """Writes the model's output for each row of `ids` into that row of `vectors`."""
        free = self._opened()
        lengths = [len(row) for row in ids]
        share = max(SMALLEST_SHARE, sum(lengths) // self._count)
        running: deque[_Running] = deque()
        try:
            for batch in batches(lengths, lambda: min(budget(), share)):
                running.append(_start(self._take(free, running, vectors), batch, padded(ids, batch)))
            while running:
                _finish(running.popleft(), vectors, free)
        finally:
            for left in running:
                left.request.cancel()
                free.put(left.request)

    def close(self) -> None:
        with self._opening:
            self._free = None

    def _take(self, free: SimpleQueue[Any], running: deque[_Running], vectors: NDArray[np.float32]) -> Any:
        while running:
            try:
                return free.get_nowait()
            except Empty:
                _finish(running.popleft(), vectors, free)
        return free.get()

    def _opened(self) -> SimpleQueue[Any]:
        with self._opening:
            if self._free is None:
                compiled = _compile(self._converted, self._precision, self._count)
                self._free = SimpleQueue()
                for _ in range(self._count):
                    self._free.put(compiled.create_infer_request())
            return self._free


def _start(request: Any, batch: Batch, inputs: tuple[NDArray[np.int64], NDArray[np.int64]]) -> _Running:
    request.start_async(list(inputs), share_inputs=True)
    return _Running(request, batch, inputs)


def _finish(running: _Running, vectors: NDArray[np.float32], free: SimpleQueue[Any]) -> None:
    try:
        running.request.wait()
        vectors[list(running.batch.rows)] = running.request.get_output_tensor(0).data
    finally:
        free.put(running.request)


def _compile(converted: Path, precision: Precision, streams: int) -> Any:
    return openvino.Core().compile_model(
        str(converted),
        "CPU",
        {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams, "INFERENCE_PRECISION_HINT": precision},
    )
