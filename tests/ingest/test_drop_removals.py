"""A file that is gone takes its document with it, unless too much is gone at once."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.drop_folder import WatchTimes
from retrieval.errors import NotFound
from tests.corpus import Corpus
from tests.dropping import Drop


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


def _three(drop: Drop) -> None:
    for name in "abc":
        drop.put(f"docs/{name}.txt", f"Otter {name}.")
    drop.work()


def _emptied(drop: Drop) -> None:
    shutil.rmtree(drop.root)
    drop.root.mkdir()


def _decide(drop: Drop, *, delete: bool) -> int:
    return drop.corpus.catalogue.drop_files.decide_held(delete=delete)


def test_an_empty_root_deletes_nothing_that_nobody_confirmed(drop: Drop) -> None:
    _three(drop)
    drop.put("other/x.txt")
    drop.work()
    _emptied(drop)
    drop.scan(3)
    assert len(drop.documents) == 4
    assert [file.path for file in drop.report.held] == ["docs/a.txt", "docs/b.txt", "docs/c.txt", "other/x.txt"]


def test_the_deletion_of_everything_can_be_confirmed(drop: Drop) -> None:
    _three(drop)
    _emptied(drop)
    drop.scan(2)
    assert _decide(drop, delete=True) == 3
    drop.work()
    assert (drop.documents, drop.report.held, drop.corpus.catalogue.drop_files.all()) == ({}, [], {})


def test_the_absence_of_everything_can_be_discarded(drop: Drop) -> None:
    _three(drop)
    _emptied(drop)
    drop.scan(2)
    assert _decide(drop, delete=False) == 3
    drop.scan(3)
    assert (len(drop.documents), drop.report.held) == (3, [])


def test_the_last_file_of_a_folder_is_held_too(drop: Drop) -> None:
    drop.put("docs/a.txt")
    drop.work()
    (drop.root / "docs" / "a.txt").unlink()
    drop.scan(3)
    assert [file.path for file in drop.report.held] == ["docs/a.txt"]


def test_a_disk_that_is_mounted_again_leaves_everything_as_it_was(drop: Drop) -> None:
    _three(drop)
    before = drop.documents
    drop.root.rename(drop.root.with_name("elsewhere"))
    drop.root.mkdir()
    drop.scan(3)
    assert len(drop.report.held) == 3
    drop.root.rmdir()
    drop.root.with_name("elsewhere").rename(drop.root)
    drop.scan(2)
    assert (drop.documents, drop.report.held) == (before, [])


@pytest.mark.parametrize("decided", [False, True])
def test_a_vanished_root_deletes_nothing_and_holds_nothing_more(drop: Drop, decided: bool) -> None:
    _mass_deletion(drop)
    held = drop.report.held
    if decided:
        _decide(drop, delete=True)
    shutil.rmtree(drop.root)
    drop.scan(3)
    assert len(drop.documents) == 5
    assert drop.report.held == ([] if decided else held)
    drop.root.mkdir()
    drop.scan(3)
    assert len(drop.documents) == (2 if decided else 5)
    assert len(drop.report.held) == (2 if decided else 5)


def test_an_empty_folder_on_another_device_is_an_unmounted_disk(drop: Drop, other_device: Path) -> None:
    _three(drop)
    shutil.rmtree(drop.root)
    drop.root.symlink_to(other_device)
    drop.scan(3)
    assert (len(drop.documents), drop.report.held) == (3, [])


@pytest.fixture
def other_device(tmp_path: Path) -> Iterator[Path]:
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no folder on a second device")
    folder = Path(tempfile.mkdtemp(dir=shared_memory))
    yield folder
    folder.rmdir()


def test_a_confirmed_deletion_takes_nothing_with_it_that_goes_missing_later(drop: Drop) -> None:
    _mass_deletion(drop)
    assert _decide(drop, delete=True) == 3
    _emptied(drop)
    drop.scan(3)
    assert drop.documents.keys() == {"docs/d.txt", "other/x.txt"}
    drop.put("new/y.txt", "A new otter.")
    drop.scan(3)
    assert drop.documents.keys() == {"docs/d.txt", "other/x.txt", "new/y.txt"}
    assert [file.path for file in drop.report.held] == ["docs/d.txt", "other/x.txt"]


def test_refused_files_without_a_document_are_forgotten_once_they_are_gone(drop: Drop) -> None:
    drop.put("docs/a.txt")
    for n in range(3):
        drop.put(f"Bad Name/{n}.txt", f"Otter {n}.")
    drop.work()
    assert len(drop.report.refused) == 3
    shutil.rmtree(drop.root / "Bad Name")
    drop.scan()
    assert (drop.report.refused, drop.report.held) == ([], [])
    assert drop.corpus.catalogue.drop_files.all().keys() == {"docs/a.txt"}


def test_they_are_forgotten_also_when_nothing_else_is_there(drop: Drop) -> None:
    drop.put("Bad Name/a.txt")
    drop.scan(2)
    _emptied(drop)
    drop.scan()
    assert drop.corpus.catalogue.drop_files.all() == {}


def test_files_whose_documents_are_gone_already_wait_for_no_decision(drop: Drop) -> None:
    _three(drop)
    for document in drop.documents.values():
        drop.corpus.catalogue.documents.delete(drop.corpus.admin, document.id)
    drop.corpus.work()
    _emptied(drop)
    drop.scan(2)
    assert (drop.report.held, drop.corpus.catalogue.drop_files.all()) == ([], {})


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
