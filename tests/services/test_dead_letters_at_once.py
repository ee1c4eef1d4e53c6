"""Many dead letters are decided with one call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.made_files import pdf, truncated_word
from tests.running import RunningServer
from tests.wire_checks import assert_problem

COUNT = 4


def letters(server: RunningServer, collection: str) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = server.http.get("/v1/dead-letters", params={"collection": collection}).json()["data"]
    return data


def decide(server: RunningServer, decision: str, **body: Any) -> dict[str, int]:
    reply = server.http.post(f"/v1/dead-letters:{decision}", json=body)
    assert reply.status_code == (202 if decision == "redrive" else 200), reply.text
    found: dict[str, int] = reply.json()
    return found


def failing(server: RunningServer, collection: str) -> list[dict[str, Any]]:
    """A collection of damaged documents and an encrypted one, all failed."""
    server.collection(collection)
    sent = [server.send_file(collection, f"{n}.docx", truncated_word(), external_id=f"{n}") for n in range(COUNT - 1)]
    sent.append(server.send_file(collection, "secret.pdf", pdf("Nobody reads this.", password="open sesame")))
    return [server.finished(document) for document in sent]


@pytest.mark.parametrize("decision", ["redrive", "drop"])
def test_a_dry_run_counts_and_decides_nothing(server: RunningServer, decision: str) -> None:
    failing(server, f"dry-{decision}")
    before = letters(server, f"dry-{decision}")
    assert decide(server, decision, collection=f"dry-{decision}", dry_run=True) == {"matched": COUNT, "accepted": 0}
    found = decide(server, decision, collection=f"dry-{decision}", code="damaged", dry_run=True)
    assert found == {"matched": COUNT - 1, "accepted": 0}
    assert letters(server, f"dry-{decision}") == before


def test_dead_letters_are_redriven_by_code_and_come_back_if_nothing_changed(server: RunningServer) -> None:
    documents = failing(server, "redriven")
    before = {letter["id"] for letter in letters(server, "redriven") if letter["code"] == "damaged"}
    found = decide(server, "redrive", collection="redriven", code="damaged")
    assert found == {"matched": COUNT - 1, "accepted": COUNT - 1}
    assert {server.http.get(f"/v1/dead-letters/{one}").json()["closed_by"] for one in before} == {"redriven"}
    assert {server.finished(document)["code"] for document in documents} == {"damaged", "encrypted"}
    assert len({one["id"] for one in letters(server, "redriven")} - before) == COUNT


def test_dead_letters_are_dropped_by_time(server: RunningServer) -> None:
    documents = failing(server, "dropped-at-once")
    now = datetime.now(UTC)
    later = (now + timedelta(hours=1)).isoformat()
    for nothing in ({"since": later}, {"until": (now - timedelta(hours=1)).isoformat()}):
        assert decide(server, "drop", collection="dropped-at-once", **nothing) == {"matched": 0, "accepted": 0}
    found = decide(server, "drop", collection="dropped-at-once", since=now.date().isoformat(), until=later)
    assert found == {"matched": COUNT, "accepted": COUNT}
    assert letters(server, "dropped-at-once") == []
    assert {server.http.get(f"/v1/documents/{one['id']}").json()["state"] for one in documents} == {"failed"}


@pytest.mark.parametrize("decision", ["redrive", "drop"])
def test_a_selection_that_is_none_is_refused_and_says_where(server: RunningServer, decision: str) -> None:
    path = f"/v1/dead-letters:{decision}"
    assert_problem(server.http.post(path, json={"collection": "nowhere"}), 404, "not_found")
    for pointer, body in (("/since", {"since": "yesterday"}), ("/until", {"until": 5}), ("/where", {"where": "x"})):
        problem = assert_problem(server.http.post(path, json=body), 422, "invalid_request")
        assert [error["pointer"] for error in problem["errors"]] == [pointer]
