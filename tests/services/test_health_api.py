"""Health over HTTP."""

from __future__ import annotations

from tests.running import RunningServer


def test_alive_depends_on_nothing(server: RunningServer) -> None:
    reply = server.http.get("/healthz")
    assert (reply.status_code, reply.json()) == (200, {"status": "alive"})


def test_ready_names_every_dependency_and_the_sandbox_level(server: RunningServer) -> None:
    reply = server.http.get("/readyz")
    assert reply.status_code == 200
    shown = reply.json()
    assert shown["ready"] is True
    assert set(shown["dependencies"]) == {"catalogue", "index", "embedder", "generator", "sandbox"}
    assert shown["dependencies"]["sandbox"] in {"namespace", "landlock", "seccomp", "none"}
    assert shown["dependencies"]["index"]["points"] >= 0
