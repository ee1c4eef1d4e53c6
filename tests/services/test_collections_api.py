"""Collections over HTTP."""

from __future__ import annotations

from tests.running import RunningServer, eventually
from tests.wire_checks import assert_problem, pointers

FIELDS = {
    "name",
    "description",
    "default_readers",
    "metadata_schema",
    "documents",
    "chunks",
    "bytes",
    "embedding",
    "created_at",
}


def test_a_new_collection_is_shown_with_every_field_and_no_documents(server: RunningServer) -> None:
    reply = server.http.post("/v1/collections", json={"name": "fresh", "description": "For tests"})
    assert reply.status_code == 201
    shown = reply.json()
    assert set(shown) == FIELDS
    assert shown["name"] == "fresh"
    assert shown["description"] == "For tests"
    assert shown["default_readers"] is None
    assert shown["documents"] == {"total": 0, "live": 0, "by_state": {}}
    assert (shown["chunks"], shown["bytes"]) == (0, 0)
    assert shown["embedding"]["dimension"] > 0
    assert shown["embedding"]["model"]
    assert shown["created_at"].endswith("Z")
    assert server.http.get("/v1/collections/fresh").json() == shown


def test_a_name_is_unique_while_its_collection_lives(server: RunningServer) -> None:
    server.collection("unique")
    assert_problem(server.http.post("/v1/collections", json={"name": "unique"}), 409, "conflict")


def test_a_name_outside_the_grammar_is_refused_with_a_pointer(server: RunningServer) -> None:
    for name in ("Upper", "-dash", "under_score", "", "a" * 64, "dot.dot", "a/b"):
        problem = assert_problem(server.http.post("/v1/collections", json={"name": name}), 422, "invalid_request")
        assert pointers(problem) == ["/name"]


def test_unknown_fields_of_a_collection_are_named(server: RunningServer) -> None:
    reply = server.http.post("/v1/collections", json={"name": "typo", "desciption": "x"})
    problem = assert_problem(reply, 422, "invalid_request")
    assert pointers(problem) == ["/desciption"]
    assert "desciption" in problem["detail"]
    assert_problem(server.http.get("/v1/collections/typo"), 404, "not_found")


