"""Engines and transactions: where SQL's own errors become ours."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, PoolProxiedConnection, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from retrieval.errors import CatalogueUnavailable, Conflict, StorageFull

_MIGRATIONS = Path(__file__).parent / "migrations"
# 30 s: longer than any transaction of ours, so that a writer waits for its turn and never reports a lock.
_BUSY_TIMEOUT_S = 30


class Database:
    """One engine. `write()` is a transaction that has the write lock from its first statement (SQLite) or takes row
    locks as it goes (PostgreSQL). `read()` is for one statement, which sees one snapshot by itself; `snapshot()` for
    several that must see the same."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url) if self.is_sqlite else create_engine(url, pool_pre_ping=True)
        # SQLite's data_version counts the commits of others as one connection sees them, so it needs one of its own.
        self._watching: PoolProxiedConnection | None = None
        self._watching_lock = threading.Lock()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._connection("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._connection("") as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        with self._connection("BEGIN") as connection:
            yield connection

    @contextmanager
    def _connection(self, begin: str) -> Iterator[Connection]:
        try:
            with self.engine.connect().execution_options(ragstone_begin=begin) as connection, connection.begin():
                yield connection
        except OperationalError as error:
            raise _translated(error) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise CatalogueUnavailable(f"The catalogue went away: {error.orig}") from error
            raise

    def migrate(self) -> None:
        """Brings the schema to this version's; refuses a schema that is newer than the program."""
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        with self.write() as connection:
            config.attributes["connection"] = connection
            found = MigrationContext.configure(connection).get_current_revision()
            script = ScriptDirectory.from_config(config)
            if found == script.get_current_head():
                return
            try:
                if found is not None:
                    script.get_revision(found)
                command.upgrade(config, "head")
            except CommandError as error:
                raise Conflict(
                    f"The data was written by a newer ragstone (schema {found}): start that, or restore a backup."
                ) from error

    def changes(self) -> int:
        """Moves when another connection committed. On SQLite exactly then; elsewhere every call."""
        if not self.is_sqlite:
            return time.monotonic_ns()
        with self._watching_lock:
            if self._watching is None:
                self._watching = self.engine.raw_connection()
            cursor = self._watching.cursor()
            try:
                return int(cursor.execute("PRAGMA data_version").fetchone()[0])
            finally:
                cursor.close()

    def close(self) -> None:
        with self._watching_lock:
            if self._watching is not None:
                self._watching.close()
        self.engine.dispose()


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False}, pool_size=32)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # a commit survives power loss, not only a crash
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if begin := connection.get_execution_options().get("ragstone_begin", "BEGIN"):
            connection.exec_driver_sql(begin)

    return engine


def _translated(error: OperationalError) -> Exception:
    text = str(error.orig).lower()
    if "disk is full" in text or "no space left" in text or getattr(error.orig, "errno", None) == errno.ENOSPC:
        return StorageFull()
    return CatalogueUnavailable(f"The catalogue cannot be used now: {error.orig}")
