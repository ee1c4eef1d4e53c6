"""Texts of unequal length, packed into rectangles: a batch costs its rows times its widest row, padding included."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Past this many rows a batch gains nothing more on a CPU (measured from 4 on) and on a GPU little; it bounds the
# memory of batches of very short texts.
MAX_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """`rows` are positions in the caller's list, longest text first; `width` is that text's length in tokens."""

    rows: tuple[int, ...]
    width: int
    tokens: int

    @property
    def padded_tokens(self) -> int:
        return len(self.rows) * self.width

    def halves(self, lengths: Sequence[int]) -> tuple[Batch, Batch]:
        """The same rows as two batches. Only for a batch of two rows or more."""
        middle = len(self.rows) // 2
        return _batch(self.rows[:middle], lengths), _batch(self.rows[middle:], lengths)


def batches(lengths: Sequence[int], token_budget: Callable[[], int], *, max_rows: int = MAX_ROWS) -> Iterator[Batch]:
    """Every position once, longest first, each batch at most `token_budget()` padded tokens, or one row.

    The budget is asked again before each batch, so that a query arriving halfway makes the rest small. Longest first,
    so that a device too small for the job says so at the first batch.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    start = 0
    while start < len(order):
        width = max(1, lengths[order[start]])
        rows = max(1, min(max_rows, token_budget() // width))
        yield _batch(tuple(order[start : start + rows]), lengths)
        start += rows


def _batch(rows: tuple[int, ...], lengths: Sequence[int]) -> Batch:
    return Batch(rows, max(lengths[row] for row in rows), sum(lengths[row] for row in rows))


def padding_waste(packed: Iterable[Batch]) -> float:
    """The share of computed tokens that is padding, from 0 (none) to 1."""
    tokens = padded = 0
    for batch in packed:
        tokens += batch.tokens
        padded += batch.padded_tokens
    return 1 - tokens / padded if padded else 0.0


def padded(ids: Sequence[NDArray[np.int64]], batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and attention mask of a batch, both of shape [rows, width]; padding is 0 in both."""
    tokens = np.zeros((len(batch.rows), batch.width), dtype=np.int64)
    mask = np.zeros_like(tokens)
    for line, row in enumerate(batch.rows):
        tokens[line, : len(ids[row])] = ids[row]
        mask[line, : len(ids[row])] = 1
    return tokens, mask
