"""A corpus for these tests."""

from tests.corpus_fixtures import corpus, edge_index

__all__ = ["corpus", "edge_index"]
