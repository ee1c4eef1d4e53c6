"""What tests of the SDK ask for: a client of the session's server, and a server that answers as it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ragstone import Client
from tests.running import RunningServer
from tests.sdk.scripted_server import ScriptedServer


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    yield scripted
    scripted.close()
