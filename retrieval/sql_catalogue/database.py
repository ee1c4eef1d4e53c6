"""Engines and transactions: where SQL's own errors become ours.

The code above is the same on both engines, and right under the weaker of two rules. SQLite lets one writer work at a
time. PostgreSQL lets many: each holds the rows that it read for update, and before each of its statements sees what
others committed. So rows are taken in one order (collections, documents by id, then what is theirs), decisions are made
on rows that are held, and a transaction that collided all the same is run again (`again_on_collision`).
"""

from __future__ import annotations

import copy
import errno
import functools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, ParamSpec, TypeVar

from psycopg.conninfo import make_conninfo
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Float,
    PoolProxiedConnection,
    cast,
    create_engine,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from retrieval.errors import CatalogueUnavailable, Conflict, StorageFull

P = ParamSpec("P")
R = TypeVar("R")

# 30 s: longer than any transaction of ours, so that a writer waits for its turn and never reports a lock.
_BUSY_TIMEOUT_S: Final = 30
# A process that stands still within a transaction keeps its rows from everybody; after a minute it has lost them.
_IDLE_IN_TRANSACTION_S: Final = 60
# libpq's: a server that vanished without a word is noticed within half a minute, a wrong address within five seconds.
_CONNECT: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
    "application_name": "ragstone",
}
_UNIQUE_VIOLATION: Final = "23505"
_COLLISIONS: Final = {"40001", "40P01"}  # serialization failure, deadlock
_DISK_FULL: Final = "53100"
# Classes of SQLSTATE that pass: connection, resources, the operator, the system; and single ones: a primary that is a
# standby now, a transaction that stood still too long, a lock that was not had in time.
_PASSING: Final = ("08", "53", "57", "58", "25006", "25P03", "55P03")
# Ten: two transactions in each other's way part at once; ten times in a row it is no accident.
_TRIES: Final = 10
_LONGEST_REST_S: Final = 0.25


_SERVER_CLOCK: Final = cast(func.extract("epoch", func.clock_timestamp()), Float(53))


class Collided(CatalogueUnavailable):
    """Others were writing the same rows at the same time; nothing was written. Try again."""


def again_on_collision(method: Callable[P, R]) -> Callable[P, R]:
    """For a method that is one transaction: runs it again when that was undone because another wrote the same rows."""

    @functools.wraps(method)
    def again(*args: P.args, **kwargs: P.kwargs) -> R:
        for tried in range(_TRIES - 1):
            try:
                return method(*args, **kwargs)
            except (Collided, IntegrityError) as error:
                # The same new row: the second time it is there to be read.
                if isinstance(error, IntegrityError) and _state_of(error) != _UNIQUE_VIOLATION:
                    raise
                time.sleep(random.uniform(0, min(_LONGEST_REST_S, 0.005 * 2**tried)))
        return method(*args, **kwargs)

    return again


class Database:
    """One engine. `write()` is a transaction that has the write lock from its first statement (SQLite) or takes row
    locks as it goes (PostgreSQL). `read()` is for one statement, which sees one snapshot by itself; `snapshot()` for
    several that must see the same."""

    def __init__(self, url: str) -> None:
        address = parsed_url(url)
        self.is_sqlite = address.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(address) if self.is_sqlite else _postgresql_engine(address)
        self._check: Callable[[Connection], None] | None = None
        self._commits = _Commits(self.engine)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._connection("BEGIN IMMEDIATE", "READ COMMITTED") as connection:
            if self._check is not None:
                self._check(connection)
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._connection("", "AUTOCOMMIT") as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        with self._connection("BEGIN", "REPEATABLE READ") as connection:
            yield connection

    @property
    def clock(self) -> ColumnElement[float]:
        """The time, as an expression: the server's own, for the clocks of many machines differ. SQLite has none but its
        machine's."""
        return literal(time.time()) if self.is_sqlite else _SERVER_CLOCK

    def checked(self, check: Callable[[Connection], None]) -> Database:
        """The same database, in which every writing transaction begins with `check`; what that raises ends it."""
        checked = copy.copy(self)
        checked._check = check
        return checked

    @contextmanager
    def _connection(self, begin: str, isolation: str) -> Iterator[Connection]:
        options = {"ragstone_begin": begin} if self.is_sqlite else {"isolation_level": isolation}
        try:
            with self.engine.connect().execution_options(**options) as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            translated = _translated(error)
            if translated is None:
                raise
            raise translated from error
        except PoolTimeout as error:
            raise CatalogueUnavailable("All connections to the catalogue are in use.") from error

    def changes(self) -> int:
        """Moves when another connection committed. On SQLite exactly then; elsewhere every call."""
        return self._commits.count() if self.is_sqlite else time.monotonic_ns()

    def close(self) -> None:
        self._commits.close()
        self.engine.dispose()


