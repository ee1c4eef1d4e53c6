"""Documents that cannot be read: what is said of them, and what can be done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.made_files import pdf, truncated_word, word_bomb
from tests.running import RunningServer, eventually
from tests.wire_checks import assert_problem

FIELDS = {
    "id", "document_id", "collection", "title", "version", "stage", "code", "reason", "attempts", "evidence",
    "created_at", "closed_at", "closed_by",
}  # fmt: skip
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
CASES = {
    "encrypted": ("secret.pdf", pdf("Nobody reads this.", password="open sesame")),
    "damaged": ("half.docx", truncated_word()),
    "parse_limit": ("bomb.docx", word_bomb()),
    "no_text": ("blank.pdf", pdf("")),
    "needs_program": ("photo.png", PNG),
}


@pytest.fixture(scope="module")
def failures(server: RunningServer) -> dict[str, dict[str, Any]]:
    """A failed document for each code, beside a good one."""
    server.collection("failing")
    sent = {code: server.send_file("failing", name, data) for code, (name, data) in CASES.items()}
    good = server.searchable("failing", "Meanwhile the rest of the work goes on.")
    assert good["state"] == "searchable"
    return {code: server.finished(document) for code, document in sent.items()}


def letters(server: RunningServer, **parameters: Any) -> list[dict[str, Any]]:
    reply = server.http.get("/v1/dead-letters", params={"limit": 200, **parameters})
    assert reply.status_code == 200, reply.text
    data: list[dict[str, Any]] = reply.json()["data"]
    return data


def test_what_cannot_be_read_fails_with_its_code_and_a_sentence(
    server: RunningServer, failures: dict[str, dict[str, Any]]
) -> None:
    for code, document in failures.items():
        assert (document["state"], document["code"]) == ("failed", code)
        assert document["live_version"] is None
        assert document["reason"].endswith(".")
        assert document["timeline"][-1]["outcome"] == "failed"
        assert document["timeline"][-1]["error"]
    assert "tesseract" in failures["needs_program"]["reason"]


def test_each_failure_is_a_dead_letter_with_its_evidence(
    server: RunningServer, failures: dict[str, dict[str, Any]]
) -> None:
    found = {letter["code"]: letter for letter in letters(server, collection="failing")}
    assert set(found) == set(CASES)
    for code, letter in found.items():
        assert set(letter) == FIELDS
        assert letter["document_id"] == failures[code]["id"]
        assert (letter["collection"], letter["version"], letter["stage"]) == ("failing", 1, "parse")
        assert letter["reason"] == failures[code]["reason"]
        assert letter["attempts"] == 1
        assert server.http.get(f"/v1/dead-letters/{letter['id']}").json() == letter


@pytest.mark.usefixtures("failures")
def test_dead_letters_are_listed_by_code_and_in_pages(server: RunningServer) -> None:
    assert [one["code"] for one in letters(server, collection="failing", code="damaged")] == ["damaged"]
    assert letters(server, collection="failing", code="kills_worker") == []
    first = server.http.get("/v1/dead-letters", params={"collection": "failing", "limit": 2}).json()
    rest = letters(server, collection="failing", cursor=first["next_cursor"])
    assert len(first["data"]) == 2
    ids = [one["id"] for one in [*first["data"], *rest]]
    assert sorted(ids) == sorted(one["id"] for one in letters(server, collection="failing"))
    assert_problem(server.http.get("/v1/dead-letters", params={"cursor": "x"}), 422, "invalid_request")
    assert_problem(server.http.get("/v1/dead-letters", params={"collection": "nowhere"}), 404, "not_found")


@pytest.mark.usefixtures("failures")
def test_a_redriven_dead_letter_is_tried_again_and_comes_back_if_nothing_changed(server: RunningServer) -> None:
    (letter,) = letters(server, collection="failing", code="encrypted")
    reply = server.http.post(f"/v1/dead-letters/{letter['id']}:redrive")
    assert reply.status_code == 202
    assert reply.json()["id"] == letter["document_id"]
    assert reply.json()["version"] == letter["version"]
    shown = server.finished(letter["document_id"])
    assert (shown["state"], shown["code"], shown["version"]) == ("failed", "encrypted", 1)
    (again,) = letters(server, collection="failing", code="encrypted")
    assert again["id"] != letter["id"]
    assert_problem(server.http.post(f"/v1/dead-letters/{letter['id']}:redrive"), 409, "conflict")


def test_a_new_version_closes_the_dead_letter_of_the_old_one(server: RunningServer) -> None:
    server.collection("mended")
    document = server.finished(server.send_file("mended", "a.docx", truncated_word(), external_id="a"))
    (letter,) = letters(server, collection="mended")
    mended = server.finished(server.send_text("mended", "Whole again.", external_id="a"))
    assert (mended["id"], mended["state"], mended["version"]) == (document["id"], "searchable", 2)
    assert letters(server, collection="mended") == []
    assert_problem(server.http.post(f"/v1/dead-letters/{letter['id']}:redrive"), 409, "conflict")


def test_a_dropped_dead_letter_is_gone_and_its_document_stays_failed(server: RunningServer) -> None:
    server.collection("dropped")
    document = server.finished(server.send_file("dropped", "x.docx", truncated_word()))
    (letter,) = letters(server, collection="dropped")
    assert server.http.delete(f"/v1/dead-letters/{letter['id']}").status_code == 204
    assert letters(server, collection="dropped") == []
    assert_problem(server.http.delete(f"/v1/dead-letters/{letter['id']}"), 404, "not_found")
    assert server.http.get(f"/v1/documents/{document['id']}").json()["state"] == "failed"
    closed = server.http.get(f"/v1/dead-letters/{letter['id']}").json()
    assert closed["closed_by"] == "dropped"
    assert closed["closed_at"] > letter["created_at"]
    assert (letter["closed_at"], letter["closed_by"]) == (None, None)


def test_content_that_exhausted_its_parser_is_quarantined_until_its_dead_letter_is_decided(
    server: RunningServer,
) -> None:
    server.collection("quarantine")
    bomb = word_bomb(201 << 20)
    server.finished(server.send_file("quarantine", "bomb.docx", bomb))
    again = server.post_file("quarantine", "other-name.docx", bomb, external_id="disguise")
    assert_problem(again, 409, "quarantined")
    (letter,) = letters(server, collection="quarantine")
    assert letter["code"] == "parse_limit"
    server.http.delete(f"/v1/dead-letters/{letter['id']}")
    assert server.post_file("quarantine", "other-name.docx", bomb, external_id="disguise").status_code == 202
    eventually(lambda: letters(server, collection="quarantine"))


def test_an_unknown_dead_letter_is_a_404(server: RunningServer) -> None:
    assert_problem(server.http.get("/v1/dead-letters/nobody"), 404, "not_found")
    assert_problem(server.http.post("/v1/dead-letters/nobody:redrive"), 404, "not_found")
    assert_problem(server.http.delete("/v1/dead-letters/nobody"), 404, "not_found")
