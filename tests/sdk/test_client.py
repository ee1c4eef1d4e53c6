"""The SDK against a real server: every noun, on both clients."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ragstone import AsyncClient, Client
from ragstone.calls import place
from ragstone.errors import Conflict, Invalid, NotFound, RagstoneError, TooLarge, UnsupportedType
from ragstone.models import Document, Problem
from tests.made_files import pdf
from tests.running import RunningServer, eventually
from tests.sdk.scripted_server import Reply, ScriptedServer, problem

HARBOUR = "The harbour office opens at nine. The ferry to Skarrow waits for nobody."


@pytest.fixture(scope="module")
def harbour(server: RunningServer) -> Document:
    """A searchable document in a collection of its own."""
    with Client(server.url) as client:
        client.collections.create("sdk-harbour")
        sent = client.documents.upload_text("sdk-harbour", HARBOUR, title="Harbour", metadata={"year": 2024})
        return client.documents.wait(sent.id)


def test_a_file_goes_up_and_is_read_back(client: Client, tmp_path: Path) -> None:
    client.collections.create("sdk-files", description="files")
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf("The lens froze.", "It was thawed with warm water."))
    sent = client.documents.upload(
        "sdk-files", path, external_id="r/1", title="Report", metadata={"tags": ["lens"]}, readers=["group:a"]
    )
    found = client.documents.wait(sent.id)
    assert (found.state, found.title, found.metadata, found.readers) == (
        "searchable",
        "Report",
        {"tags": ["lens"]},
        ["group:a"],
    )
    assert client.documents.content(found.id) == path.read_bytes()
    text = client.documents.text(found.id)
    chunks = list(client.documents.chunks(found.id))
    assert "thawed" in text
    assert [text[one.locator.char_start : one.locator.char_end] for one in chunks] == [one.text for one in chunks]
    assert {"The lens froze.", "It was thawed with warm water."} <= {
        e.text for e in client.documents.elements(found.id)
    }
    assert client.chunks.get(chunks[0].id).document_id == found.id
    assert [one.id for one in client.documents.list(external_id="r/1")] == [found.id]


def test_bytes_streams_and_texts_go_up_too(client: Client) -> None:
    client.collections.create("sdk-sources")
    sent = [
        client.documents.upload("sdk-sources", b"Bytes about brass.", name="brass.txt"),
        client.documents.upload("sdk-sources", io.BytesIO(b"A stream about steel."), name="steel.txt"),
        client.documents.upload_text("sdk-sources", "# Copper\n\nA text about copper.", media_type="text/markdown"),
    ]
    assert [client.documents.wait(one.id).state for one in sent] == ["searchable"] * 3
    assert [client.documents.get(one.id).media_type for one in sent] == ["text/plain", "text/plain", "text/markdown"]


def test_a_source_that_says_too_little_is_refused_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(ValueError, match=r"name='report\.pdf'"):
        client.documents.upload("sdk-none", b"bytes")
    with pytest.raises(FileNotFoundError, match="upload_text"):
        client.documents.upload("sdk-none", "some text that is no path")


def test_a_batch_answers_for_each_in_order(client: Client) -> None:
    client.collections.create("sdk-batch")
    texts = [{"text": "One about otters."}, {"text": ""}, {"text": "Three about terns.", "external_id": "three"}]
    first, second, third = client.documents.upload_batch("sdk-batch", texts).data
    assert isinstance(first, Document)
    assert isinstance(second, Problem)
    assert isinstance(third, Document)
    assert (second.code, third.external_id) == ("empty_file", "three")


def test_a_list_goes_on_over_its_cursors(client: Client) -> None:
    client.collections.create("sdk-many")
    for start in (0, 125):
        client.documents.upload_batch("sdk-many", [{"text": f"Number {n}."} for n in range(start, start + 125)])
    listing = client.documents.list(collection="sdk-many")
    assert len({one.id for one in listing}) == 250  # the server gives 200 at once
    assert len(list(listing)) == 250  # again, from the start


def test_search_takes_what_the_api_takes(client: Client, harbour: Document) -> None:
    reply = client.search(
        "when does the office open?",
        collections=["sdk-harbour"],
        filter={"metadata.year": {"$gte": 2024}},
        mode="dense",
        top_k=1,
        group_by="document",
        explain=True,
    )
    assert [hit.document_id for hit in reply.hits] == [harbour.id]
    assert reply.timings
    assert client.search("office", collections=["sdk-harbour"], filter={"metadata.year": 1999}).hits == []


def test_answers_and_summaries_are_cited(client: Client, harbour: Document) -> None:
    answer = client.answer("When does the harbour office open?", collections=["sdk-harbour"], length="short")
    assert not answer.abstained
    assert answer.citations[0].quote in HARBOUR
    summary = client.summarize(documents=[harbour.id])
    assert summary.coverage.documents == 1
    assert summary.citations[0].document_id == harbour.id


def test_changes_hold_and_what_is_not_named_stays(client: Client) -> None:
    client.collections.create("sdk-changes", default_readers=["group:a"])
    sent = client.documents.upload_text("sdk-changes", "A text about tides.", title="Tides", readers=["group:b"])
    client.documents.wait(sent.id)
    changed = client.documents.update(sent.id, metadata={"year": 2025})
    assert (changed.title, changed.metadata, changed.readers) == ("Tides", {"year": 2025}, ["group:b"])
    assert client.documents.update(sent.id, readers=None).readers == ["group:a"]
    assert client.collections.update("sdk-changes", description="tides").default_readers == ["group:a"]
    assert client.collections.update("sdk-changes", default_readers=None).default_readers is None
    assert client.documents.reprocess(sent.id).version == 2
    assert client.documents.wait(sent.id).live_version == 2


def test_a_deleted_document_is_gone_and_listed_as_deleted(client: Client) -> None:
    client.collections.create("sdk-deletes")
    sent = client.documents.upload_text("sdk-deletes", "A text about to go.")
    client.documents.wait(sent.id)
    assert client.documents.delete(sent.id).state in {"deleting", "deleted"}
    assert client.search("about to go", collections=["sdk-deletes"]).hits == []
    eventually(
        lambda: [one.id for one in client.documents.list(collection="sdk-deletes", state="deleted")] == [sent.id]
    )
    client.collections.delete("sdk-deletes")
    eventually(lambda: "sdk-deletes" not in {one.name for one in client.collections.list()})


def test_dead_letters_are_seen_tried_again_and_put_away(client: Client) -> None:
    client.collections.create("sdk-letters")
    sent = client.documents.upload("sdk-letters", b"%PDF-1.7 and nothing else", name="broken.pdf")
    assert client.documents.wait(sent.id).state == "failed"
    (letter,) = client.dead_letters.list(collection="sdk-letters")
    assert client.dead_letters.get(letter.id).document_id == sent.id
    assert client.dead_letters.redrive_matching(collection="sdk-letters", dry_run=True).matched == 1
    client.dead_letters.redrive(letter.id)
    assert client.documents.wait(sent.id).state == "failed"
    (again,) = eventually(lambda: list(client.dead_letters.list(collection="sdk-letters", code=letter.code)))
    client.dead_letters.drop(again.id)
    assert list(client.dead_letters.list(collection="sdk-letters")) == []
    since = datetime(2020, 1, 1, tzinfo=UTC)
    assert client.dead_letters.drop_matching(collection="sdk-letters", since=since).matched == 0


def test_the_drop_folder_reports_and_health_is_told(client: Client) -> None:
    assert eventually(lambda: client.drop_folder.get().last_scan)
    assert client.drop_folder.confirm().files == 0
    assert client.drop_folder.discard().files == 0
    client.health.alive()
    assert client.health.ready().ready


def test_errors_have_types_and_carry_the_problem(client: Client, scripted: ScriptedServer) -> None:
    client.collections.create("sdk-errors")
    with pytest.raises(NotFound) as raised:
        client.documents.get("no-such-document")
    assert raised.value.problem.code == "not_found"
    assert raised.value.problem.request_id in str(raised.value)
    with pytest.raises(Conflict):
        client.collections.create("sdk-errors")
    with pytest.raises(Invalid) as invalid:
        client.search("x", filter={"metadata.year": {"$near": 1}})
    assert invalid.value.problem.errors
    with pytest.raises(UnsupportedType):
        client.documents.upload("sdk-errors", bytes(range(256)), name="odd.xyz")
    scripted.replies = [Reply(413, problem(413, "too_large"))]
    with Client(scripted.url) as other, pytest.raises(TooLarge):
        other.documents.upload_text("notes", "x")


def test_a_name_reaches_no_further_than_its_place(client: Client, scripted: ScriptedServer) -> None:
    assert place("/v1/documents/{document}", document="a/../b?c#d") == "/v1/documents/a%2F..%2Fb%3Fc%23d"
    with pytest.raises(ValueError, match=r"'\.\.' is no document"):
        client.documents.delete("..")
    with Client(scripted.url) as other, pytest.raises(NotFound):
        other.documents.delete("x/../../collections/notes")
    assert scripted.asked[0].path == "/v1/documents/x%2F..%2F..%2Fcollections%2Fnotes"


def test_keys_are_asked_for_as_the_api_has_it(scripted: ScriptedServer) -> None:
    made = {
        "id": "k1",
        "name": "laptop",
        "hint": "rs_1",
        "key": "rs_1234",
        "scopes": ["search"],
        "labels": ["group:a"],
        "collections": None,
        "created_at": "2026-01-01T00:00:00Z",
        "expires_at": None,
        "revoked_at": None,
    }
    listed = {"data": [made], "next_cursor": None}
    scripted.replies = [Reply(201, made), Reply(200, listed), Reply(201, made | {"key": "rs_5"}), Reply(200)]
    with Client(scripted.url, key="k" * 32) as client:
        expires = datetime(2027, 1, 1, tzinfo=UTC)
        assert client.keys.create("laptop", scopes=["search"], labels=["group:a"], expires_at=expires).key == "rs_1234"
        assert [key.name for key in client.keys.list()] == ["laptop"]
        assert client.keys.rotate("k1", overlap_s=0).key == "rs_5"
        client.keys.revoke("k1")
        with pytest.raises(ValueError, match="time zone"):
            client.keys.create("laptop", scopes=["search"], expires_at=datetime(2027, 1, 1))
    assert [f"{asked.method} {asked.path}" for asked in scripted.asked] == [
        "POST /v1/keys",
        "GET /v1/keys?limit=200",
        "POST /v1/keys/k1:rotate?overlap_s=0",
        "DELETE /v1/keys/k1",
    ]
    assert b'"expires_at":"2027-01-01T00:00:00+00:00"' in scripted.asked[0].body
    assert {asked.headers["Authorization"] for asked in scripted.asked} == {f"Bearer {'k' * 32}"}


def test_what_acts_on_all_that_match_is_asked_for_as_the_api_has_it(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(200, {"matched": 3, "accepted": 0})]
    with Client(scripted.url) as client:
        assert client.documents.delete_matching("notes", {"pages": 1}, dry_run=True, most=5).matched == 3
        assert client.documents.reprocess_matching("notes").accepted == 0
        client.documents.page_image("d1", 2, chunk="c1")
    assert [f"{asked.method} {asked.path}" for asked in scripted.asked] == [
        "POST /v1/documents:delete",
        "POST /v1/documents:reprocess",
        "GET /v1/documents/d1/pages/2?chunk=c1",
    ]
    assert scripted.asked[0].body == b'{"collection":"notes","filter":{"pages":1},"dry_run":true,"max":5}'


def test_an_event_loop_has_the_same_nouns(server: RunningServer, tmp_path: Path) -> None:
    async def walk() -> None:
        async with AsyncClient(server.url) as client:
            await client.collections.create("sdk-async")
            path = tmp_path / "note.txt"
            path.write_text("The lamp of the lighthouse is lit at dusk.")
            sent = await client.documents.upload("sdk-async", path)
            found = await client.documents.wait(sent.id)
            assert found.state == "searchable"
            hits = (await client.search("when is the lamp lit?", collections=["sdk-async"])).hits
            assert [hit.document_id for hit in hits] == [found.id]
            assert [one.id async for one in client.documents.list(collection="sdk-async")] == [found.id]
            assert len([one async for one in client.documents.chunks(found.id)]) == found.chunks
            with pytest.raises(NotFound):
                await client.documents.get("no-such-document")

    asyncio.run(walk())


def test_many_searches_share_a_client(client: Client, harbour: Document, server: RunningServer) -> None:
    async def together() -> list[str]:
        async with AsyncClient(server.url) as both:
            replies = await asyncio.gather(*(both.search("ferry", collections=["sdk-harbour"]) for _ in range(8)))
            return [reply.hits[0].document_id for reply in replies]

    assert asyncio.run(together()) == [harbour.id] * 8


def test_importing_it_loads_nothing_heavy() -> None:
    script = (
        "import sys, ragstone; from ragstone import Client; "
        "print([name for name in ('rich', 'click', 'pandas', 'langchain_core', 'numpy') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    script = "import sys, ragstone.models; print('httpx2' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_everything_it_raises_has_one_root() -> None:
    assert issubclass(NotFound, RagstoneError)
    with pytest.raises(AttributeError, match="no attribute 'Server'"):
        import_server()


def import_server() -> object:
    import ragstone

    return ragstone.Server