class _Commits:
    """The commits of others, as SQLite counts them for one connection: so it needs one of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: PoolProxiedConnection | None = None
        self._lock = threading.Lock()

    def count(self) -> int:
        with self._lock:
            if self._connection is None:
                self._connection = self._engine.raw_connection()
            cursor = self._connection.cursor()
            try:
                return int(cursor.execute("PRAGMA data_version").fetchone()[0])
            finally:
                cursor.close()

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()


def time_of(connection: Connection) -> float:
    """The time by the database's clock, now."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.execute(select(_SERVER_CLOCK)).scalar_one())


def stay_open(connection: Connection) -> None:
    """This transaction keeps its rows however long it stands still."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")


def parsed_url(url: str) -> URL:
    """The address of a database we can use; raises `Conflict` with a sentence that shows nothing of a password."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise Conflict(
            "RAGSTONE_DATABASE__URL cannot be read: write postgresql://user:password@host:5432/database or "
            "sqlite:////folder/catalogue.db, and percent-encode what is special in a password."
        ) from None
    if address.drivername == "sqlite":
        if address.host or address.database in {None, "", ":memory:"}:
            raise Conflict("RAGSTONE_DATABASE__URL names no file: write sqlite:////folder/catalogue.db, four slashes.")
        return address
    if address.drivername not in {"postgresql", "postgresql+psycopg"}:
        raise Conflict("RAGSTONE_DATABASE__URL must begin with postgresql:// or sqlite:///.")
    if "@" in (address.host or ""):
        raise Conflict("RAGSTONE_DATABASE__URL has more than one @: percent-encode the password's as %40.")
    if not address.database:
        raise Conflict("RAGSTONE_DATABASE__URL names no database: write postgresql://user:password@host:5432/database.")
    return address.set(drivername="postgresql+psycopg")


def postgres_conninfo(address: URL) -> str:
    """The same server as libpq is told it, for a connection beside the pool."""
    arguments = address.translate_connect_args(username="user", database="dbname")
    return make_conninfo("", **{**_CONNECT, **address.query, **arguments})


def _sqlite_engine(address: URL) -> Engine:
    engine = create_engine(
        address,
        connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False},
        pool_size=32,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # a commit survives power loss, not only a crash
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if begin := connection.get_execution_options().get("ragstone_begin", "BEGIN"):
            connection.exec_driver_sql(begin)

    return engine


def _postgresql_engine(address: URL) -> Engine:
    address = address.update_query_dict({name: value for name, value in _CONNECT.items() if name not in address.query})
    engine = create_engine(
        address,
        pool_pre_ping=True,  # a server that was restarted has closed what the pool holds
        pool_size=10,
        max_overflow=10,
        pool_timeout=10,
        hide_parameters=True,  # they are people's documents
    )
    try:
        make_conninfo("", **{name: str(value) for name, value in address.query.items()})
    except Exception as error:
        raise Conflict(f"RAGSTONE_DATABASE__URL has options that are none: {_line(error)}.") from None

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: ConnectionPoolEntry) -> None:
        connection.autocommit = True
        connection.execute(f"SET lock_timeout = '{_BUSY_TIMEOUT_S}s'")
        connection.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_IN_TRANSACTION_S}s'")
        connection.execute("SET synchronous_commit = on")  # a commit survives power loss, whatever the server prefers
        connection.autocommit = False

    return engine


def _state_of(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _translated(error: DBAPIError) -> Exception | None:
    """Ours, for what we understand: SQLite has no SQLSTATE, and neither has a connection that could not be made."""
    state, text = _state_of(error), _line(error.orig)
    full = "disk is full" in text.lower() or "no space left" in text.lower()
    if state == _DISK_FULL or full or getattr(error.orig, "errno", None) == errno.ENOSPC:
        return StorageFull()
    if state in _COLLISIONS:
        return Collided()
    passing = isinstance(error, OperationalError) if state is None else state.startswith(_PASSING)
    if passing or error.connection_invalidated:
        return CatalogueUnavailable(f"The catalogue cannot be used now: {text}")
    return None


def _line(error: BaseException | None) -> str:
    """What an engine says, in one line; libpq explains in several, and never shows a password."""
    return " ".join(str(error).split())
