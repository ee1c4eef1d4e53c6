"""Files in the drop folder are documents, and stay in step with it."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.drop_folder import DropFolder, WatchTimes, _read_small
from ingest.intake import IntakeLimits
from ingest.leasing import NamedLease
from retrieval.documents import Document, DocumentState, Stage
from retrieval.errors import NotFound
from retrieval.tasks import Failure
from tests.corpus import Corpus, open_catalogue

AT_ONCE = WatchTimes(scan_s=0.01, settle_s=0, grace_s=0)


class Drop:
    """A drop folder with its watcher; `scan` looks as often as told."""

    def __init__(self, corpus: Corpus, times: WatchTimes = AT_ONCE) -> None:
        self.corpus = corpus
        self.root = corpus.folder / "drop"
        self.root.mkdir(exist_ok=True)
        self.times = times
        self.restart()

    def restart(self, times: WatchTimes | None = None) -> None:
        self.times = times or self.times
        self.watcher = DropFolder(
            root=self.root,
            tenant=self.corpus.tenant,
            catalogue=self.corpus.catalogue,
            intake=self.corpus.intake,
            lease=NamedLease(self.corpus.catalogue.leases, "watcher", holder="w", seconds=60),
            times=self.times,
            hold_share=0.5,
        )

    def put(self, path: str, content: str | bytes = "An otter.", *, sidecar: Any = None) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if sidecar is not None:
            self.describe(path, sidecar)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def describe(self, path: str, sidecar: Any) -> None:
        text = sidecar if isinstance(sidecar, str) else json.dumps(sidecar)
        (self.root / f"{path}.metadata.json").write_text(text)

    def scan(self, times: int = 1) -> None:
        for _ in range(times):
            self.watcher.scan()

    def work(self) -> None:
        self.scan()
        self.corpus.work()

    @property
    def documents(self) -> dict[str, Document]:
        """By path; those that are not gone."""
        found = self.corpus.catalogue.documents.page(self.corpus.admin, limit=200).items
        return {document.identity_value: document for document in found if not document.state.is_gone}

    def document(self, path: str = "docs/a.txt") -> Document:
        return self.documents[path]

    @property
    def report(self) -> Any:
        return self.corpus.catalogue.drop_files.report()


@pytest.fixture
def drop(corpus: Corpus) -> Drop:
    return Drop(corpus)


def test_the_first_folder_is_the_collection_and_files_at_the_top_go_to_default(drop: Drop) -> None:
    drop.put("docs/deep/down/a.txt")
    drop.put("b.txt")
    drop.work()
    assert {path: one.collection for path, one in drop.documents.items()} == {
        "docs/deep/down/a.txt": "docs",
        "b.txt": "default",
    }
    assert drop.document("b.txt").state is DocumentState.SEARCHABLE
    assert drop.report.last_scan == pytest.approx(time.time(), abs=60)


def test_a_growing_file_is_taken_once_and_whole(corpus: Corpus) -> None:
    drop = Drop(corpus, WatchTimes(scan_s=0.01, settle_s=0.15, grace_s=0))
    file = drop.put("docs/a.txt", "")
    whole = ""
    for n in range(8):
        whole += f"Block {n} of the otter.\n"
        file.write_text(whole)
        drop.scan()
        assert drop.documents == {}
        time.sleep(0.03)
    time.sleep(0.2)
    drop.scan()
    document = drop.document()
    assert (document.version, corpus.blobs.read(corpus.tenant, document.sha256).decode()) == (1, whole)
    drop.scan(3)
    assert drop.document() == document


def test_a_file_that_changes_while_it_is_read_is_seen_anew(drop: Drop) -> None:
    file = drop.put("docs/a.txt", b"x" * 3_000_000)
    blocks = drop.watcher._blocks
    touched: list[int] = []

    def touching(seen: Any) -> Any:
        for block in blocks(seen):
            if not touched:
                touched.append(1)
                file.write_text("An otter.")
            yield block

    drop.watcher._blocks = touching  # type: ignore[method-assign, assignment]
    drop.scan()
    assert drop.documents == {}
    drop.scan()
    assert drop.document().bytes == 9


def test_links_are_never_followed(drop: Drop, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "passwd.txt").write_text("root")
    drop.put("docs/a.txt")
    (drop.root / "docs" / "file.txt").symlink_to(secret / "passwd.txt")
    (drop.root / "folder").symlink_to(secret, target_is_directory=True)
    (secret / "side").write_text('{"title": "stolen"}')
    (drop.root / "docs" / "a.txt.metadata.json").symlink_to(secret / "side")
    drop.scan()
    assert drop.documents.keys() == {"docs/a.txt"}
    assert drop.document().title == "a.txt"


def test_a_file_that_became_a_link_after_the_look_is_not_followed(drop: Drop, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("root")
    file = drop.put("docs/a.txt")
    [seen] = drop.watcher._walk([])
    file.unlink()
    file.symlink_to(tmp_path / "secret.txt")
    drop.watcher._unsettled[seen.path] = (seen.signature, 0.0)
    drop.watcher._take(seen, None)
    assert drop.documents == {}


@pytest.mark.parametrize("name", [".hidden", ".git/a.txt", "a.partial", "a.txt.tmp", "~$a.docx", "docs/.a.txt"])
def test_hidden_and_half_written_files_are_left_alone(drop: Drop, name: str) -> None:
    drop.put(name)
    drop.scan(2)
    assert drop.documents == {}


def test_pipes_are_left_alone(drop: Drop) -> None:
    drop.put("docs/a.txt")
    os.mkfifo(drop.root / "docs" / "pipe.txt")
    drop.scan()
    assert drop.documents.keys() == {"docs/a.txt"}


def test_an_unchanged_file_is_never_submitted_twice_also_after_a_restart(drop: Drop) -> None:
    drop.put("docs/a.txt")
    drop.work()
    before = drop.document()
    drop.restart()
    drop.scan(3)
    drop.corpus.catalogue.close()
    drop.corpus.catalogue = open_catalogue(drop.corpus.folder)
    drop.restart()
    drop.scan(3)
    assert drop.document() == before


def test_a_file_whose_document_failed_is_not_submitted_again(drop: Drop) -> None:
    file = drop.put("docs/a.txt")
    drop.scan()
    drop.corpus.catalogue.tasks.failed(drop.corpus.claim(Stage.PARSE), Failure("damaged", "no", permanent=True))
    os.utime(file, (1, 1))
    drop.scan(2)
    drop.restart()
    drop.scan(2)
    assert (drop.document().version, drop.document().state) == (1, DocumentState.FAILED)


def test_a_file_whose_document_was_deleted_by_api_is_ignored_until_it_changes(drop: Drop) -> None:
    file = drop.put("docs/a.txt")
    drop.work()
    drop.corpus.catalogue.documents.delete(drop.corpus.admin, drop.document().id)
    drop.corpus.work()
    os.utime(file, (1, 1))
    drop.scan(2)
    drop.restart()
    drop.scan(2)
    assert drop.documents == {}
    assert drop.report.ignored == ["docs/a.txt"]
    file.write_text("Another otter.")
    drop.work()
    assert (drop.document().state, drop.report.ignored) == (DocumentState.SEARCHABLE, [])


def test_a_touch_is_no_edit_and_an_edit_is_a_new_version(drop: Drop) -> None:
    file = drop.put("docs/a.txt")
    drop.work()
    before = drop.document()
    os.utime(file, (1, 1))
    drop.scan(2)
    assert drop.document() == before
    file.write_text("An edited otter.")
    drop.work()
    after = drop.document()
    assert (after.id, after.live_version) == (before.id, 2)
    assert [hit.chunk.text for hit in drop.corpus.hits("otter")] == ["An edited otter."]


def test_a_rename_is_a_delete_and_a_new_document(drop: Drop) -> None:
    file = drop.put("docs/a.txt")
    drop.put("docs/b.txt", "Another.")
    drop.put("docs/c.txt", "A third.")
    drop.work()
    before = drop.document()
    file.rename(drop.root / "docs" / "renamed.txt")
    drop.scan(2)
    drop.corpus.work()
    assert drop.documents.keys() == {"docs/renamed.txt", "docs/b.txt", "docs/c.txt"}
    assert drop.document("docs/renamed.txt").id != before.id


# --- sidecars ----------------------------------------------------------------------------------------------------

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
        "[" * 100_000,
    ],
)
def test_a_malformed_sidecar_refuses_its_file_until_it_is_mended(drop: Drop, sidecar: Any) -> None:
    drop.put("docs/a.txt", sidecar=sidecar)
    drop.work()
    document = drop.document()
    assert document.state is DocumentState.FAILED
    assert document.code in {"invalid_metadata", "invalid_request"}
    assert [file.path for file in drop.report.refused] == ["docs/a.txt"]
    drop.scan(2)
    assert drop.document().version == 1
    drop.describe("docs/a.txt", {"title": "Mended"})
    drop.work()
    assert (drop.document().state, drop.document().title) == (DocumentState.SEARCHABLE, "Mended")
    assert drop.report.refused == []


# --- what is missing ---------------------------------------------------------------------------------------------


def test_a_removed_file_is_a_delete_after_a_grace_time(corpus: Corpus) -> None:
    drop = Drop(corpus)
    for name in "abcd":
        drop.put(f"docs/{name}.txt", f"Otter {name}.")
    drop.work()
    drop.restart(WatchTimes(scan_s=0.01, settle_s=0, grace_s=0.6))
    (drop.root / "docs" / "a.txt").unlink()
    drop.scan(3)
    assert len(drop.documents) == 4
    time.sleep(0.65)
    drop.work()
    assert drop.documents.keys() == {"docs/b.txt", "docs/c.txt", "docs/d.txt"}
    assert drop.corpus.catalogue.drop_files.all().keys() == drop.documents.keys()


def test_a_file_that_returns_in_its_grace_time_is_not_deleted(corpus: Corpus) -> None:
    drop = Drop(corpus)
    for name in "abc":
        drop.put(f"docs/{name}.txt", f"Otter {name}.")
    drop.work()
    before = drop.document()
    drop.restart(WatchTimes(scan_s=0.01, settle_s=0, grace_s=60))
    (drop.root / "docs" / "a.txt").unlink()
    drop.scan(2)
    drop.put("docs/a.txt", "Otter a.")
    drop.scan(2)
    assert drop.document() == before
    assert drop.corpus.catalogue.drop_files.all()["docs/a.txt"].missing_since is None


@pytest.mark.parametrize("how", ["empty", "vanished"])
def test_an_empty_or_vanished_root_deletes_nothing(drop: Drop, how: str) -> None:
    for name in "abc":
        drop.put(f"docs/{name}.txt", f"Otter {name}.")
    drop.work()
    shutil.rmtree(drop.root)
    if how == "empty":
        drop.root.mkdir()
    drop.scan(3)
    assert len(drop.documents) == 3
    assert drop.report.held == []


def _mass_deletion(drop: Drop) -> None:
    for name in "abcd":
        drop.put(f"docs/{name}.txt", f"Otter {name}.")
    drop.put("other/x.txt")
    drop.work()
    for name in "abc":
        (drop.root / "docs" / f"{name}.txt").unlink()
    drop.scan(3)


def test_more_than_a_share_of_a_collection_gone_at_once_is_held(drop: Drop) -> None:
    _mass_deletion(drop)
    assert len(drop.documents) == 5
    assert [file.path for file in drop.report.held] == ["docs/a.txt", "docs/b.txt", "docs/c.txt"]
    for n in range(10):
        drop.put(f"docs/new{n}.txt", f"New otter {n}.")
    drop.scan(3)
    assert len(drop.report.held) == 3


def test_held_files_are_deleted_when_that_is_confirmed(drop: Drop) -> None:
    _mass_deletion(drop)
    assert drop.corpus.catalogue.drop_files.decide_held(delete=True) == 3
    drop.work()
    assert drop.documents.keys() == {"docs/d.txt", "other/x.txt"}
    assert drop.report.held == []


def test_held_files_stay_documents_when_that_is_discarded(drop: Drop) -> None:
    _mass_deletion(drop)
    assert drop.corpus.catalogue.drop_files.decide_held(delete=False) == 3
    drop.scan(3)
    assert (len(drop.documents), drop.report.held) == (5, [])
    drop.put("docs/a.txt", "Otter a.")
    drop.scan()
    assert drop.document().version == 1


def test_a_held_file_that_returns_is_held_no_more(drop: Drop) -> None:
    _mass_deletion(drop)
    before = drop.document()
    drop.put("docs/a.txt", "Otter a.")
    drop.scan()
    assert drop.document() == before
    assert "docs/a.txt" not in {file.path for file in drop.report.held}


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["Upper", "under_score", "-dash", "x" * 64, "a b", "ä"])
def test_a_folder_that_is_no_collection_name_is_reported(drop: Drop, folder: str) -> None:
    drop.put(f"{folder}/a.txt")
    drop.put("docs/a.txt")
    drop.scan(3)
    assert drop.documents.keys() == {"docs/a.txt"}
    [refused] = drop.report.refused
    assert (refused.path, refused.refused is not None) == (f"{folder}/a.txt", True)
    shutil.move(drop.root / folder, drop.root / "renamed")
    drop.scan(2)
    assert drop.documents.keys() == {"docs/a.txt", "renamed/a.txt"}
    assert drop.report.refused == []


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.txt", b"", "empty_file"),
        ("a.txt", b"x" * 2_000, "too_large"),
        ("a.bin", b"\x7fELF\x02\x01\x01\0" + bytes(100), "unsupported_type"),
        ("a\x01b.txt", b"An otter.", "invalid_name"),
        ("a\\b.txt", b"An otter.", "invalid_name"),
    ],
)
def test_a_refused_file_becomes_a_failed_document_with_its_code(
    corpus: Corpus, name: str, content: bytes, code: str
) -> None:
    drop = Drop(corpus.with_(limits=IntakeLimits(file_bytes=1_000)))
    drop.put(f"docs/{name}", content)
    drop.work()
    [document] = drop.documents.values()
    assert (document.state, document.code) == (DocumentState.FAILED, code)
    [refused] = drop.report.refused
    assert (refused.refused or "").startswith(code)
    drop.scan(3)
    assert next(iter(drop.documents.values())).version == 1
    assert list((corpus.folder / "spool").iterdir()) == []
    drop.put(f"docs/{name}", "A mended otter.")
    drop.work()
    if code != "invalid_name":
        [document] = drop.documents.values()
        assert (document.live_version, drop.report.refused) == (2, [])


def test_a_file_for_a_collection_being_deleted_is_taken_when_its_name_is_free(drop: Drop) -> None:
    drop.put("docs/a.txt")
    drop.work()
    drop.corpus.catalogue.collections.delete(drop.corpus.tenant, "docs")
    drop.put("docs/b.txt", "A new otter.")
    drop.scan(2)
    assert [file.path for file in drop.report.refused] == ["docs/b.txt"]
    drop.corpus.catalogue.collections.take_deletions(limit=10)
    drop.corpus.work()
    drop.corpus.catalogue.collections.take_deletions(limit=10)
    drop.work()
    assert drop.documents.keys() == {"docs/b.txt"}
    assert drop.report.refused == []


_CAPABILITIES = 0x20080522  # version 3 of the two system calls: two words a set
_OVERRIDES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: by which root reads what nobody may


def _without_override(act: Callable[[], None]) -> None:
    """Runs `act` in a thread to which the modes of files apply, also where tests run as root."""
    errors: list[BaseException] = []

    def run() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        header, words = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
        assert libc.capget(header, words) == 0
        words[0] &= ~_OVERRIDES
        assert libc.capset(header, words) == 0
        try:
            act()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    if errors:
        raise errors[0]


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_a_file_or_folder_that_may_not_be_read_is_reported_and_deletes_nothing(drop: Drop) -> None:
    unreadable = drop.put("docs/a.txt")
    for name in "bcd":
        drop.put(f"docs/sub/{name}.txt", f"Otter {name}.")
    drop.work()
    folder = drop.root / "docs" / "sub"
    folder.chmod(0)
    unreadable.write_text("An edited otter.")
    unreadable.chmod(0)
    _without_override(lambda: drop.scan(3))
    folder.chmod(0o700)
    assert len(drop.documents) == 4
    assert all(file.missing_since is None for file in drop.corpus.catalogue.drop_files.all().values())
    [refused] = drop.report.refused
    assert (refused.path, refused.document_id) == ("docs/a.txt", drop.document().id)
    assert (refused.refused or "").startswith("unreadable")
    unreadable.chmod(0o600)
    drop.work()
    assert (drop.report.refused, drop.document().live_version) == ([], 2)


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_a_new_file_that_may_not_be_read_is_taken_as_soon_as_it_may(drop: Drop) -> None:
    file = drop.put("docs/a.txt")
    file.chmod(0)
    _without_override(lambda: drop.scan(2))
    assert (drop.documents, [one.path for one in drop.report.refused]) == ({}, ["docs/a.txt"])
    file.chmod(0o600)
    drop.scan()
    assert drop.documents.keys() == {"docs/a.txt"}
    assert drop.report.refused == []


def test_a_watcher_without_the_lease_leaves_the_folder_alone(drop: Drop) -> None:
    assert drop.corpus.catalogue.leases.hold("watcher", holder="another", seconds=60)
    drop.put("docs/a.txt")
    stop = threading.Event()
    thread = threading.Thread(target=drop.watcher.run, args=(stop,))
    thread.start()
    time.sleep(0.1)
    assert drop.documents == {}
    drop.corpus.catalogue.leases.release("watcher", holder="another")
    deadline = time.monotonic() + 10
    while not drop.documents and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    thread.join(10)
    assert drop.documents.keys() == {"docs/a.txt"}


def test_a_document_of_the_folder_is_deleted_by_its_file_also_when_it_is_gone_already(drop: Drop) -> None:
    for name in "abc":
        drop.put(f"docs/{name}.txt", f"Otter {name}.")
    drop.work()
    drop.corpus.catalogue.documents.delete(drop.corpus.admin, drop.document().id)
    (drop.root / "docs" / "a.txt").unlink()
    drop.scan(3)
    with pytest.raises(NotFound):
        drop.corpus.catalogue.documents.get(drop.corpus.admin, "nowhere")
    assert drop.corpus.catalogue.drop_files.all().keys() == {"docs/b.txt", "docs/c.txt"}


def test_a_sidecar_that_is_there_and_cannot_be_read_refuses_its_file(tmp_path: Path) -> None:
    assert _read_small(tmp_path / "none.metadata.json") is None
    assert _read_small(tmp_path / f"{'n' * 250}.metadata.json") is None
    (tmp_path / "readers.json").write_text('{"readers": ["group:secret"]}')
    (tmp_path / "link.metadata.json").symlink_to(tmp_path / "readers.json")
    os.mkfifo(tmp_path / "pipe.metadata.json")
    for name in ("link", "pipe"):
        assert _read_small(tmp_path / f"{name}.metadata.json") == b""
