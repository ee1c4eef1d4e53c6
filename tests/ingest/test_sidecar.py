"""A sidecar describes its file, and what it does not say any more is not so any more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ingest.sidecar import read_sidecar
from retrieval.documents import Attributes, Document, DocumentState
from tests.corpus import reader
from tests.dropping import Drop

SIDECAR = {"title": "T", "metadata": {"year": 2024}, "readers": ["user:ann"], "external_id": "e"}
BEDROCK = {
    "metadataAttributes": {
        "year": 2024,
        "kind": {"value": {"type": "STRING", "stringValue": "x"}, "includeForEmbedding": True},
        "n": {"value": {"type": "NUMBER", "numberValue": 1.5}},
        "tags": {"value": {"type": "STRING_LIST", "stringListValue": ["a", "b"]}},
    }
}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_sidecar_describes_its_file_and_may_come_before_or_after_it(drop: Drop, when: str) -> None:
    if when == "before":
        drop.describe("b.txt", SIDECAR)
        drop.scan()
        assert drop.documents == {}
    drop.put("b.txt")
    if when == "after":
        drop.work()
        assert drop.document("b.txt").title == "b.txt"
        drop.describe("b.txt", SIDECAR)
    drop.work()
    document = drop.document("b.txt")
    assert (document.title, document.metadata, document.readers) == ("T", {"year": 2024}, ("user:ann",))
    assert (document.external_id, document.identity_value) == ("e", "b.txt")
    assert document.state is DocumentState.SEARCHABLE


def test_a_sidecar_may_be_written_as_bedrock_users_do(drop: Drop) -> None:
    drop.put("docs/a.txt", sidecar=BEDROCK)
    drop.work()
    assert drop.document().metadata == {"year": 2024, "kind": "x", "n": 1.5, "tags": ["a", "b"]}


@pytest.mark.parametrize(
    "sidecar",
    [
        "{",
        "[]",
        "\ud7ff" * 3,
        {"titel": "T"},
        {"title": 1},
        {"title": ""},
        {"readers": "ann"},
        {"readers": [1]},
        {"readers": ["*"]},
        {"metadata": []},
        {"metadata": {"a": {"b": 1}}},
        '{"metadata": {"a": NaN}}',
        {"metadataAttributes": []},
        {"metadataAttributes": {"a": {"value": {}}}},
        {"metadataAttributes": {"a": 1}, "metadata": {"a": 1}},
        '{"readers": ["group:a"], "readers": ["group:b"]}',
        {"readers": [f"user:{n}" for n in range(65)]},
        {"external_id": "a\x01b"},
        '{"\\ud800\\u0000": 1}',
        '{"title": "\\ud800"}',
        '{"metadata": {"\\ud800": 1}}',
        {"x" * 2_000_000: 1},
        "",
        "[" * 100_000,
    ],
)
def test_a_malformed_sidecar_refuses_its_file_until_it_is_mended(drop: Drop, sidecar: Any) -> None:
    drop.put("docs/a.txt", sidecar=sidecar)
    drop.work()
    document = drop.document()
    assert document.state is DocumentState.FAILED
    assert document.code == "invalid_metadata"
    assert [file.path for file in drop.report.refused] == ["docs/a.txt"]
    drop.scan(2)
    assert drop.document().version == 1
    drop.describe("docs/a.txt", {"title": "Mended"})
    drop.work()
    assert (drop.document().state, drop.document().title) == (DocumentState.SEARCHABLE, "Mended")
    assert drop.report.refused == []


def test_a_sidecar_that_is_there_and_cannot_be_read_refuses_its_file(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path / "none") is None
    assert read_sidecar(tmp_path / ("n" * 250)) is None
    (tmp_path / "readers.json").write_text('{"readers": ["group:secret"]}')
    (tmp_path / "link.metadata.json").symlink_to(tmp_path / "readers.json")
    os.mkfifo(tmp_path / "pipe.metadata.json")
    for name in ("link", "pipe"):
        assert read_sidecar(tmp_path / name) == b""


# --- what a sidecar said and says no longer ----------------------------------------------------------------------


def _said(document: Document) -> tuple[Any, ...]:
    return document.title, dict(document.metadata), document.readers, document.external_id


NOTHING = ("a.txt", {}, ("*",), None)


@pytest.mark.parametrize("edited", [False, True], ids=["same content", "edited too"])
@pytest.mark.parametrize("left", [None, {}, {"title": None, "readers": None}], ids=["removed", "empty", "nulls"])
def test_what_a_sidecar_gave_is_taken_back_with_it(drop: Drop, left: Any, edited: bool) -> None:
    file = drop.put("docs/a.txt", sidecar=SIDECAR)
    drop.work()
    if left is None:
        (drop.root / "docs/a.txt.metadata.json").unlink()
    else:
        drop.describe("docs/a.txt", left)
    if edited:
        file.write_text("An edited otter.")
    drop.work()
    assert _said(drop.document()) == NOTHING
    assert drop.document().state is DocumentState.SEARCHABLE
    assert len(drop.corpus.hits("otter", reader(drop.corpus))) == 1
    before = drop.document()
    drop.scan(3)
    assert drop.document() == before


@pytest.mark.parametrize("field", sorted(SIDECAR))
def test_a_field_that_leaves_the_sidecar_is_taken_back_alone(drop: Drop, field: str) -> None:
    drop.put("docs/a.txt", sidecar=SIDECAR)
    drop.work()
    drop.describe("docs/a.txt", {name: value for name, value in SIDECAR.items() if name != field})
    drop.work()
    names = ("title", "metadata", "readers", "external_id")
    given = ("T", {"year": 2024}, ("user:ann",), "e")
    assert _said(drop.document()) == tuple(NOTHING[n] if name == field else given[n] for n, name in enumerate(names))


def test_readers_that_are_taken_back_are_the_collections_default(drop: Drop) -> None:
    drop.corpus.collection("docs", readers=("group:staff",))
    drop.put("docs/a.txt", sidecar={"readers": ["user:ann"]})
    drop.work()
    drop.describe("docs/a.txt", {"title": "T"})
    drop.work()
    assert drop.document().readers == ("group:staff",)


def test_a_title_that_is_taken_back_leaves_the_parsed_one_and_the_embedding_of_it(drop: Drop) -> None:
    drop.put("docs/a.txt", "An otter.")
    drop.work()
    parsed = drop.document().title
    drop.describe("docs/a.txt", {"title": "Walrus"})
    drop.work()
    assert drop.document().title == "Walrus"
    (drop.root / "docs/a.txt.metadata.json").unlink()
    drop.work()
    assert (drop.document().title, drop.document().title_given) == (parsed, False)
    assert drop.document().live_version == 3


def test_what_was_patched_stays_where_no_sidecar_said_it(drop: Drop) -> None:
    file = drop.put("docs/a.txt")
    drop.work()
    said = Attributes(title="Patched", metadata={"by": "api"}, readers=("user:bob",))
    drop.corpus.catalogue.documents.patch(drop.corpus.admin, drop.document().id, said, readers_reset=False)
    drop.work()
    drop.restart()
    file.write_text("An edited otter.")
    drop.work()
    assert _said(drop.document()) == ("Patched", {"by": "api"}, ("user:bob",), None)
    drop.describe("docs/a.txt", {"external_id": "e"})
    drop.work()
    assert _said(drop.document()) == ("Patched", {"by": "api"}, ("user:bob",), "e")
    (drop.root / "docs/a.txt.metadata.json").unlink()
    drop.work()
    assert _said(drop.document()) == ("Patched", {"by": "api"}, ("user:bob",), None)


def test_a_sidecar_that_breaks_widens_nothing_and_its_end_still_takes_back(drop: Drop) -> None:
    drop.put("docs/a.txt", sidecar=SIDECAR)
    drop.work()
    drop.describe("docs/a.txt", "{")
    drop.work()
    document = drop.document()
    assert (document.state, document.code, document.live_version) == (DocumentState.FAILED, "invalid_metadata", 1)
    assert _said(document) == ("T", {"year": 2024}, ("user:ann",), "e")
    assert drop.corpus.hits("otter", reader(drop.corpus)) == []
    (drop.root / "docs/a.txt.metadata.json").unlink()
    drop.work()
    assert _said(drop.document()) == NOTHING


def test_a_sidecar_holds_also_while_its_file_is_refused(drop: Drop) -> None:
    file = drop.put("docs/a.txt")
    drop.work()
    file.write_text("")
    drop.describe("docs/a.txt", {"readers": ["user:ann"]})
    drop.work()
    document = drop.document()
    assert (document.code, document.live_version, document.readers) == ("empty_file", 1, ("user:ann",))
    assert drop.corpus.hits("otter", reader(drop.corpus)) == []


def test_readers_may_stand_beside_metadata_as_bedrock_users_write_it(drop: Drop) -> None:
    drop.put("docs/a.txt", sidecar={"metadataAttributes": {"year": 2024}, "readers": ["user:ann"]})
    drop.work()
    assert (drop.document().metadata, drop.document().readers) == ({"year": 2024}, ("user:ann",))


@pytest.mark.parametrize("name", ["a.metadata.json", "b.txt.metadata.json", "A.TXT.metadata.json"])
def test_a_sidecar_without_its_file_is_reported_until_the_file_is_there(drop: Drop, name: str) -> None:
    drop.put("docs/a.txt")
    (drop.root / "docs" / name).write_text('{"readers": ["user:ann"]}')
    drop.scan(2)
    [refused] = drop.report.refused
    assert (refused.path, refused.document_id) == (f"docs/{name}", "")
    assert (refused.refused or "").startswith("invalid_metadata: There is no file")
    drop.put(f"docs/{name.removesuffix('.metadata.json')}", "Its file.")
    drop.scan(2)
    assert drop.report.refused == []


def test_a_link_as_a_sidecar_refuses_its_file(drop: Drop, tmp_path: Path) -> None:
    (tmp_path / "side").write_text('{"title": "stolen"}')
    drop.put("docs/a.txt")
    (drop.root / "docs" / "a.txt.metadata.json").symlink_to(tmp_path / "side")
    drop.work()
    assert (drop.document().title, drop.document().code) == ("a.txt", "invalid_metadata")
