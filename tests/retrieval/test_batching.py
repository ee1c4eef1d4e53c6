from __future__ import annotations

import random

import numpy as np
import pytest

from retrieval.batching import batches, padded, padding_waste

LENGTHS = [random.Random(7).randint(2, 256) for _ in range(300)]


def test_every_row_is_in_exactly_one_batch() -> None:
    rows = [row for batch in batches(LENGTHS, lambda: 1024) for row in batch.rows]
    assert sorted(rows) == list(range(len(LENGTHS)))


def test_no_batch_of_several_rows_exceeds_the_budget() -> None:
    assert all(batch.padded_tokens <= 1024 or len(batch.rows) == 1 for batch in batches(LENGTHS, lambda: 1024))


def test_a_row_longer_than_the_budget_goes_alone() -> None:
    assert [batch.rows for batch in batches([10, 500, 20], lambda: 100)] == [(1,), (2, 0)]


def test_the_longest_row_comes_first() -> None:
    widths = [batch.width for batch in batches(LENGTHS, lambda: 1024)]
    assert widths == sorted(widths, reverse=True)


def test_the_budget_is_asked_before_each_batch() -> None:
    budgets = iter([400, 100, 100])
    assert [len(batch.rows) for batch in batches([100] * 6, lambda: next(budgets))] == [4, 1, 1]


def test_sorting_leaves_little_padding() -> None:
    assert padding_waste(batches(LENGTHS, lambda: 1024)) < 0.08
    assert padding_waste([]) == 0.0


def test_a_padded_batch_holds_the_ids_and_masks_the_rest() -> None:
    ids = [np.array([101, 7, 102]), np.array([101, 102])]
    (batch,) = batches([3, 2], lambda: 100)
    tokens, mask = padded(ids, batch)
    assert tokens.tolist() == [[101, 7, 102], [101, 102, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]


def test_halves_hold_the_same_rows_and_know_their_width() -> None:
    (batch,) = batches([9, 4, 3], lambda: 100)
    first, second = batch.halves([9, 4, 3])
    assert first.rows + second.rows == batch.rows
    assert (first.width, second.width) == (9, 4)


@pytest.mark.parametrize("lengths", [[], [0], [0, 0, 5]])
def test_texts_without_tokens_are_packed_too(lengths: list[int]) -> None:
    assert sum(len(batch.rows) for batch in batches(lengths, lambda: 8)) == len(lengths)