def test_the_list_goes_over_every_collection_once_by_its_cursors(server: RunningServer) -> None:
    names = {server.collection(f"listed-{i}") for i in range(5)}
    found: list[str] = []
    cursor = None
    while True:
        parameters = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = server.http.get("/v1/collections", params=parameters).json()
        assert set(page) == {"data", "next_cursor"}
        assert len(page["data"]) <= 2
        found += [one["name"] for one in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names <= set(found)
    assert len(found) == len(set(found))


def test_a_patch_changes_only_what_it_names(server: RunningServer) -> None:
    server.collection("patched", description="before", default_readers=["group:a"])
    changed = server.http.patch("/v1/collections/patched", json={"description": "after"})
    assert changed.status_code == 200
    assert changed.json()["description"] == "after"
    assert changed.json()["default_readers"] == ["group:a"]
    assert (
        server.http.patch("/v1/collections/patched", json={"default_readers": None}).json()["default_readers"] is None
    )
    assert server.http.get("/v1/collections/patched").json()["description"] == "after"
    assert_problem(server.http.patch("/v1/collections/patched", json={"name": "other"}), 422, "invalid_request")
    assert_problem(server.http.patch("/v1/collections/not-there", json={}), 404, "not_found")


def test_default_readers_are_copied_at_intake_and_hold_for_later_documents(server: RunningServer) -> None:
    server.collection("defaults")
    before = server.send_text("defaults", "Sent before there were default readers.")
    server.http.patch("/v1/collections/defaults", json={"default_readers": ["group:late"]})
    after = server.send_text("defaults", "Sent after the default readers were set.")
    assert server.http.get(f"/v1/documents/{before['id']}").json()["readers"] is None
    assert after["readers"] == ["group:late"]


def test_counts_by_state_follow_the_documents_and_tombstones_do_not_count_as_documents(server: RunningServer) -> None:
    server.collection("counted")
    kept = server.searchable("counted", "The first of three documents that are counted.")
    doomed = server.searchable("counted", "The second one will be deleted in a moment.")
    failed = server.finished(server.send_file("counted", "broken.pdf", b"%PDF-1.7 nothing else"))
    assert failed["state"] == "failed"
    shown = server.http.get("/v1/collections/counted").json()
    assert shown["documents"] == {"total": 3, "live": 2, "by_state": {"searchable": 2, "failed": 1}}
    assert shown["chunks"] == kept["chunks"] + doomed["chunks"]
    assert shown["bytes"] == kept["bytes"] + doomed["bytes"]
    server.http.delete(f"/v1/documents/{doomed['id']}")
    server.finished(doomed)
    shown = server.http.get("/v1/collections/counted").json()
    assert shown["documents"] == {"total": 2, "live": 1, "by_state": {"searchable": 1, "failed": 1, "deleted": 1}}


def test_a_deleted_collection_is_gone_at_once_and_its_name_is_free_when_its_documents_are(
    server: RunningServer,
) -> None:
    server.collection("doomed")
    for i in range(5):
        server.searchable("doomed", f"Document number {i} about porcupines in a doomed collection.")
    reply = server.http.delete("/v1/collections/doomed")
    assert reply.status_code == 202
    assert reply.json()["name"] == "doomed"
    assert_problem(server.http.get("/v1/collections/doomed"), 404, "not_found")
    assert_problem(server.http.delete("/v1/collections/doomed"), 404, "not_found")
    assert_problem(
        server.http.post("/v1/search", json={"query": "porcupines", "collections": ["doomed"]}), 404, "not_found"
    )
    assert not [hit for hit in server.hits("porcupines") if "doomed" in hit["text"]]
    assert_problem(server.http.post("/v1/collections/doomed/documents", json={"text": "too late"}), 404, "not_found")

    def born_again() -> bool:
        again = server.http.post("/v1/collections", json={"name": "doomed"})
        if again.status_code == 409:
            assert_problem(again, 409, "conflict")
        return again.status_code == 201

    eventually(born_again)
    assert server.http.get("/v1/collections/doomed").json()["documents"]["total"] == 0
    assert server.hits("porcupines", collections=["doomed"]) == []
    tombstones = server.documents(collection="doomed", state="deleted")
    assert [one["collection"] for one in tombstones] == ["doomed"] * 5
    assert server.http.get(f"/v1/documents/{tombstones[0]['id']}").json() == tombstones[0]
    assert server.documents(collection="doomed") == []
    never = server.http.get("/v1/documents", params={"collection": "never", "state": "deleted"})
    assert_problem(never, 404, "not_found")


def test_a_metadata_schema_is_enforced_and_must_be_one(server: RunningServer) -> None:
    schema = {"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["year"]}
    server.collection("strict", metadata_schema=schema)
    bad = server.http.post("/v1/collections/strict/documents", json={"text": "x", "metadata": {"year": "old"}})
    assert pointers(assert_problem(bad, 422, "invalid_metadata")) == ["/metadata/year"]
    missing = server.http.post("/v1/collections/strict/documents", json={"text": "x", "metadata": {}})
    assert_problem(missing, 422, "invalid_metadata")
    server.send_text("strict", "Good enough", metadata={"year": 2024})
    no_schema = server.http.post("/v1/collections", json={"name": "loose", "metadata_schema": {"type": 7}})
    assert pointers(assert_problem(no_schema, 422, "invalid_request")) == ["/metadata_schema"]


def test_a_metadata_schema_that_points_elsewhere_is_refused_and_nothing_is_fetched(server: RunningServer) -> None:
    for schema in (
        {"$ref": f"{server.url}/healthz"},
        {"$ref": "file:///etc/passwd"},
        {"properties": {"a": {"$dynamicRef": "https://example.org/schema"}}},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"$id": "https://example.org/", "$ref": "other"},
    ):
        reply = server.http.post("/v1/collections", json={"name": "elsewhere", "metadata_schema": schema})
        assert pointers(assert_problem(reply, 422, "invalid_request")) == ["/metadata_schema"], schema
    inner = {"$defs": {"year": {"type": "integer"}}, "properties": {"year": {"$ref": "#/$defs/year"}}}
    server.collection("inner", metadata_schema=inner)
    bad = server.http.post("/v1/collections/inner/documents", json={"text": "x", "metadata": {"year": "old"}})
    assert_problem(bad, 422, "invalid_metadata")
