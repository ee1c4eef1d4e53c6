"""An embedder on sentence-transformers: the engine on a GPU, and on a CPU where it is the faster one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from retrieval.batching import Batch, batches, padded
from retrieval.embedding import EmbeddingSpec, Provenance
from retrieval.query_gathering import QueryGathering
from retrieval.wordpiece_tokenizer import WordPieceTokenizer

Device = Literal["cpu", "cuda"]
Precision = Literal["f32", "bf16", "f16"]

_TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
# A CPU is fastest while a batch stays in its caches; a GPU wants enough rows to fill it, and halves what does not fit.
PASSAGE_TOKENS: dict[Device, int] = {"cpu": 4096, "cuda": 65536}
QUERY_TOKENS = 1024


def best_device() -> Device:
    return "cuda" if torch.cuda.is_available() else "cpu"


class TorchEmbedder:
    """`threads` bounds one model call on a CPU, for the whole process. One copy of the weights serves both ways.

    On a GPU queries run on a stream of higher priority, so that they overtake the passages' kernels there too. A
    batch for which the GPU has no memory is halved until it fits; a single row that does not fit raises torch's error.
    """

    def __init__(
        self,
        model_folder: Path,
        spec: EmbeddingSpec,
        tokenizer: WordPieceTokenizer,
        *,
        device: Device,
        precision: Precision,
        threads: int,
        passage_token_budget: Callable[[], int | None] | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        self._model = SentenceTransformer(
            str(model_folder), device=device, model_kwargs={"dtype": _TYPES[precision]}, local_files_only=True
        ).eval()
        self._spec = spec
        self._tokenizer = tokenizer
        self._device: Device = device
        self._precision = precision
        self._wanted_tokens = passage_token_budget or (lambda: None)
        self._own_tokens = PASSAGE_TOKENS[device]
        self._passages_turn = threading.Lock()
        self._passage_stream = torch.cuda.Stream() if device == "cuda" else None
        self._query_stream = torch.cuda.Stream(priority=-1) if device == "cuda" else None
        self._gathering = QueryGathering(self._embed_queries)

    @property
    def spec(self) -> EmbeddingSpec:
        return self._spec

    @property
    def provenance(self) -> Provenance:
        return Provenance("torch", self._device, self._precision)

    @property
    def tokenizer(self) -> WordPieceTokenizer:
        return self._tokenizer

    @property
    def waiting_queries(self) -> int:
        return self._gathering.waiting

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        prompted = [self._spec.passage_prompt + text for text in texts]
        ids = self._ids(prompted)
        vectors = np.empty((len(texts), self._spec.dimension), dtype=np.float32)
        for batch in batches([len(row) for row in ids], lambda: self._wanted_tokens() or self._own_tokens):
            with self._passages_turn:
                self._fill(vectors, ids, batch, self._passage_stream)
        return vectors

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return self._gathering.ask(text)

    def close(self) -> None:
        """The memory goes with the object."""

    def _embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        ids = self._ids([self._spec.query_prompt + text for text in texts])
        vectors = np.empty((len(texts), self._spec.dimension), dtype=np.float32)
        for batch in batches([len(row) for row in ids], lambda: QUERY_TOKENS):
            self._fill(vectors, ids, batch, self._query_stream)
        return vectors

    def _ids(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        return self._tokenizer.encode_batch(texts, max_tokens=self._spec.max_tokens)

    def _fill(self, vectors: NDArray[np.float32], ids: Sequence[NDArray[np.int64]], batch: Batch, stream: Any) -> None:
        try:
            vectors[list(batch.rows)] = self._infer(*padded(ids, batch), stream)
            return
        except torch.OutOfMemoryError:
            if len(batch.rows) == 1:
                raise
        # Outside of the handler, whose traceback would hold the tensors that did not fit.
        torch.cuda.empty_cache()
        for half in batch.halves([len(row) for row in ids]):
            self._fill(vectors, ids, half, stream)

    def _infer(self, ids: NDArray[np.int64], mask: NDArray[np.int64], stream: Any) -> NDArray[np.float32]:
        with torch.inference_mode(), torch.cuda.stream(stream):
            features = {
                "input_ids": torch.from_numpy(ids).to(self._device),
                "attention_mask": torch.from_numpy(mask).to(self._device),
            }
            pooled = self._model(features)["sentence_embedding"].float()
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return vectors
