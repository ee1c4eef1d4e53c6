"""`ragstone status` and `ragstone doctor`: is everything searchable, and is everything well, and if not, why."""

from __future__ import annotations

import json

from ragstone import Client
from ragstone.cli.status import Standing
from tests.running import RunningServer, eventually
from tests.sdk.scripted_server import KEY, Reply, ScriptedServer, problem
from tests.sdk.test_commands import lines, run


def test_status_says_that_all_is_searchable_and_then_what_is_not(own: RunningServer) -> None:
    notes = own.drop / "notes"
    notes.mkdir(parents=True)
    (notes / "good.txt").write_text("A good text.")
    with Client(own.url, key=KEY) as client:
        eventually(lambda: [one.state for one in client.documents.list()] == ["searchable"])
    fine = eventually(lambda: all_searchable(own))
    assert fine.exit_code == 0
    assert "Everything is searchable." in fine.stdout
    assert "notes" in fine.stdout
    (notes / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing else")
    (notes / "odd.xyz").write_bytes(bytes(range(256)))
    shown = eventually(lambda: settled(own, failed=2))
    assert shown.exit_code == 1
    assert "Not everything is searchable: 2 failed" in shown.stdout
    assert "broken.pdf" in shown.stdout
    assert "damaged" in shown.stdout
    assert "unsupported_type" in shown.stdout
    (standing,) = lines(run(own.url, "status", "--json", key=KEY))
    assert {letter["code"] for letter in standing["dead_letters"]} == {"damaged", "unsupported_type"}


def all_searchable(own: RunningServer) -> object:
    shown = run(own.url, "status", key=KEY)
    return shown if shown.exit_code == 0 else None


def settled(own: RunningServer, *, failed: int) -> object:
    shown = run(own.url, "status", key=KEY)
    return shown if f"{failed} failed" in shown.stdout and "on their way" not in shown.stdout.splitlines()[-1] else None


def test_status_shows_what_the_drop_folder_keeps_back() -> None:
    held = {"path": "notes/a.txt", "collection": "notes", "document_id": "d", "missing_since": None}
    folder = {
        "last_scan": "2026-01-01T00:00:00Z",
        "held": [held],
        "refused": [
            {"path": "notes/b", "document_id": None, "reason": "no plain file"},
            {"path": "c", "document_id": "d", "reason": "x"},
        ],
        "ignored": ["notes/d.txt"],
        "waiting": "the backlog is full",
    }
    standing = Standing.model_validate(
        {"collections": [], "drop_folder": folder, "dead_letters": [], "more_letters": False}
    )
    assert standing.reasons == ["1 refused in the drop folder", "new files wait: the backlog is full"]


def test_status_on_the_wire_shows_held_refused_and_ignored_files(scripted: ScriptedServer) -> None:
    folder = {
        "last_scan": None,
        "held": [{"path": "notes/held.txt", "collection": "notes", "document_id": "d", "missing_since": None}],
        "refused": [{"path": f"notes/{n}", "document_id": None, "reason": "no plain file"} for n in range(12)],
        "ignored": ["notes/ignored.txt"],
        "waiting": "the backlog is full",
    }
    empty = {"data": [], "next_cursor": None}
    scripted.replies = [Reply(200, folder), Reply(200, empty), Reply(200, empty)]
    shown = run(scripted.url, "status")
    assert shown.exit_code == 1
    for said in ("Not looked at yet", "held.txt", "no plain file", "ignored.txt", "and 2 more", "the backlog is full"):
        assert said in shown.stdout


def test_status_works_without_the_scope_admin(scripted: ScriptedServer) -> None:
    empty = {"data": [], "next_cursor": None}
    scripted.replies = [Reply(403, problem(403, "forbidden")), Reply(200, empty), Reply(200, empty)]
    shown = run(scripted.url, "status")
    assert shown.exit_code == 0
    assert "does not hold the scope admin" in shown.stdout


def test_the_doctor_finds_nothing_wrong(own: RunningServer) -> None:
    shown = run(own.url, "doctor", key=KEY)
    assert shown.exit_code == 0, shown.output
    assert [line.split()[:2] for line in shown.stdout.splitlines()] == [
        ["ok", "connection:"],
        ["ok", "key:"],
        ["ok", "readiness:"],
        ["ok", "search:"],
    ]


def test_the_doctor_tells_a_wrong_key_with_its_remedy(own: RunningServer) -> None:
    shown = run(own.url, "doctor", key="somebody-elses-key")
    assert shown.exit_code == 1
    assert "WRONG key" in shown.stdout
    assert "Set RAGSTONE_API_KEY" in shown.stdout
    assert "search:" not in shown.stdout  # it could only say the same again


def test_the_doctor_tells_where_there_is_no_server(own: RunningServer) -> None:
    shown = run("http://127.0.0.1:9", "doctor", "--json")
    (check,) = lines(shown)
    assert (shown.exit_code, check["name"]) == (1, "connection")
    assert "make run" in check["remedy"]


def test_the_doctor_tells_what_the_server_lacks(scripted: ScriptedServer) -> None:
    lacking = {"ready": False, "dependencies": {"index_unavailable": "The index cannot be reached."}}
    down = Reply(503, problem(503, "index_unavailable", retryable=True), {"Retry-After": "1"})
    scripted.replies = [
        Reply(200, {"status": "alive"}),
        Reply(200, {"data": [], "next_cursor": None}),
        Reply(503, lacking, {"Retry-After": "1"}),
        down,
    ]
    checks = {check["name"]: check for check in lines(run(scripted.url, "doctor", "--json"))}
    assert "The index cannot be reached" in checks["readiness"]["found"]
    assert checks["readiness"]["remedy"]
    assert "index_unavailable" in checks["search"]["found"]
    assert len(scripted.asked) == 4  # nothing is tried again


def test_the_doctor_tells_another_program_and_a_key_that_may_too_little(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(200, b"<h1>It works!</h1>")]
    shown = run(scripted.url, "doctor").stdout
    assert "Another program listens there" in shown
    scripted.asked.clear()
    scripted.replies = [
        Reply(200, {}),
        Reply(403, problem(403, "forbidden")),
        Reply(200, {"ready": True, "dependencies": {}}),
    ]
    assert "with the scope read" in run(scripted.url, "doctor").stdout
    scripted.asked.clear()
    scripted.replies = [Reply(404, b"nothing here")]
    assert json.dumps("no ragstone server")[1:-1] in run(scripted.url, "doctor").stdout
