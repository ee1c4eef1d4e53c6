"""The doorbell between machines: PostgreSQL's NOTIFY, over connections of its own.

A listener behind a pooler that hands connections around hears nothing, and a dispatcher then looks at its poll
interval, as it does while the server is away.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any

import psycopg

from retrieval.sql_catalogue.database import parsed_url, postgres_conninfo

log = logging.getLogger(__name__)

CHANNEL = "ragstone_tasks"
# Rings within it are one: a batch of a thousand documents wakes the dispatcher once.
_TOGETHER_S = 0.002


class PostgresDoorbell:
    def __init__(self, url: str) -> None:
        self._conninfo = postgres_conninfo(parsed_url(url))
        self._connection: psycopg.Connection[Any] | None = None

    def wait(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._conninfo, autocommit=True)
                self._connection.execute(f"LISTEN {CHANNEL}")
                return True  # what was rung while nobody listened
            left = max(0.0, deadline - time.monotonic())
            rang = any(True for _ in self._connection.notifies(timeout=left, stop_after=1))
            return any(True for _ in self._connection.notifies(timeout=0)) or rang
        except psycopg.Error as error:
            log.debug("doorbell: %s", error)
            self.close()
            time.sleep(max(0.0, deadline - time.monotonic()))
            return False

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
        self._connection = None


class PostgresDoorbellButton:
    """A thread of its own speaks to the server: who rings has better things to do than to wait for it."""

    def __init__(self, url: str) -> None:
        self._conninfo = postgres_conninfo(parsed_url(url))
        self._rung = threading.Event()
        self._closed = False
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self) -> None:
        self._rung.set()
        if self._thread is None:
            with self._starting:
                if self._thread is None and not self._closed:
                    self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
                    self._thread.start()

    def close(self) -> None:
        with self._starting:
            self._closed = True
        self._rung.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        while not self._closed:
            self._rung.wait()
            time.sleep(_TOGETHER_S)
            self._rung.clear()  # only then is it asked whether this is the end: `close` says so before it rings
            if self._closed:
                break
            try:
                if connection is None:
                    connection = psycopg.connect(self._conninfo, autocommit=True)
                connection.execute(f"NOTIFY {CHANNEL}")
            except psycopg.Error as error:
                log.debug("doorbell: %s", error)
                _close(connection)
                connection = None
        _close(connection)


def _close(connection: psycopg.Connection[Any] | None) -> None:
    if connection is not None:
        with contextlib.suppress(psycopg.Error):
            connection.close()
