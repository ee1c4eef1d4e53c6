"""What every test may ask for: one real server for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.catalogue_fixtures import postgres
from tests.kafka_broker import kafka_broker
from tests.running import RunningServer, serving

__all__ = ["kafka_broker", "postgres", "server"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server on a fresh data folder with quick settings; tests use collections of their own.

    `server.url`, `server.data`, `server.drop`, `server.http`. It ends as a service manager ends it, and leaves nothing.
    """
    with serving(tmp_path_factory.mktemp("data")) as running:
        yield running
