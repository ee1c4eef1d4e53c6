"""What tests of the SDK ask for: a client of the session's server, and a server that answers as it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ragstone import Client
from tests.running import RunningServer, serving
from tests.sdk.scripted_server import KEY, ScriptedServer


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    yield scripted
    scripted.close()


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that asks for a key, and that holds nobody else's documents."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "key").write_text(KEY)
    with serving(folder / "data", environment={"RAGSTONE_BOOTSTRAP_KEY_FILE": str(folder / "key")}) as running:
        yield running
