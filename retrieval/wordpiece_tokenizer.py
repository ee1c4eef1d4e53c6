"""The model's own tokenizer, run by the `tokenizers` package alone: nothing of torch or transformers is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding
from tokenizers import Tokenizer as FastTokenizer


class WordPieceTokenizer:
    """Reads `tokenizer.json` of a model folder. Truncation and padding are off: what is counted is the whole text.

    Lone surrogates, which no tokenizer takes, count as one unknown character each, so spans stay in code points.
    Safe to call from several threads.
    """

    def __init__(self, model_folder: Path) -> None:
        self._tokenizer = FastTokenizer.from_file(str(model_folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._special = self._tokenizer.num_special_tokens_to_add(False)

    @property
    def special_tokens(self) -> int:
        """How many tokens the model adds to a text; `spec.max_tokens` counts them, `count` does not."""
        return self._special

    def count(self, texts: Sequence[str]) -> list[int]:
        """Word pieces in each text, without special tokens."""
        return [len(encoding) for encoding in self._encode(texts)]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The code-point span [start, end) of each word piece, in order."""
        return list(self._tokenizer.encode(_encodable(text), add_special_tokens=False).offsets)

    def encode_batch(self, texts: Sequence[str], *, max_tokens: int) -> list[NDArray[np.int64]]:
        """The ids the model reads, special tokens included, each cut to `max_tokens` as the model's own code cuts."""
        return [self._model_input(encoding, max_tokens) for encoding in self._encode(texts)]

    def _encode(self, texts: Sequence[str]) -> list[Encoding]:
        encodable = [_encodable(text) for text in texts]
        return self._tokenizer.encode_batch_fast(encodable, add_special_tokens=False)

    def _model_input(self, encoding: Encoding, max_tokens: int) -> NDArray[np.int64]:
        encoding.truncate(max_tokens - self._special)
        return np.asarray(self._tokenizer.post_process(encoding).ids, dtype=np.int64)


def _encodable(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")
