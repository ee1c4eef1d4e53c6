"""A corpus for these tests."""

from tests.catalogue_fixtures import catalogue_url, empty_sqlite
from tests.corpus_fixtures import corpus, edge_index, empty_catalogue

__all__ = ["catalogue_url", "corpus", "edge_index", "empty_catalogue", "empty_sqlite"]
