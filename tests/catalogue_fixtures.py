"""Catalogues for tests: an empty one on each engine, made quickly."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retrieval.catalogue import Catalogue
from retrieval.documents import Collection
from retrieval.sql_catalogue.catalogue import SqlCatalogue
from retrieval.sql_catalogue.ledger import RetryPolicy
from tests.postgres_server import PostgresServer
from tools.fetch_tools import postgresql_programs

ENGINES = ("sqlite", "postgresql")
AT_ONCE = RetryPolicy(base_s=0.0, kill_base_s=0.0)  # what failed is due again without a rest

Opener = Callable[[], Catalogue]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this session's own."""
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("there is no PostgreSQL server here: `make tools` says what to install")
    server = PostgresServer(programs)
    try:
        server.create()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the schema and nothing in it: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("empty") / "catalogue.db"
    SqlCatalogue(f"sqlite:///{path}", migrate=True).close()
    return path


@pytest.fixture(params=ENGINES)
def catalogue_url(request: pytest.FixtureRequest, tmp_path: Path, empty_sqlite: Path) -> Iterator[str]:
    """The URL of an empty catalogue, once on each engine."""
    if request.param == "sqlite":
        shutil.copy(empty_sqlite, tmp_path / "filled.db")
        yield f"sqlite:///{tmp_path / 'filled.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database() as url:
        yield url


@pytest.fixture
def opened(catalogue_url: str) -> Iterator[Opener]:
    """Opens the same data again and again."""
    made: list[Catalogue] = []

    def open_one() -> Catalogue:
        made.append(SqlCatalogue(catalogue_url, policy=AT_ONCE, migrate=True))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


@pytest.fixture
def catalogue(opened: Opener) -> Catalogue:
    return opened()


@pytest.fixture
def docs(catalogue: Catalogue) -> Collection:
    return catalogue.collections.create("acme", "docs")
