"""Files in the drop folder are documents, and stay in step with it."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingest.drop_folder import WatchTimes
from ingest.drop_sight import SeenFile, look
from ingest.intake import IntakeLimits
from retrieval.documents import DocumentState, Stage
from retrieval.tasks import Failure
from tests.corpus import Corpus, open_catalogue
from tests.dropping import Drop


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
    sight = look(drop.root)
    assert sight is not None
    [seen] = sight.files.values()
    file.unlink()
    file.symlink_to(tmp_path / "secret.txt")
    drop.watcher._unsettled[seen.path] = (seen, 0.0)
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


def _a_tick() -> None:
    """Longer than the clock's step in which a file system stamps a change."""
    time.sleep(0.02)


def test_an_edit_that_keeps_size_and_time_is_noticed(drop: Drop) -> None:
    file = drop.put("docs/a.txt", "An otter.")
    drop.work()
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    _a_tick()
    file.write_text("An odder.")
    os.utime(file, ns=times)
    drop.work()
    assert drop.document().live_version == 2
    assert [hit.chunk.text for hit in drop.corpus.hits("odder")] == ["An odder."]


@pytest.mark.parametrize("content", ["An otter.", "", b"\x7fELF\x02\x01\x01\0" + bytes(100), b"x" * 2_000])
def test_a_change_of_mode_is_read_once_and_submits_nothing(corpus: Corpus, content: str | bytes) -> None:
    drop = Drop(corpus.with_(limits=IntakeLimits(file_bytes=1_000)))
    file = drop.put("docs/a.txt", content)
    drop.work()
    before, report = drop.document(), drop.report
    digest, reads = drop.watcher._digest, []

    def counting(seen: SeenFile) -> str:
        reads.append(seen.path)
        return digest(seen)

    drop.watcher._digest = counting  # type: ignore[method-assign]
    _a_tick()
    file.chmod(0o640)
    drop.scan(3)
    drop.restart()
    drop.scan(2)
    assert (drop.document(), reads) == (before, ["docs/a.txt"])
    assert [file.refused for file in drop.report.refused] == [file.refused for file in report.refused]


def test_a_catalogue_that_knows_no_change_time_reads_the_file_and_submits_nothing(drop: Drop) -> None:
    drop.put("docs/a.txt", sidecar={"title": "T"})
    drop.work()
    before = drop.document()
    files = drop.corpus.catalogue.drop_files
    files.remember([replace(files.all()["docs/a.txt"], ctime_ns=0)])
    drop.scan(2)
    assert drop.document() == before
    assert files.all()["docs/a.txt"].ctime_ns > 0


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


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"docs/caf\xe9.txt", "docs/caf\\xe9.txt"),
        (b"docs/sub\xff/a.txt", "docs/sub\\xff/a.txt"),
        (b"\xff\xfe.txt", "\\xff\\xfe.txt"),
        (b"docs/\xed\xa0\x80.txt", "docs/\\xed\\xa0\\x80.txt"),
        (b"docs/caf\xe9.txt.metadata.json", "docs/caf\\xe9.txt.metadata.json"),
    ],
)
def test_a_name_that_is_not_utf8_is_reported_with_the_remedy(drop: Drop, path: bytes, shown: str) -> None:
    drop.put("docs/a.txt")
    stray = Path(os.fsdecode(os.fsencode(drop.root) + b"/" + path))
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_text("An otter.")
    drop.scan(3)
    assert drop.documents.keys() == {"docs/a.txt"}
    [refused] = drop.report.refused
    assert (refused.path, refused.refused) == (shown, "invalid_name: The name is not valid UTF-8; rename it.")
    assert json.dumps(refused.path).encode("utf-8")
    stray.rename(drop.root / "docs" / "renamed.txt")
    drop.scan(2)
    assert drop.report.refused == []
    assert drop.documents.keys() == {"docs/a.txt", "docs/renamed.txt"}


