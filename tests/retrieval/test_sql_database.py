"""A database server goes away and comes back, is asked with a wrong address, or has another schema than ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from retrieval.catalogue import Catalogue, DropFile
from retrieval.documents import Attributes, Document, Stage
from retrieval.errors import CatalogueUnavailable, Conflict
from retrieval.principal import Principal, Scope
from retrieval.sql_catalogue.catalogue import SqlCatalogue
from retrieval.sql_catalogue.database import Database, parsed_url
from retrieval.tasks import Claim, Failure
from tests.catalogue_steps import ADMIN, accept, claimed, outcome, submission
from tests.postgres_server import PostgresServer

SECRET = "s3cr:t/?#"


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    with postgres.database() as url:
        yield url


@pytest.fixture
def catalogue(url: str) -> Iterator[SqlCatalogue]:
    catalogue = SqlCatalogue(url)
    yield catalogue
    catalogue.close()


# --- a server that goes away ---

Call = Callable[[Catalogue, Document, Claim], Any]
CALLS: dict[str, Call] = {
    "collections.create": lambda c, _, __: c.collections.create("acme", "new"),
    "collections.by_name": lambda c, _, __: c.collections.by_name("acme", "docs"),
    "collections.readable": lambda c, _, __: c.collections.readable(ADMIN),
    "collections.update": lambda c, _, __: c.collections.update("acme", "docs", description="x"),
    "collections.delete": lambda c, _, __: c.collections.delete("acme", "docs"),
    "collections.take_deletions": lambda c, _, __: c.collections.take_deletions(limit=1),
    "documents.get": lambda c, d, _: c.documents.get(ADMIN, d.id),
    "documents.states": lambda c, d, _: c.documents.states([d.id]),
    "documents.page": lambda c, _, __: c.documents.page(ADMIN),
    "documents.patch": lambda c, d, _: c.documents.patch(ADMIN, d.id, Attributes(title="x"), readers_reset=False),
    "documents.delete": lambda c, d, _: c.documents.delete(ADMIN, d.id),
    "documents.live_states": lambda c, d, _: c.documents.live_states([d.id]),
    "tasks.due": lambda c, _, __: c.tasks.due(tuple(Stage), excluding=[], limit=1),
    "tasks.claim": lambda c, _, claim: c.tasks.claim(claim.task_id, worker="w", lease_s=1),
    "tasks.heartbeat": lambda c, _, __: c.tasks.heartbeat("w", lease_s=1),
    "tasks.failed": lambda c, _, claim: c.tasks.failed(claim, Failure("internal", "x", permanent=False)),
    "tasks.switch": lambda c, _, claim: c.tasks.switch(claim, rev=1, counts={}),
    "tasks.worker_died": lambda c, _, __: c.tasks.worker_died("w"),
    "dead_letters.page": lambda c, _, __: c.dead_letters.page(
        ADMIN, collection_id=None, code=None, after=None, limit=1
    ),
    "drop_files.all": lambda c, _, __: c.drop_files.all(),
    "drop_files.report": lambda c, _, __: c.drop_files.report(),
    "leases.hold": lambda c, _, __: c.leases.hold("x", holder="h", seconds=1),
    "blobs.touch": lambda c, _, __: c.blobs.touch("acme", "d"),
    "bind_model": lambda c, _, __: c.bind_model({"model": "m"}),
    "healthy": lambda c, _, __: c.healthy(),
}


def test_a_server_that_is_away_is_unavailable_for_every_call_and_back_for_the_first_one(
    postgres: PostgresServer, catalogue: SqlCatalogue
) -> None:
    docs = catalogue.collections.create("acme", "docs")
    document = accept(catalogue, submission(docs))
    claim = claimed(catalogue)
    with ThreadPoolExecutor(4) as pool:  # several connections wait in the pool, all of them dead soon
        list(pool.map(lambda _: catalogue.collections.by_name("acme", "docs"), range(12)))
    postgres.stop()
    try:
        for name, call in CALLS.items():
            with pytest.raises(CatalogueUnavailable) as raised:
                call(catalogue, document, claim)
            assert "\n" not in str(raised.value), name
            assert postgres.password not in str(raised.value), name
    finally:
        postgres.start()
    assert catalogue.documents.get(ADMIN, document.id).version == 1
    assert catalogue.collections.by_name("acme", "docs") == docs
    assert catalogue.tasks.leased_attempts() == {claim.attempt}


def test_a_server_that_dies_within_a_transaction_leaves_nothing_of_it(
    postgres: PostgresServer, catalogue: SqlCatalogue
) -> None:
    catalogue.blobs.touch("acme", "one")
    catalogue.blobs.touch("acme", "two")
    removed: list[str] = []

    def remove(_tenant: str, digest: str) -> None:
        removed.append(digest)
        postgres.kill()

    try:
        with pytest.raises(CatalogueUnavailable):
            catalogue.blobs.sweep(remove, untouched_since=time.time() + 1, limit=9)
    finally:
        postgres.start()
    assert len(removed) == 1  # the second one's row could not be shown to be ours any more
    assert catalogue.blobs.sweep(lambda *_: None, untouched_since=time.time() + 1, limit=9) == 2


def test_a_process_that_stands_still_within_a_transaction_loses_its_rows_and_changes_nothing(
    postgres: PostgresServer, url: str, catalogue: SqlCatalogue
) -> None:
    docs = catalogue.collections.create("acme", "docs")
    database = Database(url)
    with (  # noqa: PT012 - what comes before the end is part of the claim
        pytest.raises(CatalogueUnavailable),
        database.write() as connection,
    ):
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
        connection.exec_driver_sql("UPDATE collections SET description = 'late'")
        time.sleep(0.3)
        assert catalogue.collections.update("acme", "docs", description="in time").description == "in time"
    database.close()
    assert catalogue.collections.by_name("acme", "docs") == replace(docs, description="in time")


def test_more_askers_than_connections_wait_for_their_turn(catalogue: SqlCatalogue) -> None:
    docs = catalogue.collections.create("acme", "docs")
    with ThreadPoolExecutor(60) as pool:
        assert list(pool.map(lambda _: catalogue.collections.by_name("acme", "docs"), range(200))) == [docs] * 200


def test_the_time_is_the_servers(url: str, catalogue: SqlCatalogue) -> None:
    docs = catalogue.collections.create("acme", "docs")
    document = accept(catalogue, submission(docs))
    claimed(catalogue, lease_s=60)
    assert catalogue.leases.hold("x", holder="h", seconds=60)
    with psycopg.connect(url) as connection:
        (now,) = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone() or (0.0,)
        leases = connection.execute("SELECT until FROM leases UNION SELECT lease_until FROM tasks").fetchall()
    assert all(0 < now + 60 - until < 10 for (until,) in leases)
    assert 0 < now - document.created_at < 10


# --- addresses ---


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"mysql://ann:{SECRET}@db/ragstone", "postgresql:// or sqlite:///"),
        (f"postgresql+asyncpg://ann:{SECRET}@db/ragstone", "postgresql:// or sqlite:///"),
        (f"ann:{SECRET}@db", "cannot be read"),
        (f"postgresql://ann:{SECRET}@more@db/ragstone", "%40"),
        (f"postgresql://ann:{SECRET}@db", "names no database"),
        ("postgresql://db:s3cr/ragstone", "cannot be read"),
        ("sqlite://", "four slashes"),
        ("sqlite:///:memory:", "four slashes"),
        ("sqlite://folder/catalogue.db", "four slashes"),
        ("", "cannot be read"),
    ],
)
def test_an_address_that_is_none_is_refused_and_not_shown(url: str, words: str) -> None:
    with pytest.raises(Conflict) as refused:
        Database(url)
    message = str(refused.value)
    assert message.startswith("RAGSTONE_DATABASE__URL ")
    assert words in message
    assert ("s3cr" in message, "\n" in message) == (False, False)


def test_an_option_that_libpq_does_not_know_is_refused_by_its_name() -> None:
    with pytest.raises(Conflict, match="sslmod"):
        Database(f"postgresql://ann:{SECRET}@db/ragstone?sslmod=require")


def test_addresses_of_both_engines_are_read() -> None:
    address = parsed_url("postgresql://ann:p%40ss@db:5433/ragstone?sslmode=require")
    assert (address.drivername, address.password, address.host) == ("postgresql+psycopg", "p@ss", "db")
    assert parsed_url("postgresql+psycopg:///ragstone?host=/run/postgresql").database == "ragstone"
    assert parsed_url("sqlite:////data/catalogue.db").database == "/data/catalogue.db"


def test_a_wrong_password_is_unavailable_in_one_line_that_does_not_show_it(url: str) -> None:
    right = url.split(":")[2].split("@", maxsplit=1)[0]
    with pytest.raises(CatalogueUnavailable, match="password authentication failed") as raised:
        SqlCatalogue(url.replace(right, "not-it"))
    assert ("not-it" in str(raised.value), "\n" in str(raised.value)) == (False, False)
    shown: BaseException | None = raised.value
    while shown is not None:
        assert "not-it" not in repr(shown)
        shown = shown.__cause__


def test_no_error_of_the_database_shows_what_was_written(catalogue: SqlCatalogue) -> None:
    docs = catalogue.collections.create("acme", "docs")
    with pytest.raises(Exception, match="value too long") as raised:
        accept(catalogue, replace(submission(docs, text="a private word"), fingerprint="f" * 65))
    assert "private" not in str(raised.value)


# --- schemas ---


def test_a_database_without_the_schema_is_refused_with_the_remedy(postgres: PostgresServer, tmp_path: Path) -> None:
    with postgres.bare_database() as bare:
        for url in (bare, f"sqlite:///{tmp_path / 'new.db'}"):
            with pytest.raises(Conflict, match=r"python -m services migrate") as refused:
                SqlCatalogue(url)
            assert "\n" not in str(refused.value)


def test_migrations_at_once_are_one(postgres: PostgresServer) -> None:
    with postgres.bare_database() as url:
        start = threading.Barrier(4)

        def migrate(_: int) -> None:
            start.wait()
            SqlCatalogue(url, migrate=True).close()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(migrate, range(4)))
        catalogue = SqlCatalogue(url)
        assert catalogue.collections.readable(Principal("acme", frozenset(), frozenset(Scope))) == []
        catalogue.close()


# --- the same on both engines ---


@pytest.fixture
def each(catalogue_url: str) -> Iterator[SqlCatalogue]:
    """A catalogue, once on each engine."""
    catalogue = SqlCatalogue(catalogue_url)
    yield catalogue
    catalogue.close()


def test_names_and_paths_are_sorted_alike_everywhere(each: SqlCatalogue) -> None:
    names = ["a-b", "a0", "a1", "aa", "b", "b-1", "b0"]
    for name in reversed(names):
        each.collections.create("acme", name)
    found: list[str] = []
    after: str | None = None
    for _ in names:
        page = each.collections.page(ADMIN, after=after, limit=1)
        found += [collection.name for collection in page.items]
        after = page.next
    assert found == names
    paths = ["B.txt", "Z/a", "a b", "a-b", "ab", "é", "Ω", "中", "\U0001f600"]
    each.drop_files.remember([DropFile(path, "docs", 1, 1, "s", "", "d", held=True) for path in reversed(paths)])
    assert [file.path for file in each.drop_files.report().held] == paths


@pytest.mark.parametrize(
    "metadata",
    [
        {"z": 1, "a": 2, "m": [3, 1, 2]},
        {"n": [1e23, 1e300, -5e-324, 0.1 + 0.2, -0.0, 1.0, 5]},
        {"n": [2**53 + 1, 2**64, 10**40, -(2**63)]},
        {"s": ["", "\U0001f600", "é", "e\u0301", 'quo"te\\', "\x01\x7f", "\u2028"]},
        {"b": [True, False, 1, 0], "none": None},
    ],
)
def test_metadata_comes_back_as_it_was_given(each: SqlCatalogue, metadata: dict[str, Any]) -> None:
    docs = each.collections.create("acme", "docs")
    document = accept(each, submission(docs, metadata=metadata))
    assert repr(document.metadata) == repr(metadata)  # also the order, and which numbers are whole
    assert accept(each, submission(docs, metadata=metadata)).rev == 1


def test_characters_that_cannot_be_stored_are_shown_by_the_replacement_character(each: SqlCatalogue) -> None:
    docs = each.collections.create("acme", "docs")
    document = accept(each, submission(docs))
    said = Failure("internal", "a\0b \ud800c", permanent=True, evidence={"traceback": "a\0b \ud800c"})
    each.tasks.failed(claimed(each), said)
    assert each.documents.get(ADMIN, document.id).reason == "a\ufffdb \ufffdc"
    [letter] = each.dead_letters.page(ADMIN, collection_id=None, code=None, after=None, limit=9).items
    assert (letter.reason, letter.evidence["traceback"]) == ("a\ufffdb \ufffdc", "a\0b \ud800c")
    titled = accept(each, submission(docs, "b"))
    assert each.tasks.parsed(claimed(each), outcome(title="a\0b \ud800c"))
    assert each.documents.get(ADMIN, titled.id).title == "a\ufffdb \ufffdc"
    assert each.documents.timelines([document.id])[document.id][0].error == "internal: a\ufffdb \ufffdc"


def test_what_cannot_be_stored_is_not_found(each: SqlCatalogue) -> None:
    docs = each.collections.create("acme", "docs")
    accept(each, submission(docs))
    for odd in ("a\0", "\ud800", "\udfff"):
        assert each.documents.page(ADMIN, external_id=odd).items == []
        assert each.documents.live_states([odd]) == {}
        assert each.documents.states([odd]) == {}


def test_a_path_as_long_as_paths_can_be_is_remembered(each: SqlCatalogue) -> None:
    # Not one that compresses: an index holds an entry of 2,704 bytes at most.
    path = "/".join(f"{n * 7919 % 1_000_003:06x}{n:x}" for n in range(600))[:4_000]
    file = DropFile(path, "docs", 1, 1, "s", "", "d")
    each.drop_files.remember([file, replace(file, path="short")])
    each.drop_files.remember([replace(file, size=2)])
    assert each.drop_files.all() == {path: replace(file, size=2), "short": replace(file, path="short")}
    each.drop_files.forget([path])
    assert set(each.drop_files.all()) == {"short"}
