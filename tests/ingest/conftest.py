"""A corpus for these tests, and a drop folder on it."""

import pytest

from tests.corpus import Corpus
from tests.corpus_fixtures import corpus, edge_index, empty_catalogue
from tests.dropping import Drop

__all__ = ["corpus", "edge_index", "empty_catalogue"]


@pytest.fixture
def drop(corpus: Corpus) -> Drop:
    return Drop(corpus)
