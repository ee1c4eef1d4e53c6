"""A corpus for these tests."""

from tests.corpus_fixtures import corpus, edge_index, empty_catalogue

__all__ = ["corpus", "edge_index", "empty_catalogue"]
