"""Keys over HTTP and by the command: what each may do, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.running import ROOT, Json, RunningServer, environment_of, eventually, serving
from tests.wire_checks import assert_problem

BOOTSTRAP = "an-administrative-key-of-forty-characters"
SCOPES = ("search", "read", "write", "delete", "admin")
# A call that needs the scope and nothing else, and what it says once the scope is there.
CALLS = {
    "search": ("POST", "/v1/search", {"query": "otter"}, 200),
    "read": ("GET", "/v1/documents", None, 200),
    "write": ("POST", "/v1/documents/none:reprocess", None, 404),
    "delete": ("DELETE", "/v1/documents/none", None, 404),
    "admin": ("GET", "/v1/keys", None, 200),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "key").write_text(BOOTSTRAP)
    with serving(folder / "data", environment={"RAGSTONE_BOOTSTRAP_KEY_FILE": str(folder / "key")}) as running:
        yield running


class Caller:
    """A server as one key sees it."""

    def __init__(self, running: RunningServer, key: str) -> None:
        self._running = running
        self._headers = {"Authorization": f"Bearer {key}"}

    def __call__(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        given = {} if body is None else {"json": body}
        return self._running.http.request(method, self._running.url + path, headers=self._headers, **given)

    def made(self, **grant: Any) -> Json:
        reply = self("POST", "/v1/keys", {"name": "test", **grant})
        assert reply.status_code == 201, reply.text
        found: Json = reply.json()
        return found

    def sent(self, collection: str, text: str, **attributes: Any) -> str:
        self("POST", "/v1/collections", {"name": collection})
        reply = self("POST", f"/v1/collections/{collection}/documents", {"text": text, **attributes})
        assert reply.status_code == 202, reply.text
        key: str = reply.json()["id"]
        assert self("GET", f"/v1/documents/{key}?wait=60").json()["state"] == "searchable"
        return key

    def found(self, query: str) -> set[str]:
        reply = self("POST", "/v1/search", {"query": query})
        assert reply.status_code == 200, reply.text
        return {hit["document_id"] for hit in reply.json()["hits"]}


@pytest.fixture
def admin(guarded: RunningServer) -> Caller:
    return Caller(guarded, BOOTSTRAP)


def command(running: RunningServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services", "keys", *arguments],
        cwd=ROOT,
        env=environment_of(running.data, {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_may_do_what_its_scope_says_and_nothing_else(guarded: RunningServer, admin: Caller, scope: str) -> None:
    made = admin.made(scopes=[scope])
    caller = Caller(guarded, made["key"])
    for needed, (method, path, body, status) in CALLS.items():
        reply = caller(method, path, body)
        if scope in {needed, "admin"}:
            assert reply.status_code == status, reply.text
        else:
            assert needed in assert_problem(reply, 403, "forbidden")["detail"]


def test_a_key_is_shown_once_and_listed_without_itself(guarded: RunningServer, admin: Caller) -> None:
    made = admin.made(name="listed", scopes=["search", "read"], labels=["group:a"])
    assert made["key"].startswith(made["hint"])
    listed = next(one for one in admin("GET", "/v1/keys").json()["data"] if one["id"] == made["id"])
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert (listed["scopes"], listed["labels"], listed["collections"]) == (["read", "search"], ["group:a"], None)
    assert made["key"] not in guarded.printed
    for kept in guarded.data.glob("catalogue.db*"):
        assert made["key"].encode() not in kept.read_bytes()


def test_a_key_sees_what_its_labels_let_it_see(guarded: RunningServer, admin: Caller) -> None:
    secret = admin.sent("labelled", "The heron nests in the old willow.", readers=["group:birds"])
    open_ = admin.sent("labelled", "The heron fishes at the weir.")
    birds = Caller(guarded, admin.made(scopes=["search", "read"], labels=["group:birds"])["key"])
    others = Caller(guarded, admin.made(scopes=["search", "read"], labels=["group:fish"])["key"])
    assert {secret, open_} <= birds.found("where is the heron")
    assert secret not in others.found("where is the heron")
    assert birds("GET", f"/v1/documents/{secret}").status_code == 200
    for path in ("", "/content", "/text", "/chunks", "/elements"):
        assert_problem(others("GET", f"/v1/documents/{secret}{path}"), 404, "not_found")


@pytest.mark.parametrize("named", [True, False])
def test_a_key_can_neither_overwrite_nor_open_a_document_that_it_does_not_see(
    guarded: RunningServer, admin: Caller, named: bool
) -> None:
    """By its external id, or by its content."""
    text = f"The ledger of the eel trade, {named}."
    identity = {"external_id": "ledger"} if named else {}
    hidden = admin.sent("ledgers", text, readers=["group:books"], title="Secret ledger", **identity)
    writer = Caller(guarded, admin.made(scopes=["search", "read", "write"], labels=["user:me"])["key"])
    for sent in [text, "Something else."] if named else [text]:
        body = {"text": sent, "readers": ["user:me"], **identity}
        refused = writer("POST", "/v1/collections/ledgers/documents", body)
        assert "Secret" not in assert_problem(refused, 409, "conflict")["detail"]
        (batched,) = writer("POST", "/v1/collections/ledgers/documents:batch", {"documents": [body]}).json()["data"]
        assert batched["status"] == 409
    shown = admin("GET", f"/v1/documents/{hidden}").json()
    assert (shown["version"], shown["readers"], shown["title"]) == (1, ["group:books"], "Secret ledger")
    assert_problem(writer("GET", f"/v1/documents/{hidden}"), 404, "not_found")
    assert hidden not in writer.found("ledger of the eel trade")


def test_a_key_that_is_restricted_to_collections_sees_no_other(guarded: RunningServer, admin: Caller) -> None:
    inside = admin.sent("inside", "The bittern booms in the reeds.")
    outside = admin.sent("outside", "The bittern booms at dusk.")
    caller = Caller(guarded, admin.made(scopes=["search", "read", "admin"], collections=["inside"])["key"])
    assert caller.found("bittern booms") == {inside}
    assert [one["name"] for one in caller("GET", "/v1/collections").json()["data"]] == ["inside"]
    assert_problem(caller("GET", f"/v1/documents/{outside}"), 404, "not_found")
    assert_problem(caller("GET", "/v1/collections/outside"), 404, "not_found")
    for method, path in (("GET", "/v1/keys"), ("DELETE", "/v1/keys/x"), ("POST", "/v1/keys/x:rotate")):
        assert_problem(caller(method, path), 403, "forbidden")
    refused = caller("POST", "/v1/keys", {"name": "more", "scopes": ["search"]})
    assert "give itself more" in assert_problem(refused, 403, "forbidden")["detail"]


def test_a_revoked_key_ends_within_five_seconds_and_says_so(guarded: RunningServer, admin: Caller) -> None:
    made = admin.made(scopes=["read"])
    caller = Caller(guarded, made["key"])
    assert caller("GET", "/v1/documents").status_code == 200
    assert admin("DELETE", f"/v1/keys/{made['id']}").status_code == 204
    assert eventually(lambda: caller("GET", "/v1/documents").status_code == 401, within_s=5)
    assert "revoked" in assert_problem(caller("GET", "/v1/documents"), 401, "unauthorized")["detail"]


def test_a_key_expires(guarded: RunningServer, admin: Caller) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    made = admin.made(scopes=["read"], expires_at=soon.isoformat())
    caller = Caller(guarded, made["key"])
    assert caller("GET", "/v1/documents").status_code == 200
    assert eventually(lambda: caller("GET", "/v1/documents").status_code == 401, within_s=5)
    assert "expired" in assert_problem(caller("GET", "/v1/documents"), 401, "unauthorized")["detail"]


def test_a_rotated_key_and_its_successor_both_work_for_the_overlap(guarded: RunningServer, admin: Caller) -> None:
    made = admin.made(scopes=["read"], labels=["group:a"])
    reply = admin("POST", f"/v1/keys/{made['id']}:rotate?overlap_s=2")
    assert reply.status_code == 201, reply.text
    rotated = reply.json()
    assert rotated["key"] != made["key"]
    assert (rotated["scopes"], rotated["labels"], rotated["name"]) == (["read"], ["group:a"], "test")
    old, new = Caller(guarded, made["key"]), Caller(guarded, rotated["key"])
    assert [one("GET", "/v1/documents").status_code for one in (old, new)] == [200, 200]
    assert eventually(lambda: old("GET", "/v1/documents").status_code == 401, within_s=7)
    assert new("GET", "/v1/documents").status_code == 200
    assert_problem(admin("POST", f"/v1/keys/{made['id']}:rotate"), 409, "conflict")


def test_what_is_no_key_is_told_so(guarded: RunningServer, admin: Caller) -> None:
    secret = admin.made(scopes=["read"])["key"]
    for key, words in (
        (secret[:-1], "no key of ragstone's"),
        (secret[:-1] + ("a" if secret[-1] != "a" else "b"), "no key of ragstone's"),
        ("x" * 5_000, "no key of ragstone's"),
    ):
        problem = assert_problem(Caller(guarded, key)("GET", "/v1/documents"), 401, "unauthorized")
        assert words in problem["detail"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "x", "scopes": []}, "/scopes"),
        ({"name": "x", "scopes": ["everything"]}, "/scopes/0"),
        ({"name": "", "scopes": ["read"]}, "/name"),
        ({"name": "a\nb", "scopes": ["read"]}, "/name"),
        ({"name": "x" * 201, "scopes": ["read"]}, "/name"),
        ({"name": "x", "scopes": ["read"], "labels": ["*"]}, "/labels/0"),
        ({"name": "x", "scopes": ["read"], "labels": [f"l{n}" for n in range(2_001)]}, "/labels"),
        ({"name": "x", "scopes": ["read"], "collections": []}, "/collections"),
        ({"name": "x", "scopes": ["read"], "collections": ["nowhere"]}, "/collections/0"),
        ({"name": "x", "scopes": ["read"], "expires_at": "tomorrow"}, "/expires_at"),
        ({"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"name": "x", "scopes": ["read"], "tenant": "other"}, "/tenant"),
        ({"scopes": ["read"]}, "/name"),
    ],
)
def test_a_key_that_cannot_be_made_is_refused_with_a_pointer(admin: Caller, body: Json, pointer: str) -> None:
    problem = assert_problem(admin("POST", "/v1/keys", body), 422, "invalid_request")
    assert pointer in {one["pointer"] for one in problem["errors"]}


def test_the_command_makes_a_tenant_beside_a_running_server_and_nothing_passes_between_tenants(
    guarded: RunningServer, admin: Caller
) -> None:
    done = command(guarded, "create", "--tenant", "acme", "--labels", "a,b", "--scopes", "search,read,write", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["tenant"], made["scopes"], made["labels"]) == ("acme", ["read", "search", "write"], ["a", "b"])
    acme = Caller(guarded, made["key"])
    ours = admin.sent("shared-name", "The kingfisher burrows in the bank.")
    theirs = acme.sent("shared-name", "The kingfisher dives from the alder.")
    assert acme.found("kingfisher") == {theirs}
    assert theirs not in admin.found("kingfisher")
    assert_problem(acme("GET", f"/v1/documents/{ours}"), 404, "not_found")
    assert made["id"] not in {one["id"] for one in admin("GET", "/v1/keys").json()["data"]}
    assert_problem(admin("DELETE", f"/v1/keys/{made['id']}"), 404, "not_found")
    listed = json.loads(command(guarded, "list", "--tenant", "acme", "--json").stdout)
    assert [one["id"] for one in listed] == [made["id"]]
    assert command(guarded, "revoke", made["id"], "--tenant", "acme").returncode == 0
    assert eventually(lambda: acme("GET", "/v1/documents").status_code == 401, within_s=5)


def test_the_drop_folder_is_its_tenants_and_nobody_elses(guarded: RunningServer, admin: Caller) -> None:
    made = json.loads(command(guarded, "create", "--tenant", "dropless", "--scopes", "admin", "--json").stdout)
    theirs = Caller(guarded, made["key"])
    admin("POST", "/v1/collections", {"name": "corner"})
    restricted = Caller(guarded, admin.made(scopes=["admin"], collections=["corner"])["key"])
    for method, path in (
        ("GET", "/v1/drop-folder"),
        ("POST", "/v1/drop-folder:confirm"),
        ("POST", "/v1/drop-folder:discard"),
    ):
        assert_problem(theirs(method, path), 404, "not_found")
        assert_problem(restricted(method, path), 403, "forbidden")
        assert admin(method, path).status_code == 200


def test_the_command_says_in_one_line_what_is_wrong(guarded: RunningServer) -> None:
    for arguments in (
        ("create", "--scopes", "everything"),
        ("create", "--scopes", "read", "--tenant", "../x"),
        ("create", "--scopes", "read", "--labels", "*"),
        ("revoke", "nothing"),
    ):
        done = command(guarded, *arguments)
        assert (done.returncode, done.stdout) == (78, "")
        assert done.stderr.startswith("ragstone: ")
        assert done.stderr.count("\n") == 1


def test_a_key_made_before_the_first_start_is_asked_for_from_then_on(tmp_path: Path) -> None:
    running = RunningServer(tmp_path / "data", environment={"RAGSTONE_HOST": "0.0.0.0"})
    made = json.loads(command(running, "create", "--scopes", "admin", "--json").stdout)
    try:
        running.start()
        running.url = running.url.replace("0.0.0.0", "127.0.0.1")
        assert_problem(running.http.get(running.url + "/v1/documents"), 401, "unauthorized")
        assert Caller(running, made["key"])("GET", "/v1/documents").status_code == 200
        assert running.stop() == 0, running.printed
    finally:
        running.end()


def test_without_a_key_making_one_is_a_409_with_the_remedy(server: RunningServer) -> None:
    problem = assert_problem(server.http.post("/v1/keys", json={"name": "ci", "scopes": ["search"]}), 409, "conflict")
    assert "RAGSTONE_BOOTSTRAP_KEY_FILE" in problem["detail"]
    assert "32 to 200" in problem["detail"]
    assert server.http.get("/v1/keys").json()["data"] == []


@pytest.mark.parametrize("decision", ["delete", "reprocess"])
def test_many_documents_are_those_that_the_key_sees(guarded: RunningServer, admin: Caller, decision: str) -> None:
    collection = f"many-{decision}"
    mine, theirs, everybodys = (
        admin.sent(collection, f"The ferry of {who} leaves at noon.", readers=readers)
        for who, readers in (("ann", ["user:ann"]), ("bob", ["user:bob"]), ("all", None))
    )
    caller = Caller(guarded, admin.made(scopes=["write", "delete", "read"], labels=["user:ann"])["key"])
    body = {"collection": collection, "filter": {}}
    reply = caller("POST", f"/v1/documents:{decision}", body)
    assert (reply.status_code, reply.json()) == (202, {"matched": 2, "accepted": 2})
    versions = [admin("GET", f"/v1/documents/{one}").json()["version"] for one in (mine, theirs, everybodys)]
    assert versions == [2, 1, 2]
    admin("POST", "/v1/collections", {"name": f"not-{collection}"})
    elsewhere = Caller(guarded, admin.made(scopes=["write", "delete"], collections=[f"not-{collection}"])["key"])
    assert_problem(elsewhere("POST", f"/v1/documents:{decision}", body), 404, "not_found")
    needed = "delete" if decision == "delete" else "write"
    reader = Caller(guarded, admin.made(scopes=["read", "write" if decision == "delete" else "delete"])["key"])
    assert needed in assert_problem(reader("POST", f"/v1/documents:{decision}", body), 403, "forbidden")["detail"]


def test_a_page_that_a_key_may_not_see_is_a_404_as_if_it_were_absent(guarded: RunningServer, admin: Caller) -> None:
    document = admin.sent("paged", "The ferry has no pages.", readers=["user:ann"])
    ann, bob = (
        Caller(guarded, admin.made(scopes=["read"], labels=[label])["key"]) for label in ("user:ann", "user:bob")
    )
    absent = assert_problem(bob("GET", "/v1/documents/none/pages/1"), 404, "not_found")
    hidden = assert_problem(bob("GET", f"/v1/documents/{document}/pages/1"), 404, "not_found")
    assert hidden["detail"] == absent["detail"]
    assert "text/plain" in assert_problem(ann("GET", f"/v1/documents/{document}/pages/1"), 404, "not_found")["detail"]
    searcher = Caller(guarded, admin.made(scopes=["search"])["key"])
    assert_problem(searcher("GET", f"/v1/documents/{document}/pages/1"), 403, "forbidden")
