"""What an orchestrator asks a process without an API."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import httpx2
import pytest

from retrieval.errors import CatalogueUnavailable
from services.listening import address_of, listen
from services.probes import Probes


@pytest.fixture
def probes() -> Iterator[tuple[Probes, httpx2.Client]]:
    listener = listen("127.0.0.1", 0, wait_s=0)
    made = Probes(listener)
    with httpx2.Client(base_url=address_of(listener), timeout=10) as client:
        yield made, client
    made.close()


Made = tuple[Probes, httpx2.Client]


def test_a_starting_process_is_alive_and_not_ready(probes: Made) -> None:
    _, client = probes
    alive, ready = client.get("/healthz"), client.get("/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert list(ready.json()["dependencies"]) == ["starting"]
    assert ready.headers["content-type"] == "application/json"


def test_a_started_process_says_what_its_dependencies_say(probes: Made) -> None:
    made, client = probes
    made.started(lambda: {"catalogue": "ready", "index": {"points": 3}})
    ready = client.get("/readyz?verbose=1")
    assert ready.status_code == 200
    assert ready.json() == {"ready": True, "dependencies": {"catalogue": "ready", "index": {"points": 3}}}


def test_a_dependency_that_is_away_is_named_and_liveness_does_not_ask_for_it(probes: Made) -> None:
    made, client = probes
    asked: list[int] = []

    def away() -> Mapping[str, Any]:
        asked.append(1)
        raise CatalogueUnavailable("the server is restarting")

    made.started(away)
    assert client.get("/healthz").status_code == 200
    assert asked == []
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json() == {
        "ready": False,
        "dependencies": {"catalogue_unavailable": "the server is restarting"},
    }
    made.started(dict)
    assert client.get("/readyz").status_code == 200


def test_anything_else_is_not_there(probes: Made) -> None:
    _, client = probes
    for path in ("/", "/v1/documents", "/healthz/", "/metrics", "/readyz/x"):
        assert client.get(path).status_code == 404
    assert client.post("/healthz").status_code == 501


def test_a_dependency_that_does_not_answer_keeps_nobody_from_asking_for_life(probes: Made) -> None:
    made, client = probes
    asked, answer = threading.Event(), threading.Event()

    def slow() -> Mapping[str, Any]:
        asked.set()
        answer.wait(10)
        return {}

    made.started(slow)
    waiting = threading.Thread(target=lambda: httpx2.get(f"{client.base_url}/readyz", timeout=20))
    waiting.start()
    assert asked.wait(10)
    assert client.get("/healthz", timeout=5).status_code == 200
    answer.set()
    waiting.join(10)
    assert not waiting.is_alive()


def test_who_connects_and_says_nothing_holds_up_nobody(probes: Made) -> None:
    _, client = probes
    with closing(socket.create_connection((client.base_url.host, client.base_url.port))):
        assert client.get("/healthz", timeout=5).status_code == 200


def test_a_bug_in_a_dependency_is_not_ready_and_leaves_the_probes_running(probes: Made) -> None:
    made, client = probes

    def broken() -> Mapping[str, Any]:
        raise KeyError("a bug")

    made.started(broken)
    ready = client.get("/readyz")
    assert ready.status_code == 500
    assert ready.json() == {"ready": False, "dependencies": {"internal": "KeyError"}}
    assert client.get("/healthz").status_code == 200


def test_after_the_close_nobody_listens() -> None:
    listener = listen("127.0.0.1", 0, wait_s=0)
    address = address_of(listener)
    probes = Probes(listener)
    assert httpx2.get(f"{address}/healthz").status_code == 200
    probes.close()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{address}/healthz")
