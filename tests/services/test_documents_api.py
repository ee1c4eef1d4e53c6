"""Documents over HTTP: in, shown, changed, out."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import pytest

from tests.made_files import pdf, word
from tests.running import RunningServer, eventually
from tests.wire_checks import assert_problem, pointers

FIELDS = [
    "id", "collection", "external_id", "title", "source", "media_type", "language", "bytes", "sha256", "version",
    "live_version", "state", "code", "reason", "metadata", "readers", "pages", "chunks", "tokens", "created_at",
    "updated_at", "timeline",
]  # fmt: skip
TIMELINE_FIELDS = {"version", "stage", "attempt", "outcome", "started_at", "ended_at", "counts", "error"}
LOCATOR_FIELDS = {
    "pages", "boxes", "char_start", "char_end", "heading_path", "slide", "sheet", "row_start", "row_end", "part",
}  # fmt: skip
ENGLISH = (
    "The harbour of the small town was built in 1874 by two brothers. It has three piers, and the longest of them "
    "reaches two hundred metres into the bay. Fishing boats leave before sunrise and return around noon."
)


@pytest.fixture(scope="module")
def home(server: RunningServer) -> str:
    return server.collection("documents-api")


# --- in ---


def test_a_file_is_acknowledged_and_becomes_searchable(server: RunningServer, home: str) -> None:
    data = pdf("Page one speaks of the lighthouse keeper.", "Page two speaks of the storm of 1911.")
    sent = server.send_file(
        home,
        "lighthouse.pdf",
        data,
        external_id="lighthouse",
        title="The lighthouse",
        metadata='{"year": 1911, "tags": ["sea", "storm"]}',
        readers='["group:keepers"]',
        lane="bulk",
    )
    assert list(sent) == FIELDS
    assert sent["state"] in {"received", "parsing", "embedding", "searchable"}
    assert (sent["external_id"], sent["title"], sent["readers"]) == ("lighthouse", "The lighthouse", ["group:keepers"])
    assert sent["metadata"] == {"year": 1911, "tags": ["sea", "storm"]}
    assert (sent["bytes"], sent["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert (sent["media_type"], sent["source"], sent["collection"]) == ("application/pdf", "lighthouse.pdf", home)
    shown = server.finished(sent)
    assert list(shown) == FIELDS
    assert shown["state"] == "searchable"
    assert shown["live_version"] == shown["version"] == 1
    assert (shown["code"], shown["reason"]) == (None, None)
    assert shown["pages"] == 2
    assert shown["chunks"] >= 1
    assert shown["tokens"] > 10
    for name in ("created_at", "updated_at"):
        assert shown[name].endswith("Z")


def test_the_timeline_says_what_each_stage_did(server: RunningServer, home: str) -> None:
    shown = server.searchable(home, ENGLISH, title="Harbour")
    assert [entry["stage"] for entry in shown["timeline"]] == ["parse", "embed"]
    for entry in shown["timeline"]:
        assert set(entry) == TIMELINE_FIELDS
        assert (entry["version"], entry["outcome"], entry["error"]) == (1, "done", None)
        assert entry["attempt"] >= 1
        assert entry["started_at"] <= entry["ended_at"]
        assert entry["counts"]
    assert shown["language"] == "en"


def test_a_text_is_taken_as_json_with_every_field(server: RunningServer, home: str) -> None:
    markdown = "# Lamps\n\nA lamp of the first order is two metres high.\n\n## Oil\n\nIt burned colza oil until 1890."
    sent = server.send_text(
        home,
        markdown,
        media_type="text/markdown",
        external_id="lamps",
        title="Lamps",
        metadata={"order": 1},
        readers=None,
        lane="interactive",
    )
    assert (sent["readers"], sent["source"], sent["media_type"]) == (None, None, "text/markdown")
    shown = server.finished(sent)
    assert shown["state"] == "searchable"
    page = server.send_text(home, "<html><body><h1>Fog</h1><p>The horn is heard for miles.</p></body></html>",
                            media_type="text/html")  # fmt: skip
    assert server.finished(page)["state"] == "searchable"


def test_a_text_without_a_title_is_named_by_its_first_line(server: RunningServer, home: str) -> None:
    assert server.send_text(home, "# A first line\n\nand a second")["title"] == "A first line"


def test_a_batch_answers_each_item_in_order_and_one_bad_item_spoils_no_other(server: RunningServer, home: str) -> None:
    items: list[Any] = [
        {"text": "The first of a batch.", "external_id": "batch-0"},
        {"text": ""},
        {"text": "Unknown field", "colour": "red"},
        {"text": "Bad metadata", "metadata": {"a": {"b": 1}}},
        "not an object",
        {"text": 7},
        {"text": "Wrong type", "media_type": "application/pdf"},
        {"text": "Bad readers", "readers": ["*"]},
        {"text": "The last of a batch.", "external_id": "batch-8", "metadata": {"n": 8}},
    ]
    reply = server.http.post(f"/v1/collections/{home}/documents:batch", json={"documents": items})
    assert reply.status_code == 202
    data = reply.json()["data"]
    assert len(data) == len(items)
    assert [one.get("external_id") for one in (data[0], data[8])] == ["batch-0", "batch-8"]
    codes = [one.get("code") for one in data]
    assert codes == [
        None, "empty_file", "invalid_request", "invalid_metadata", "invalid_request", "invalid_request",
        "invalid_request", "invalid_request", None,
    ]  # fmt: skip
    for problem in data[1:8]:
        assert problem["status"] == 422
        assert problem["request_id"] == reply.headers["x-request-id"]
    assert "colour" in data[2]["detail"]
    for document in (data[0], data[8]):
        assert list(document) == FIELDS
        assert server.finished(document)["state"] == "searchable"


def test_only_the_envelope_of_a_batch_is_a_422(server: RunningServer, home: str) -> None:
    path = f"/v1/collections/{home}/documents:batch"
    bodies: list[Any] = [{}, {"documents": []}, {"documents": "x"}, {"documents": [{"text": "x"}], "extra": 1}, [1]]
    for body in bodies:
        assert_problem(server.http.post(path, json=body), 422, "invalid_request")
    many = [{"text": f"item {i}"} for i in range(1_001)]
    assert_problem(server.http.post(path, json={"documents": many}), 422, "invalid_request")
    assert_problem(
        server.http.post("/v1/collections/nowhere/documents:batch", json={"documents": [{"text": "x"}]}),
        404,
        "not_found",
    )


def test_the_same_external_id_again_is_a_new_version_and_the_old_one_serves_meanwhile(
    server: RunningServer, home: str
) -> None:
    first = server.searchable(home, "The ferry costs four crowns.", external_id="ferry")
    sent = server.send_text(home, "The ferry costs five crowns now.", external_id="ferry")
    assert sent["id"] == first["id"]
    assert (sent["version"], sent["live_version"]) == (2, 1)
    shown = server.finished(sent)
    assert (shown["version"], shown["live_version"], shown["state"]) == (2, 2, "searchable")
    texts = [
        hit["text"] for hit in server.hits("ferry crowns", collections=[home]) if hit["document_id"] == first["id"]
    ]
    assert texts == ["The ferry costs five crowns now."]


def test_the_same_content_again_only_applies_the_attributes_given(server: RunningServer, home: str) -> None:
    first = server.searchable(home, "Identical twins of a sentence.")
    again = server.send_text(home, "Identical twins of a sentence.", metadata={"seen": "twice"})
    assert (again["id"], again["version"], again["live_version"]) == (first["id"], 1, 1)
    assert again["metadata"] == {"seen": "twice"}


def test_a_failed_new_version_leaves_the_old_one_live(server: RunningServer, home: str) -> None:
    good = server.finished(server.send_file(home, "a.pdf", pdf("The tide table of 1950."), external_id="tides"))
    assert good["state"] == "searchable"
    bad = server.finished(server.send_file(home, "a.pdf", b"%PDF-1.7\nbroken", external_id="tides"))
    assert (bad["state"], bad["version"], bad["live_version"]) == ("failed", 2, 1)
    assert bad["code"] == "damaged"
    assert any(hit["document_id"] == good["id"] for hit in server.hits("tide table", collections=[home]))


# --- listed and shown ---


def test_the_list_narrows_by_collection_state_external_id_and_filter(server: RunningServer) -> None:
    name = server.collection("listing")
    for year in (2020, 2021, 2022):
        server.searchable(name, f"Report of the year {year}.", external_id=f"r-{year}", metadata={"year": year})
    failed = server.finished(server.send_file(name, "b.pdf", b"%PDF-1.4 broken", external_id="r-bad"))
    ids = {document["external_id"] for document in server.documents(collection=name)}
    assert ids == {"r-2020", "r-2021", "r-2022", "r-bad"}
    assert [d["id"] for d in server.documents(collection=name, state="failed")] == [failed["id"]]
    assert [d["external_id"] for d in server.documents(external_id="r-2021")] == ["r-2021"]
    condition = json.dumps({"metadata.year": {"$gte": 2021}})
    assert {d["external_id"] for d in server.documents(collection=name, filter=condition)} == {"r-2021", "r-2022"}
    assert server.documents(collection=name, state="deleted") == []


def test_the_list_is_newest_first_and_its_cursors_meet_each_document_once(server: RunningServer) -> None:
    name = server.collection("paged")
    sent = [server.send_text(name, f"Page filler number {i}.")["id"] for i in range(7)]
    assert [document["id"] for document in server.documents(collection=name, limit=3)] == sent[::-1]
    first = server.http.get("/v1/documents", params={"collection": name, "limit": 3}).json()
    assert len(first["data"]) == 3
    other = server.http.get("/v1/documents", params={"limit": 3, "cursor": first["next_cursor"]})
    assert_problem(other, 422, "invalid_request")


def test_limits_and_parameters_out_of_range_are_refused(server: RunningServer) -> None:
    for parameters in ({"limit": 0}, {"limit": 201}, {"limit": "x"}, {"cursor": "forged"}, {"state": "unheard-of"}):
        assert_problem(server.http.get("/v1/documents", params=parameters), 422, "invalid_request")
    assert_problem(server.http.get("/v1/documents", params={"filter": "{not json"}), 422, "invalid_filter")
    assert_problem(server.http.get("/v1/documents", params={"filter": "[" * 10_000}), 422, "invalid_filter")
    bad = server.http.get("/v1/documents", params={"filter": '{"metadata.year": {"$gte": "x"}}'})
    assert pointers(assert_problem(bad, 422, "invalid_filter")) == ["/filter/metadata.year/$gte"]
    assert_problem(server.http.get("/v1/documents", params={"collection": "nowhere"}), 404, "not_found")


def test_waiting_answers_when_the_state_is_final_or_the_time_is_over(server: RunningServer, home: str) -> None:
    sent = server.send_text(home, "Somebody waits for this sentence.")
    started = time.monotonic()
    shown = server.http.get(f"/v1/documents/{sent['id']}", params={"wait": 60}).json()
    assert shown["state"] == "searchable"
    assert time.monotonic() - started < 30
    at_once = server.http.get(f"/v1/documents/{sent['id']}", params={"wait": 30})
    assert at_once.elapsed.total_seconds() < 5
    for wait in (61, -1, "x"):
        assert_problem(server.http.get(f"/v1/documents/{sent['id']}", params={"wait": wait}), 422, "invalid_request")
    assert_problem(server.http.get("/v1/documents/nobody", params={"wait": 1}), 404, "not_found")


def test_content_gives_the_original_bytes_and_no_browser_shows_them(server: RunningServer, home: str) -> None:
    data = word("Original", "These bytes come back as they were.")
    sent = server.send_file(home, "original.docx", data)
    reply = server.http.get(f"/v1/documents/{sent['id']}/content")
    assert reply.content == data
    assert reply.headers["content-type"].startswith("application/vnd.openxmlformats")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-disposition"].startswith("attachment")
    text = server.send_text(home, "Small texts live in the row: ä€𝄞.")
    assert (
        server.http.get(f"/v1/documents/{text['id']}/content").content == "Small texts live in the row: ä€𝄞.".encode()
    )


def test_text_elements_and_chunks_agree_on_where_everything_is(server: RunningServer, home: str) -> None:
    paragraphs = [f"Paragraph {i}: {ENGLISH}" for i in range(12)]
    shown = server.finished(server.send_file(home, "long.docx", word("Harbours", *paragraphs)))
    key = shown["id"]
    text = server.http.get(f"/v1/documents/{key}/text")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    elements = server.http.get(f"/v1/documents/{key}/elements", params={"limit": 200}).json()["data"]
    assert elements[0]["kind"] == "title"
    for element in elements:
        assert text.text[element["char_start"] : element["char_end"]] == element["text"]
    chunks = server.http.get(f"/v1/documents/{key}/chunks", params={"limit": 200}).json()["data"]
    assert len(chunks) == shown["chunks"] > 1
    assert [chunk["ordinal"] for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert set(chunk) == {"id", "document_id", "ordinal", "text", "tokens", "locator"}
        assert set(chunk["locator"]) == LOCATOR_FIELDS
        assert chunk["document_id"] == key
        start, end = chunk["locator"]["char_start"], chunk["locator"]["char_end"]
        assert text.text[start:end] == chunk["text"]
    page = server.http.get(f"/v1/documents/{key}/chunks", params={"limit": 1}).json()
    rest = server.http.get(f"/v1/documents/{key}/chunks", params={"limit": 200, "cursor": page["next_cursor"]}).json()
    assert [*page["data"], *rest["data"]] == chunks
    assert rest["next_cursor"] is None


def test_a_chunk_is_shown_by_its_id_with_its_neighbours(server: RunningServer, home: str) -> None:
    shown = server.finished(
        server.send_file(home, "three.docx", word("Three", *[f"Part {i}. {ENGLISH}" * 3 for i in range(6)]))
    )
    chunks = server.http.get(f"/v1/documents/{shown['id']}/chunks", params={"limit": 200}).json()["data"]
    found = [server.http.get(f"/v1/chunks/{chunk['id']}").json() for chunk in chunks]
    ids = [chunk["id"] for chunk in chunks]
    assert [one["previous_id"] for one in found] == [None, *ids[:-1]]
    assert [one["next_id"] for one in found] == [*ids[1:], None]
    assert found[0] == {**chunks[0], "previous_id": None, "next_id": found[1]["id"]}
    for unknown in ("nobody", "00000000-0000-0000-0000-000000000000"):
        assert_problem(server.http.get(f"/v1/chunks/{unknown}"), 404, "not_found")


def test_what_is_not_live_yet_has_no_text(server: RunningServer, home: str) -> None:
    failed = server.finished(server.send_file(home, "no.pdf", b"%PDF-1.3 no"))
    for part in ("text", "elements", "chunks"):
        assert_problem(server.http.get(f"/v1/documents/{failed['id']}/{part}"), 404, "not_found")
    assert server.http.get(f"/v1/documents/{failed['id']}/content").content == b"%PDF-1.3 no"


# --- changed ---


def test_patched_metadata_is_shown_at_once_and_filters_within_five_seconds(server: RunningServer, home: str) -> None:
    document = server.searchable(home, "A ledger of the salt trade.", metadata={"status": "draft"})
    path = f"/v1/documents/{document['id']}"
    reply = server.http.patch(path, json={"metadata": {"status": "final"}})
    assert reply.status_code == 200
    assert list(reply.json()) == FIELDS
    assert reply.json()["metadata"] == {"status": "final"}
    final = {"metadata.status": "final"}
    eventually(lambda: server.hits("salt trade", collections=[home], filter=final), within_s=5)
    assert server.hits("salt trade", collections=[home], filter={"metadata.status": "draft"}) == []
    assert server.http.get(path).json()["version"] == 1


def test_a_new_title_is_embedded_again_as_a_new_version(server: RunningServer, home: str) -> None:
    document = server.searchable(home, "It stands on the northern cliff.", title="Plain")
    reply = server.http.patch(f"/v1/documents/{document['id']}", json={"title": "Windmill inventory"})
    assert reply.json()["title"] == "Windmill inventory"
    assert reply.json()["version"] == 2
    shown = server.finished(document)
    assert (shown["state"], shown["live_version"]) == ("searchable", 2)
    assert server.hits("windmill inventory", collections=[home])[0]["document_id"] == document["id"]


def test_a_patch_is_checked_like_an_intake(server: RunningServer, home: str) -> None:
    document = server.send_text(home, "Nothing of this is changed.")
    path = f"/v1/documents/{document['id']}"
    for body, pointer in (
        ({"title": None}, "/title"),
        ({"title": ""}, "/title"),
        ({"metadata": None}, "/metadata"),
        ({"readers": ["*"]}, "/readers/0"),
        ({"external_id": "x"}, "/external_id"),
        ({"readers": "group:a"}, "/readers"),
    ):
        assert pointers(assert_problem(server.http.patch(path, json=body), 422, "invalid_request")) == [pointer]
    bad = assert_problem(server.http.patch(path, json={"metadata": {"a b": 1}}), 422, "invalid_metadata")
    assert pointers(bad) == ["/metadata/a b"]
    assert server.http.get(path).json()["title"] == "Nothing of this is changed."


def test_readers_of_null_in_a_patch_are_the_collections_default_again(server: RunningServer) -> None:
    name = server.collection("reset", default_readers=["group:house"])
    document = server.searchable(name, "Whose is this?", readers=["user:ann"])
    path = f"/v1/documents/{document['id']}"
    assert server.http.patch(path, json={"readers": []}).json()["readers"] == []
    assert server.http.patch(path, json={"readers": None}).json()["readers"] == ["group:house"]


def test_reprocessing_makes_a_new_version_and_the_old_one_serves_meanwhile(server: RunningServer, home: str) -> None:
    document = server.searchable(home, "Parse me twice, said the almanac.")
    reply = server.http.post(f"/v1/documents/{document['id']}:reprocess")
    assert reply.status_code == 202
    assert (reply.json()["version"], reply.json()["live_version"]) == (2, 1)
    assert server.hits("almanac", collections=[home])[0]["document_id"] == document["id"]
    shown = server.finished(document)
    assert (shown["state"], shown["live_version"]) == ("searchable", 2)
    assert {entry["version"] for entry in shown["timeline"]} == {1, 2}


# --- out ---


def test_a_deleted_document_is_never_found_again_and_keeps_its_id_as_a_tombstone(
    server: RunningServer, home: str
) -> None:
    document = server.searchable(home, "The quagga was last seen in 1883.", external_id="quagga")
    path = f"/v1/documents/{document['id']}"
    chunk = server.hits("quagga", collections=[home])[0]["chunk_id"]
    reply = server.http.delete(path)
    assert reply.status_code == 202
    assert reply.json()["state"] in {"deleting", "deleted"}
    assert all(hit["document_id"] != document["id"] for hit in server.hits("quagga", collections=[home]))
    shown = server.finished(document)
    assert shown["state"] == "deleted"
    for part in ("content", "text", "elements", "chunks"):
        assert_problem(server.http.get(f"{path}/{part}"), 404, "not_found")
    assert_problem(server.http.get(f"/v1/chunks/{chunk}"), 404, "not_found")
    assert server.http.delete(path).status_code == 202
    assert document["id"] not in {one["id"] for one in server.documents(collection=home)}
    assert document["id"] in {one["id"] for one in server.documents(collection=home, state="deleted")}
    again = server.finished(server.send_text(home, "The quagga was last seen in 1883.", external_id="quagga"))
    assert again["id"] == document["id"]
    assert again["version"] > shown["version"] >= 2
    assert again["state"] == "searchable"


def test_what_changes_a_deleted_document_is_refused(server: RunningServer, home: str) -> None:
    document = server.searchable(home, "Gone before it could be changed.")
    server.http.delete(f"/v1/documents/{document['id']}")
    path = f"/v1/documents/{document['id']}"
    assert_problem(server.http.patch(path, json={"title": "new"}), 409, "conflict")
    assert_problem(server.http.post(f"{path}:reprocess"), 409, "conflict")


def test_calls_on_an_unknown_document_are_a_404(server: RunningServer) -> None:
    path = "/v1/documents/00000000-0000-0000-0000-000000000000"
    for method, suffix, body in (
        ("GET", "", None),
        ("GET", "/content", None),
        ("GET", "/text", None),
        ("GET", "/elements", None),
        ("GET", "/chunks", None),
        ("PATCH", "", {"title": "x"}),
        ("POST", ":reprocess", None),
        ("DELETE", "", None),
    ):
        assert_problem(server.http.request(method, path + suffix, json=body), 404, "not_found")
