"""An install of several processes for benchmarks: settings at their defaults, a Kafka and a PostgreSQL of its own.

The servers are those of the tests. PostgreSQL does not wait for its disk there, so what it costs to be durable is not
in any figure.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.distributed import Distributed
from tests.kafka_broker import KafkaBroker, make_broker
from tests.postgres_server import PostgresServer
from tests.running import QUICK
from tools.fetch_tools import postgresql_programs

ROLES = ("index", "embed", "janitor", "parse", "watch", "documents", "search", "summary")
COLLECTION = "pages"
_SHORT_IN_TESTS = ("RAGSTONE_KAFKA__PARTITIONS", "RAGSTONE_KAFKA__TIMEOUT_S", "RAGSTONE_KAFKA__SESSION_TIMEOUT_S")
_PORTION = 20
_LOOK_S = 0.5


@contextmanager
def kafka() -> Iterator[KafkaBroker]:
    """Ends the benchmark with a sentence, and as a success, where there is no Java or no Kafka."""
    with tempfile.TemporaryDirectory(prefix="ragstone-kafka-") as folder, ExitStack() as stack:
        try:
            broker = stack.enter_context(make_broker(Path(folder)))
        except pytest.skip.Exception as skipped:
            print(f"skipped: {skipped}")
            raise SystemExit(0) from None
        yield broker


@contextmanager
def postgresql() -> Iterator[PostgresServer]:
    """Ends the benchmark with a sentence, and as a success, where there is no PostgreSQL."""
    programs = postgresql_programs()
    if programs is None:
        print("skipped: there is no PostgreSQL server here: `make tools` says what to install")
        raise SystemExit(0)
    server = PostgresServer(programs)
    try:
        server.create()
        yield server
    finally:
        server.remove()


@dataclass(frozen=True, slots=True)
class Install:
    """`url` is where documents are sent, `database` the catalogue's URL."""

    url: str
    database: str


@contextmanager
def installed(postgres: PostgresServer, broker: KafkaBroker, environment: Mapping[str, str]) -> Iterator[Install]:
    """All roles, each a process, until they are asked to end."""
    defaults = dict.fromkeys((*QUICK, *_SHORT_IN_TESTS, "RAGSTONE_WORK__LEASE_S", "RAGSTONE_WORK__DRAIN_S"))
    with tempfile.TemporaryDirectory(prefix="ragstone-bench-") as folder, postgres.database() as database:
        distributed = Distributed(Path(folder), database=database, bootstrap=broker.bootstrap)
        distributed.environment |= {**defaults, "RAGSTONE_LOG_LEVEL": "warning", **environment}
        try:
            distributed.start(*ROLES)
            yield Install(next(one.url for one in distributed.processes if one.role == "documents"), database)
            for one in reversed(distributed.processes):
                one.stop()
        finally:
            distributed.end()


class Sender:
    """Sends documents to a collection of its own and waits for them."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=60)
        self._http.post("/v1/collections", json={"name": COLLECTION}).raise_for_status()
        self._path = f"/v1/collections/{COLLECTION}"
        self._sent = 0

    def send(self, texts: list[str]) -> None:
        """In portions, so that little of what is measured is HTTP."""
        for start in range(0, len(texts), _PORTION):
            documents = [{"text": text} for text in texts[start : start + _PORTION]]
            self._http.post(f"{self._path}/documents:batch", json={"documents": documents}).raise_for_status()
        self._sent += len(texts)

    def send_one(self, text: str) -> str:
        """Its document's id."""
        self._sent += 1
        reply = self._http.post(f"{self._path}/documents", json={"text": text}).raise_for_status()
        key: str = reply.json()["id"]
        return key

    def wait(self, *, within_s: float = 300.0) -> None:
        """Until all that was sent is searchable."""
        deadline = time.monotonic() + within_s
        while (states := self._states()).get("searchable", 0) < self._sent:
            if time.monotonic() > deadline:
                raise SystemExit(f"Not all documents became searchable: {states}")
            time.sleep(_LOOK_S)

    def _states(self) -> dict[str, int]:
        states: dict[str, int] = self._http.get(self._path).raise_for_status().json()["documents"]["by_state"]
        return states

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
