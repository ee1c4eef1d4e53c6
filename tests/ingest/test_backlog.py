"""Intake takes what there is room for: counted seldom, reckoned in between."""

from __future__ import annotations

import threading
import time

import pytest

from ingest.backlog import Backlog
from ingest.drop_folder import WatchTimes
from ingest.intake import IntakeLimits, TextItem
from retrieval.documents import Attributes, Document, DocumentState, Lane, Stage
from retrieval.errors import BacklogFull, CatalogueUnavailable
from tests.corpus import Corpus
from tests.dropping import Drop

FULL_AT_2 = IntakeLimits(inline_bytes=10, backlog=2)


class Counted:
    """What a catalogue would say, and how often it was asked."""

    def __init__(self, found: int = 0) -> None:
        self.found = found
        self.asked: list[int] = []

    def __call__(self, *, at_most: int) -> int:
        self.asked.append(at_most)
        return self.found


def is_full(backlog: Backlog) -> bool:
    try:
        backlog.expect_room()
    except BacklogFull:
        return True
    return False


def test_parses_and_embeddings_are_counted_up_to_the_limit_and_once_for_many_requests() -> None:
    count = Counted(9)
    backlog = Backlog(count, limit=10, believed_s=60)
    for _ in range(1_000):
        backlog.expect_room()
    assert count.asked == [10]


def test_what_was_accepted_since_the_count_counts_too() -> None:
    backlog = Backlog(Counted(7), limit=10, believed_s=60)
    backlog.expect_room()
    backlog.grew(2)
    assert not is_full(backlog)
    backlog.grew(1)
    assert is_full(backlog)


def test_once_the_count_is_old_it_is_asked_again() -> None:
    count = Counted(10)
    backlog = Backlog(count, limit=10, believed_s=0.05)
    assert is_full(backlog)
    count.found = 9
    assert is_full(backlog)
    time.sleep(0.06)
    assert not is_full(backlog)


def test_a_count_that_takes_long_is_believed_the_longer() -> None:
    asked = 0

    def slow(*, at_most: int) -> int:
        nonlocal asked
        asked += 1
        time.sleep(0.05)
        return 0

    backlog = Backlog(slow, limit=10, believed_s=0.01)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        backlog.expect_room()
    assert asked == 1


def test_nobody_waits_for_the_one_who_counts() -> None:
    asked, answer = threading.Event(), threading.Event()

    def slow(*, at_most: int) -> int:
        asked.set()
        assert answer.wait(10)
        return at_most

    backlog = Backlog(slow, limit=10, believed_s=60)
    verdicts: list[bool] = []
    counting = threading.Thread(target=lambda: verdicts.append(is_full(backlog)))
    counting.start()
    assert asked.wait(10)
    assert not is_full(backlog)
    answer.set()
    counting.join(10)
    assert verdicts == [True]
    assert is_full(backlog)


def test_a_catalogue_that_is_away_is_said_to_be_away() -> None:
    def away(*, at_most: int) -> int:
        raise CatalogueUnavailable

    with pytest.raises(CatalogueUnavailable):
        Backlog(away, limit=10).expect_room()


# --- at intake ---


def test_a_full_backlog_refuses_before_anything_is_kept_and_takes_again_once_there_is_room(corpus: Corpus) -> None:
    small = corpus.with_(limits=FULL_AT_2)
    small.send("One otter.", "one")
    small.upload(b"Two otters.", "two.txt")
    kept = sorted((corpus.folder / "blobs").rglob("*"))
    with pytest.raises(BacklogFull, match="2 tasks wait") as full:
        small.send("Three otters that are no inline text.", "three")
    assert full.value.retry_after_s >= 1

    def never_read() -> object:
        raise AssertionError("it was read")
        yield b""

    with pytest.raises(BacklogFull):
        small.intake.spool(never_read())  # type: ignore[arg-type]
    assert list((corpus.folder / "spool").iterdir()) == []
    assert sorted((corpus.folder / "blobs").rglob("*")) == kept
    corpus.work()
    small.send("Three otters that are no inline text.", "three")


def test_a_parse_that_became_an_embedding_still_counts_and_an_erase_does_not(corpus: Corpus) -> None:
    gone = corpus.add("A heron.", "gone")
    corpus.send("An otter.", "a")
    corpus.work(Stage.PARSE)
    corpus.send("An eel.", "b")
    corpus.catalogue.documents.delete(corpus.admin, gone.id)
    tasks = corpus.catalogue.tasks
    assert (tasks.backlog(at_most=9), tasks.open_count()) == (2, 3)


def test_a_batch_for_which_there_is_room_at_its_start_is_taken_whole(corpus: Corpus) -> None:
    intake, collection = corpus.with_(limits=FULL_AT_2).intake, corpus.collection()
    items = [TextItem(f"Otter {n}.", "text/plain", Attributes(), Lane.BULK) for n in range(5)]
    assert all(isinstance(answer, Document) for answer in intake.accept_texts(corpus.admin, collection, items))
    with pytest.raises(BacklogFull):
        intake.accept_texts(corpus.admin, collection, items[:1])


# --- at the drop folder ---


def test_the_drop_folder_waits_says_so_and_takes_every_file_in_its_turn(corpus: Corpus) -> None:
    drop = Drop(corpus.with_(limits=IntakeLimits(backlog=2)), WatchTimes(scan_s=0.01, settle_s=0, grace_s=0))
    for n in range(7):
        drop.put(f"docs/{n}.txt", f"Otter number {n}.")
    rounds = 0
    while len(drop.documents) < 7:
        rounds += 1
        assert rounds < 20
        drop.restart()  # with what it knows forgotten, as after a crash
        drop.scan()
        assert corpus.catalogue.tasks.backlog(at_most=9) <= 2
        assert ("2 tasks wait" in drop.report.waiting) is (len(drop.documents) < 7)
        assert drop.report.refused == []
        assert drop.report.last_scan == pytest.approx(time.time(), abs=60)
        corpus.work()
    drop.scan()
    assert drop.report.waiting == ""
    assert {document.state for document in drop.documents.values()} == {DocumentState.SEARCHABLE}
    assert {document.version for document in drop.documents.values()} == {1}


def test_while_the_drop_folder_waits_what_is_gone_is_still_deleted_and_a_change_is_not_lost(corpus: Corpus) -> None:
    drop = Drop(corpus)
    for name in ("gone", "changed", "kept", "other"):
        drop.put(f"docs/{name}.txt", f"Otter {name}.")
    drop.work()
    full = Drop(corpus.with_(limits=IntakeLimits(backlog=1)))
    corpus.send("It fills the backlog.", "filler", collection="elsewhere")
    (drop.root / "docs" / "gone.txt").unlink()
    drop.put("docs/changed.txt", "Otter changed indeed.")
    full.scan(2)
    assert full.report.waiting
    assert "docs/gone.txt" not in full.documents
    assert full.document("docs/changed.txt").version == 1
    corpus.work()
    full.restart()
    full.scan()
    corpus.work()
    assert full.report.waiting == ""
    assert (full.document("docs/changed.txt").live_version, full.document("docs/kept.txt").version) == (2, 1)
