"""Catalogues for these tests."""

from tests.catalogue_fixtures import catalogue, catalogue_url, docs, empty_sqlite, opened

__all__ = ["catalogue", "catalogue_url", "docs", "empty_sqlite", "opened"]
