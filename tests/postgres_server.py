"""A real PostgreSQL for tests: one server for a session, an empty database with the schema for each test.

Where none is installed, the tests that want it say so and skip; `make tools` says what to install.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from retrieval.sql_catalogue import schema
from retrieval.sql_catalogue.database import Database
from retrieval.sql_catalogue.tables import metadata

_START_S = 60.0
_PR_SET_PDEATHSIG = 1
# What a test needs to be durable for is a kill of the server, not a power failure: that is PostgreSQL's own test.
_QUICK = ("fsync=off", "full_page_writes=off", "max_connections=200", "max_wal_size=128MB", "shared_buffers=32MB")


class PostgresServer:
    """Listens on a port of its own on this machine, with a password. It dies with the process that made it."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # Not pytest's folder: the server refuses to run as root, and then its user must be able to come here.
        self._folder = Path(tempfile.mkdtemp(prefix="ragstone-postgres-"))
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._as_user = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self._folder, "postgres", "postgres")
        self.password = secrets.token_hex(8)
        self.port = _free_port()
        self._names = itertools.count()
        self._free: list[str] = []
        self._revision = ""
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    # --- its life ---

    def create(self) -> None:
        """Makes its data, starts it, and keeps one database with the schema as the template of all others."""
        secret = self._folder / "password"
        secret.write_text(self.password)
        if self._as_user:
            shutil.chown(secret, "postgres", "postgres")
        options = ["--username=postgres", "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--no-sync"]
        # Sorted as people do, unlike SQLite: most servers are set up so.
        language = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
        self._run("initdb", f"--pgdata={self._data}", *language, *options)
        self.start()
        self.execute("CREATE DATABASE template TEMPLATE template0")
        template = Database(self.url("template"))
        self._revision = schema.migrate(template)
        template.close()

    def start(self) -> None:
        settings = [
            *_QUICK,
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self._folder}",
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *(part for one in settings for part in ("-c", one))],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, which takes no lock
                start_new_session=True,
                **self._as_user,
            )
        deadline = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, self.printed
                assert time.monotonic() < deadline, self.printed
                time.sleep(0.05)

    def stop(self) -> None:
        """At once for everybody who is connected, as a restart by an operator is ("fast")."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Without a word to anybody; the next start recovers."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    @property
    def printed(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-4_000:]

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_START_S)
            self._process = None

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **self._as_user,
        )
        assert done.returncode == 0, done.stderr

    # --- databases ---

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a database with the schema and nothing in it. Emptied it serves again: making one takes ten times
        as long. Whoever is still connected afterwards is thrown out."""
        name = self._free.pop() if self._free else self._create_database(like="template")
        yield self.url(name)
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        emptied = "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))
        self.execute(f"{emptied}; UPDATE alembic_version SET version_num = '{self._revision}'", name)
        self._free.append(name)

    @contextmanager
    def bare_database(self) -> Iterator[str]:
        """The URL of a database with nothing in it, not even the schema; gone afterwards."""
        name = self._create_database(like="template0")
        yield self.url(name)
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _create_database(self, *, like: str) -> str:
        name = f"test_{next(self._names)}"
        # Copied as files: for a template this small quicker than by the log.
        self.execute(f"CREATE DATABASE {name} TEMPLATE {like} STRATEGY file_copy")
        return name

    def rows(self, query: str, database: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url(database.rpartition("/")[2]), autocommit=True) as connection:
            return connection.execute(query).fetchall()

    def execute(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
