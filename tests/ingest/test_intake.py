"""The only way in: what it refuses leaves nothing behind, what it takes is durable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from ingest.intake import FileItem, IntakeLimits, Spooled, TextItem, checked_name
from retrieval.documents import Attributes, Document, DocumentState, Lane, Stage
from retrieval.errors import (
    EmptyFile,
    InvalidMetadata,
    InvalidName,
    InvalidRequest,
    NotFound,
    Quarantined,
    Refused,
    StorageFull,
    TooLarge,
    UnsupportedType,
)
from retrieval.identity import IdentityKind
from retrieval.tasks import Failure
from tests.corpus import Corpus

SMALL = IntakeLimits(file_bytes=1_000, inline_bytes=10, readers=3)


@pytest.fixture
def small(corpus: Corpus) -> Corpus:
    return corpus.with_(limits=SMALL)


def spool_is_empty(corpus: Corpus) -> bool:
    return list((corpus.folder / "spool").iterdir()) == []


def blobs_of(corpus: Corpus) -> int:
    return len([path for path in (corpus.folder / "blobs").rglob("*") if path.is_file()])


@pytest.mark.parametrize(
    "name", ["a.txt", "Ä ö.txt", "中文.txt", "a..txt", " a.txt", "\U0001f600.txt", "x" * 251 + ".txt"]
)
def test_a_plain_name_is_kept(corpus: Corpus, name: str) -> None:
    document = corpus.upload(b"An otter.", name)
    assert (document.title, document.source) == (name, name)


def test_a_name_is_composed_so_that_equal_looking_names_are_equal() -> None:
    assert checked_name("e\u0301.txt") == "\u00e9.txt"


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", ".", "..", "../a.txt", "/etc/passwd", "a/b.txt", "..\\a.txt", "a\0.txt", "a\n.txt", "a\x7f.txt"),
        *("\ud800.txt", "x" * 256, "ä" * 128),
    ],
)
def test_a_name_with_folders_control_characters_or_nothing_in_it_is_refused(corpus: Corpus, name: str) -> None:
    with pytest.raises(InvalidName) as refused:
        corpus.upload(b"An otter.", name)
    assert refused.value.pointer == "/file"
    assert spool_is_empty(corpus)
    assert blobs_of(corpus) == 0


def test_an_empty_file_is_refused_and_leaves_nothing(small: Corpus) -> None:
    with pytest.raises(EmptyFile):
        small.upload(b"", "a.txt")
    assert spool_is_empty(small)


def test_a_file_over_the_limit_is_refused_while_it_arrives_and_leaves_nothing(small: Corpus) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 100
            yield b"x" * 100

    with pytest.raises(TooLarge):
        small.intake.spool(endless())
    assert sent == 1_100
    assert spool_is_empty(small)
    assert small.intake.spool([b"x" * 1_000]).bytes == 1_000


def test_a_sender_that_breaks_off_leaves_nothing(small: Corpus) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        small.intake.spool(broken())
    assert spool_is_empty(small)


def test_a_full_disk_is_storage_full_and_leaves_nothing(small: Corpus) -> None:
    def full() -> Iterator[bytes]:
        yield b"x"
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageFull):
        small.intake.spool(full())
    assert spool_is_empty(small)


def test_a_type_that_cannot_be_read_is_refused_and_leaves_nothing(corpus: Corpus) -> None:
    with pytest.raises(UnsupportedType):
        corpus.upload(b"\x7fELF\x02\x01\x01\0" + bytes(100), "program.bin")
    assert spool_is_empty(corpus)
    assert blobs_of(corpus) == 0


def test_what_was_taken_is_stored_under_its_digest_and_owed(corpus: Corpus) -> None:
    document = corpus.upload(b"An otter.", "a.txt", external_id="e", metadata={"year": 2024}, readers=("user:ann",))
    assert document.sha256 == hashlib.sha256(b"An otter.").hexdigest()
    assert corpus.blobs.read(corpus.tenant, document.sha256) == b"An otter."
    assert (document.external_id, document.metadata, document.readers) == ("e", {"year": 2024}, ("user:ann",))
    assert (document.media_type, document.bytes, document.state) == ("text/plain", 9, DocumentState.RECEIVED)
    assert spool_is_empty(corpus)
    assert corpus.claim(Stage.PARSE).document.id == document.id


def test_without_an_external_id_a_file_is_known_by_its_content(corpus: Corpus) -> None:
    one, same = corpus.upload(b"An otter.", "a.txt"), corpus.upload(b"An otter.", "b.txt")
    other, named = corpus.upload(b"A heron.", "a.txt"), corpus.upload(b"An otter.", "a.txt", external_id="x")
    assert one.id == same.id
    assert len({one.id, other.id, named.id}) == 3
    assert one.identity_kind is IdentityKind.CONTENT


def test_text_is_kept_inline_when_small_and_as_a_blob_when_not(small: Corpus) -> None:
    short, long = small.send("An otter.", "short"), small.send("A long otter. " * 20, "long")
    assert small.catalogue.documents.content_digest(short) == (short.sha256, "An otter.")
    assert small.catalogue.documents.content_digest(long) == (long.sha256, None)
    assert small.blobs.read(small.tenant, long.sha256).decode() == "A long otter. " * 20
    small.work()
    assert {small.get(one.id).state for one in (short, long)} == {DocumentState.SEARCHABLE}


@pytest.mark.parametrize(
    ("text", "title"),
    [("\n\n# An *otter*\nswims", "An *otter*"), ("###\n\n", "Untitled"), ("x" * 200, "x" * 80), ("a\tb\x0cc", "a b")],
)
def test_a_text_without_a_title_gets_its_first_line(corpus: Corpus, text: str, title: str) -> None:
    assert corpus.send(text).title == title


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        ({"title": ""}, "/title"),
        ({"title": "x" * 1_001}, "/title"),
        ({"title": "a\nb"}, "/title"),
        ({"title": "\ud800"}, "/title"),
        ({"external_id": " "}, "/external_id"),
        ({"external_id": "x" * 501}, "/external_id"),
        ({"metadata": {"a b": 1}}, "/metadata/a b"),
        ({"metadata": {"a": {}}}, "/metadata/a"),
        ({"readers": ("*",)}, "/readers/0"),
        ({"readers": ("a", " ")}, "/readers/1"),
        ({"readers": ("x" * 201,)}, "/readers/0"),
        ({"readers": ("a\n",)}, "/readers/0"),
        ({"readers": ("a", "b", "c", "d")}, "/readers"),
    ],
)
def test_attributes_that_cannot_be_stored_are_refused_with_a_pointer(
    small: Corpus, attributes: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        small.upload(b"An otter.", "a.txt", **attributes)
    assert refused.value.pointer == pointer
    assert spool_is_empty(small)
    item = TextItem("An otter.", "text/plain", Attributes(**attributes), Lane.BULK)
    [answer] = small.intake.accept_texts(small.admin, small.collection(), [item])
    assert isinstance(answer, InvalidRequest)
    assert answer.pointer == pointer


def test_metadata_must_fit_the_collections_schema(corpus: Corpus) -> None:
    schema = {"type": "object", "properties": {"year": {"type": "integer"}}, "additionalProperties": False}
    corpus.collection()
    corpus.catalogue.collections.update(corpus.tenant, "docs", metadata_schema=schema)
    assert corpus.send("An otter.", "a", metadata={"year": 2024}).metadata == {"year": 2024}
    assert corpus.send("An otter.", "b").metadata == {}
    for metadata, pointer in (({"year": "x"}, "/metadata/year"), ({"other": 1}, "/metadata")):
        with pytest.raises(InvalidMetadata) as refused:
            corpus.send("An otter.", "c", metadata=metadata)
        assert refused.value.pointer == pointer


@pytest.mark.parametrize(
    ("text", "media_type", "error"),
    [
        ("", "text/plain", EmptyFile),
        (" \n\t", "text/plain", EmptyFile),
        ("a\0b", "text/plain", InvalidRequest),
        ("\ud800", "text/plain", InvalidRequest),
        ("a", "application/pdf", InvalidRequest),
        ("x" * 1_001, "text/plain", TooLarge),
    ],
)
def test_what_is_wrong_with_one_text_is_that_ones_answer(
    small: Corpus, text: str, media_type: str, error: type[Refused]
) -> None:
    good = TextItem("An otter.", "text/plain", Attributes(external_id="good"), Lane.BULK)
    bad = TextItem(text, media_type, Attributes(external_id="bad"), Lane.BULK)
    answers = small.intake.accept_texts(small.admin, small.collection(), [bad, good, bad])
    assert [type(answer) for answer in answers] == [error, Document, error]


def test_a_collection_that_is_gone_is_not_found_and_the_spool_is_empty(corpus: Corpus) -> None:
    docs = corpus.collection()
    corpus.catalogue.collections.delete(corpus.tenant, "docs")
    item = FileItem(corpus.intake.spool([b"An otter."]), "a.txt", None, Attributes(), Lane.BULK)
    with pytest.raises(NotFound):
        corpus.intake.accept_file(corpus.admin, docs, item)
    assert spool_is_empty(corpus)


def test_quarantined_content_is_refused_and_leaves_nothing_in_the_spool(corpus: Corpus) -> None:
    corpus.upload(b"A killer otter.", "a.txt", external_id="a")
    corpus.catalogue.tasks.failed(corpus.claim(), Failure("kills_worker", "dead", permanent=True))
    with pytest.raises(Quarantined):
        corpus.upload(b"A killer otter.", "b.txt", external_id="b")
    assert spool_is_empty(corpus)


def test_a_refused_file_becomes_a_failed_document_and_is_not_stored(corpus: Corpus) -> None:
    item = FileItem(
        Spooled(None, "0" * 64, 7),
        "a\x01b.txt",
        None,
        Attributes(),
        Lane.BULK,
        drop_path="x/a\x01b.txt",
        refusal=("invalid_name", "No."),
    )
    document = corpus.intake.accept_file(corpus.admin, corpus.collection(), item)
    assert (document.state, document.code, document.title) == (DocumentState.FAILED, "invalid_name", "a\ufffdb.txt")
    assert blobs_of(corpus) == 0


def test_who_takes_something_rings_the_bell(corpus: Corpus) -> None:
    rung: list[int] = []
    intake = corpus.intake
    intake._ring = lambda: rung.append(1)
    item = TextItem("An otter.", "text/plain", Attributes(), Lane.BULK)
    intake.accept_texts(corpus.admin, corpus.collection(), [item])
    assert rung == [1]