def test_the_shown_form_of_a_stray_name_never_takes_the_place_of_a_document(drop: Drop) -> None:
    named_so = drop.put("docs/caf\\xe9.txt")
    for name in "ab":
        drop.put(f"docs/{name}.txt", f"Otter {name}.")
    drop.scan()
    assert drop.document("docs/caf\\xe9.txt").code == "invalid_name"
    stray = Path(os.fsdecode(os.fsencode(drop.root) + b"/docs/caf\xe9.txt"))
    stray.write_text("An otter.")
    drop.scan(2)
    assert drop.document("docs/caf\\xe9.txt").version == 1
    named_so.unlink()
    drop.scan(3)
    assert drop.documents.keys() == {"docs/a.txt", "docs/b.txt"}
    assert [file.document_id for file in drop.report.refused] == [""]


def test_a_folder_or_a_file_may_take_the_place_of_the_other(drop: Drop) -> None:
    drop.put("docs/other.txt")
    file = drop.put("docs/a.txt")
    drop.work()
    file.unlink()
    drop.put("docs/a.txt/inner.txt", "An inner otter.")
    drop.scan(3)
    assert drop.documents.keys() == {"docs/other.txt", "docs/a.txt/inner.txt"}
    shutil.rmtree(drop.root / "docs" / "a.txt")
    drop.put("docs/a.txt", "An otter again.")
    drop.scan(3)
    assert drop.documents.keys() == {"docs/other.txt", "docs/a.txt"}


def test_a_rename_in_case_alone_is_a_rename(drop: Drop) -> None:
    file = drop.put("docs/a.txt")
    drop.put("docs/b.txt", "Another.")
    drop.work()
    file.rename(file.with_name("A.txt"))
    drop.scan(3)
    assert drop.documents.keys() == {"docs/A.txt", "docs/b.txt"}


def test_one_file_that_meets_a_bug_keeps_no_other_from_being_taken(drop: Drop) -> None:
    drop.put("docs/a.txt")
    drop.put("docs/b.txt", "Another.")
    blocks = drop.watcher._blocks

    def breaking(seen: SeenFile) -> Iterator[bytes]:
        if seen.path == "docs/a.txt":
            raise ZeroDivisionError("a bug")
        return blocks(seen)

    drop.watcher._blocks = breaking  # type: ignore[method-assign]
    drop.scan(2)
    assert drop.documents.keys() == {"docs/b.txt"}
    [refused] = drop.report.refused
    assert (refused.path, refused.refused) == ("docs/a.txt", "internal: ZeroDivisionError: a bug")
    drop.restart()
    drop.scan()
    assert (drop.documents.keys(), drop.report.refused) == ({"docs/a.txt", "docs/b.txt"}, [])


def test_a_scan_ends_between_two_files_when_it_is_told_to(drop: Drop) -> None:
    for name in "abc":
        drop.put(f"docs/{name}.txt", f"Otter {name}.")
    answers = iter([True, True, False])
    drop.watcher.scan(lambda: next(answers))
    assert len(drop.documents) == 2


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
def test_a_folder_that_shows_names_and_nothing_else_deletes_nothing(drop: Drop) -> None:
    for name in ("sub/a", "sub/b", "c", "d", "e"):
        drop.put(f"docs/{name}.txt", f"Otter {name}.")
    drop.work()
    folder = drop.root / "docs" / "sub"
    folder.chmod(0o400)
    _without_override(lambda: drop.scan(3))
    folder.chmod(0o700)
    assert len(drop.documents) == 5
    assert all(file.missing_since is None for file in drop.corpus.catalogue.drop_files.all().values())


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_an_unchanged_file_that_may_be_read_again_is_refused_no_more(drop: Drop) -> None:
    file = drop.put("docs/a.txt")
    drop.work()
    before = drop.document()
    _a_tick()
    file.chmod(0)
    _without_override(lambda: drop.scan(2))
    assert [one.path for one in drop.report.refused] == ["docs/a.txt"]
    file.chmod(0o600)
    drop.scan(2)
    assert (drop.report.refused, drop.document()) == ([], before)


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
