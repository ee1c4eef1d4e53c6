"""What tests of the core share: an index on the real engine, made once, and a corpus of one's own in it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.edge_index import EdgeIndex
from retrieval.fixed_embedder import FixedEmbedder
from retrieval.index import Selection
from tests.corpus import Corpus, open_catalogue

_numbers = itertools.count()


@pytest.fixture(scope="session")
def edge_index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeIndex]:
    """Opening one takes a second or two, so tests share it."""
    index = EdgeIndex(tmp_path_factory.mktemp("index"), FixedEmbedder().spec)
    yield index
    index.close()


@pytest.fixture(scope="session")
def empty_catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the schema and nothing in it: migrating takes longer than most tests."""
    folder = tmp_path_factory.mktemp("catalogue")
    open_catalogue(folder).close()
    return folder / "catalogue.db"


@pytest.fixture
def corpus(edge_index: EdgeIndex, empty_catalogue: Path, tmp_path: Path) -> Iterator[Corpus]:
    """An empty corpus. What it leaves in the index is removed: a janitor looks at all tenants."""
    shutil.copy(empty_catalogue, tmp_path)
    catalogue = open_catalogue(tmp_path)
    yield Corpus(tmp_path, edge_index, f"tenant-{next(_numbers)}", catalogue)
    catalogue.close()
    for tenant, document in {(point.tenant, point.chunk.document_id) for point in edge_index.scroll()}:
        edge_index.delete(tenant, Selection(document))
