"""An embedder on the CPU: the model folder, converted once, run by OpenVINO and the `tokenizers` package alone.

Queries and passages run on compiled models of their own, so a query never stands behind a passage batch in a queue:
the two compete for cores, not for a place. Each is compiled at its first use: a process that only searches never
pays for the other. The converted weights are mapped, and shared between processes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
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
# Attention is slower over a passage's width that is no multiple of this; 1 % of time, less the padding (measured). To a
# query of ten tokens padding is a tenth of its time.
WIDTH_STEP = 8
# Gathered queries of very unequal length go in several calls rather than padded to the longest.
QUERY_TOKENS = 1024

# OpenVINO's bindings make their table of types at the first tensor, and two threads that do so at once stop each other
# for good (seen in 11 of 40 processes). Here there is one: a module is imported by one thread.
np.asarray(openvino.Tensor(np.zeros(1, dtype=np.int64), shared_memory=True).data)


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
        return self._embed(prompted, self._passages, lambda: self._wanted_tokens() or PASSAGE_TOKENS, step=WIDTH_STEP)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return self._gathering.ask(text)

    def close(self) -> None:
        self._passages.close()
        self._queries.close()

    def _embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        prompted = [self._spec.query_prompt + text for text in texts]
        return self._embed(prompted, self._queries, lambda: QUERY_TOKENS, step=1)

    def _embed(
        self, texts: Sequence[str], streams: _Streams, budget: Callable[[], int], *, step: int
    ) -> NDArray[np.float32]:
        ids = self._tokenizer.encode_batch(texts, max_tokens=self._spec.max_tokens)
        widths = [min(-(-len(row) // step) * step, self._spec.max_tokens) for row in ids]
        vectors = np.empty((len(texts), self._spec.dimension), dtype=np.float32)
        streams.fill(vectors, ids, widths, budget)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


@dataclass(frozen=True, slots=True)
class _Engine:
    """Requests that no thread is using, and the threads that help a caller; those end when nobody holds this."""

    requests: SimpleQueue[Any]
    helpers: ThreadPoolExecutor


class _Streams:
    """One compiled model that computes `count` batches at once, a core each. Compiled at its first use.

    The calling thread computes, and up to `count - 1` helpers with it; each takes the next batch when it is ready for
    one. Callers share requests and helpers. Nobody waits for a request while holding another, and a helper that has
    not begun is not waited for, so callers cannot block each other.
    """

    def __init__(self, converted: Path, precision: Precision, *, count: int) -> None:
        self._converted = converted
        self._precision = precision
        self._count = count
        self._engine: _Engine | None = None
        self._opening = threading.Lock()

    def fill(
        self,
        vectors: NDArray[np.float32],
        ids: Sequence[NDArray[np.int64]],
        widths: Sequence[int],
        budget: Callable[[], int],
    ) -> None:
        """Writes the model's output for each row of `ids`, padded to its width or more, into that row of `vectors`."""
        engine = self._opened()
        work = _Work(widths, budget, among=self._count)
        wanted = min(self._count, sum(widths) // SMALLEST_SHARE) - 1
        helpers = [engine.helpers.submit(_compute, work, engine.requests, ids, vectors) for _ in range(wanted)]
        _compute(work, engine.requests, ids, vectors)
        for helper in helpers:
            if not helper.cancel():
                helper.result()

    def close(self) -> None:
        with self._opening:
            self._engine = None

    def _opened(self) -> _Engine:
        with self._opening:
            if self._engine is None:
                compiled = _compile(self._converted, self._precision, self._count)
                requests: SimpleQueue[Any] = SimpleQueue()
                for _ in range(self._count):
                    requests.put(compiled.create_infer_request())
                self._engine = _Engine(requests, ThreadPoolExecutor(max(1, self._count - 1), "embed-helper"))
            return self._engine


class _Work:
    """The batches of one call, for several threads. Each is cut when it is taken, by the budget of that moment."""

    def __init__(self, widths: Sequence[int], budget: Callable[[], int], *, among: int) -> None:
        self._budget = budget
        self._among = among
        self._left = sum(widths)
        self._batches = batches(widths, self._tokens)
        self._taking = threading.Lock()

    def take(self) -> Batch | None:
        with self._taking:
            batch = next(self._batches, None)
            self._left -= batch.tokens if batch else 0
            return batch

    def stop(self) -> None:
        """Nobody gets another batch: one of the threads has failed."""
        with self._taking:
            self._batches = iter(())

    def _tokens(self) -> int:
        """The last batches are small, so that no core waits long for the one that computes the very last."""
        return min(self._budget(), max(SMALLEST_SHARE, self._left // self._among))


def _compute(
    work: _Work, requests: SimpleQueue[Any], ids: Sequence[NDArray[np.int64]], vectors: NDArray[np.float32]
) -> None:
    try:
        while batch := work.take():
            tokens, mask = padded(ids, batch)
            request = requests.get()
            try:
                request.infer([tokens, mask], share_inputs=True)
                vectors[list(batch.rows)] = request.get_output_tensor(0).data
            finally:
                requests.put(request)
    except BaseException:
        work.stop()
        raise


def _compile(converted: Path, precision: Precision, streams: int) -> Any:
    return openvino.Core().compile_model(
        str(converted),
        "CPU",
        {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams, "INFERENCE_PRECISION_HINT": precision},
    )
