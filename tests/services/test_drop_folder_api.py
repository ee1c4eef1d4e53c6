"""The drop folder of a running server, seen over HTTP."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.made_files import pdf
from tests.running import RunningServer, eventually


def named(server: RunningServer, source: str) -> dict[str, Any] | None:
    listed = server.documents(filter=json.dumps({"source": source}))
    return listed[0] if listed else None


def final(server: RunningServer, source: str) -> dict[str, Any]:
    found: dict[str, Any] = eventually(lambda: named(server, source))
    return server.finished(found)


def report(server: RunningServer) -> dict[str, Any]:
    reply = server.http.get("/v1/drop-folder")
    assert reply.status_code == 200, reply.text
    shown: dict[str, Any] = reply.json()
    return shown


def put(server: RunningServer, path: str, data: bytes) -> None:
    target = server.drop / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def test_a_file_becomes_a_document_of_the_collection_its_folder_names(server: RunningServer) -> None:
    put(server, "ships/deep/log.txt", b"The brig Aurora sailed on the ninth of May.")
    shown = final(server, "ships/deep/log.txt")
    assert (shown["collection"], shown["state"], shown["title"]) == ("ships", "searchable", "log.txt")
    assert server.hits("brig Aurora", collections=["ships"])[0]["document_id"] == shown["id"]
    put(server, "top.txt", b"A file at the top goes to the default collection.")
    assert final(server, "top.txt")["collection"] == "default"


def test_a_changed_file_is_a_new_version(server: RunningServer) -> None:
    put(server, "ledger/accounts.txt", b"Balance: 12 crowns.")
    first = final(server, "ledger/accounts.txt")
    put(server, "ledger/accounts.txt", b"Balance: 15 crowns and some.")
    second = eventually(lambda: _of_version(server, first["id"], 2))
    assert server.finished(second)["state"] == "searchable"


def _of_version(server: RunningServer, key: str, version: int) -> dict[str, Any] | None:
    shown: dict[str, Any] = server.http.get(f"/v1/documents/{key}").json()
    return shown if shown["version"] == version else None


def test_a_sidecar_gives_attributes_also_when_it_comes_later(server: RunningServer) -> None:
    put(server, "sidecars/chart.pdf", pdf("A chart of the northern reef."))
    first = final(server, "sidecars/chart.pdf")
    sidecar = {"title": "Reef chart", "metadata": {"year": 1860}, "readers": ["group:pilots"], "external_id": "chart-9"}
    put(server, "sidecars/chart.pdf.metadata.json", json.dumps(sidecar).encode())
    shown = eventually(lambda: _titled(server, first["id"], "Reef chart"))
    assert (shown["metadata"], shown["readers"], shown["external_id"]) == (
        {"year": 1860},
        ["group:pilots"],
        "chart-9",
    )
    assert [one["id"] for one in server.documents(external_id="chart-9")] == [first["id"]]
    put(server, "sidecars/bedrock.txt", b"Metadata as Bedrock users write it.")
    put(server, "sidecars/bedrock.txt.metadata.json", b'{"metadataAttributes": {"genre": "log", "n": 3}}')
    eventually(lambda: (named(server, "sidecars/bedrock.txt") or {}).get("metadata") == {"genre": "log", "n": 3})


def _titled(server: RunningServer, key: str, title: str) -> dict[str, Any] | None:
    shown: dict[str, Any] = server.http.get(f"/v1/documents/{key}").json()
    return shown if shown["title"] == title else None


def test_a_removed_file_is_a_delete_after_its_grace_time(server: RunningServer) -> None:
    for i in range(3):
        put(server, f"leaving/{i}.txt", f"Number {i} of three files.".encode())
    documents = [final(server, f"leaving/{i}.txt") for i in range(3)]
    (server.drop / "leaving/1.txt").unlink()
    eventually(lambda: server.http.get(f"/v1/documents/{documents[1]['id']}").json()["state"] == "deleted")
    for i in (0, 2):
        assert server.http.get(f"/v1/documents/{documents[i]['id']}").json()["state"] == "searchable"


@pytest.mark.parametrize("decision", ["confirm", "discard"])
def test_many_files_gone_at_once_are_held_until_somebody_decides(server: RunningServer, decision: str) -> None:
    name = f"held-{decision}"
    for i in range(4):
        put(server, f"{name}/{i}.txt", f"File {i} of {name}.".encode())
    documents = [final(server, f"{name}/{i}.txt") for i in range(4)]
    for i in range(3):
        (server.drop / f"{name}/{i}.txt").unlink()

    def held() -> list[dict[str, Any]]:
        return [one for one in report(server)["held"] if one["collection"] == name]

    eventually(lambda: len(held()) == 3)
    assert {one["document_id"] for one in held()} == {document["id"] for document in documents[:3]}
    assert all(one["missing_since"] for one in held())
    states = [server.http.get(f"/v1/documents/{document['id']}").json()["state"] for document in documents]
    assert states == ["searchable"] * 4
    reply = server.http.post(f"/v1/drop-folder:{decision}")
    assert (reply.status_code, reply.json()) == (200, {"files": 3})
    expected = "deleted" if decision == "confirm" else "searchable"

    def decided() -> bool:
        found = [server.http.get(f"/v1/documents/{document['id']}").json()["state"] for document in documents[:3]]
        return found == [expected] * 3 and not held()

    eventually(decided)


def test_what_intake_would_refuse_becomes_a_failed_document_with_that_code(server: RunningServer) -> None:
    put(server, "refusals/empty.txt", b"")
    put(server, "refusals/program.bin", b"\x7fELF" + bytes(range(256)) * 4)
    put(server, "refusals/sidecar.txt", b"A good file with a bad sidecar.")
    put(server, "refusals/sidecar.txt.metadata.json", b"{not json")
    for name, code in (("empty.txt", "empty_file"), ("program.bin", "unsupported_type"),
                       ("sidecar.txt", "invalid_metadata")):  # fmt: skip
        shown = final(server, f"refusals/{name}")
        assert (shown["state"], shown["code"]) == ("failed", code)
    paths = {"refusals/empty.txt", "refusals/program.bin", "refusals/sidecar.txt"}

    def reported() -> dict[str, Any] | None:
        """The scan that found them says so at its end, a moment after their documents are there."""
        refused = {one["path"]: one for one in report(server)["refused"]}
        return refused if paths <= set(refused) else None

    refused = eventually(reported)
    assert refused["refusals/empty.txt"]["reason"].startswith("empty_file")
    assert refused["refusals/empty.txt"]["document_id"]


def test_a_folder_that_is_no_collection_name_is_reported(server: RunningServer) -> None:
    put(server, "Not A Name/file.txt", b"There is no collection this could be in.")
    eventually(lambda: "Not A Name/file.txt" in {one["path"] for one in report(server)["refused"]})


def test_a_name_that_is_no_text_is_reported(server: RunningServer) -> None:
    put(server, "strays/seen.txt", b"Beside a name that is no text.")
    Path(os.fsdecode(os.fsencode(server.drop / "strays") + b"/caf\xe9.txt")).write_bytes(b"Never to be found.")
    shown = eventually(lambda: {one["path"]: one for one in report(server)["refused"]}.get("strays/caf\\xe9.txt"))
    assert shown["reason"].startswith("invalid_name: ")
    assert "rename it" in shown["reason"]
    assert shown["document_id"] is None


def test_what_a_sidecar_gave_is_taken_back_with_it(server: RunningServer) -> None:
    put(server, "sidecars/taken-back.txt", b"A log of the brig Corona.")
    put(server, "sidecars/taken-back.txt.metadata.json", b'{"metadata": {"year": 1861}, "readers": ["group:pilots"]}')
    assert final(server, "sidecars/taken-back.txt")["readers"] == ["group:pilots"]
    (server.drop / "sidecars/taken-back.txt.metadata.json").unlink()
    eventually(lambda: (named(server, "sidecars/taken-back.txt") or {}).get("metadata") == {})
    assert (named(server, "sidecars/taken-back.txt") or {})["readers"] is None


def test_hidden_and_half_written_files_and_links_are_left_alone(server: RunningServer) -> None:
    for name in (".hidden", "half.txt.partial", "half.tmp", "~$open.docx"):
        put(server, f"alone/{name}", b"Never to be found.")
    (server.drop / "alone/link.txt").symlink_to("/etc/hostname")
    put(server, "alone/seen.txt", b"This one is seen.")
    final(server, "alone/seen.txt")
    assert [document["source"] for document in server.documents(collection="alone")] == ["alone/seen.txt"]


def test_a_file_whose_document_was_deleted_is_ignored_until_it_changes(server: RunningServer) -> None:
    put(server, "ignored/a.txt", b"Deleted by API, still in the folder.")
    put(server, "ignored/b.txt", b"Stays.")
    document = final(server, "ignored/a.txt")
    server.http.delete(f"/v1/documents/{document['id']}")
    server.finished(document)
    assert "ignored/a.txt" in report(server)["ignored"]
    before = report(server)["last_scan"]
    eventually(lambda: report(server)["last_scan"] > before)
    assert server.http.get(f"/v1/documents/{document['id']}").json()["state"] == "deleted"
    put(server, "ignored/a.txt", b"Deleted by API, then written again.")
    eventually(lambda: server.http.get(f"/v1/documents/{document['id']}").json()["state"] == "searchable")
    assert "ignored/a.txt" not in report(server)["ignored"]


def test_the_report_has_its_fields(server: RunningServer) -> None:
    eventually(lambda: report(server)["last_scan"])
    assert set(report(server)) == {"last_scan", "held", "refused", "ignored", "waiting"}
