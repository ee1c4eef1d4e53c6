"""Folders and many files: which are sent, as what, several at a time, and what becomes of each."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ragstone import AsyncClient, Client
from ragstone.errors import NotFound, UnsupportedType
from ragstone.sending import Sent
from ragstone.uploads import files_of
from tests.running import RunningServer
from tests.sdk.scripted_server import DOCUMENT, Reply, ScriptedServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "a.txt": "About anchors.",
        "deep/b.md": "# Buoys\n\nAbout buoys.",
        "deep/b.md.metadata.json": json.dumps(
            {"title": "Of buoys", "metadata": {"year": 2024}, "readers": ["group:a"]}
        ),
        "odd.xyz": "\x00\x01\x02",
        ".hidden/c.txt": "Nobody's business.",
        "half.partial": "Not yet.",
        "~$open.docx": "A lock.",
        "alone.metadata.json": '{"of": "nothing beside it"}',
    }
    for name, text in files.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "folder" / "link.txt").symlink_to(tmp_path / "folder" / "a.txt")
    return tmp_path / "folder"


def test_a_folder_goes_up_as_the_drop_folder_takes_it(client: Client, folder: Path) -> None:
    client.collections.create("sdk-folder")
    told: list[Sent] = []
    uploads = client.documents.upload_folder("sdk-folder", folder, report=told.append)
    assert {one.external_id for one in uploads.documents} == {"a.txt", "deep/b.md", "alone.metadata.json"}
    (failed,) = uploads.failed
    assert failed.name == "odd.xyz"
    assert isinstance(failed.error, UnsupportedType)
    assert [sent.done for sent in told] == [1, 2, 3, 4]
    assert {sent.total for sent in told} == {4}
    buoys = next(one for one in uploads.documents if one.external_id == "deep/b.md")
    assert (buoys.title, buoys.metadata, buoys.readers) == ("Of buoys", {"year": 2024}, ["group:a"])


def test_a_file_that_changed_is_a_new_version_of_its_document(client: Client, folder: Path) -> None:
    client.collections.create("sdk-again")
    (first,) = client.documents.upload_folder("sdk-again", folder, pattern="a.*").documents
    client.documents.wait(first.id)
    (folder / "a.txt").write_text("About other anchors.")
    (second,) = client.documents.upload_folder("sdk-again", folder, pattern="a.*").documents
    assert (second.id, second.version) == (first.id, 2)


def test_a_sidecar_that_cannot_be_understood_keeps_its_file_back(client: Client, folder: Path) -> None:
    client.collections.create("sdk-sidecars")
    sidecar = folder / "deep" / "b.md.metadata.json"
    for said, reason in (
        ('{"reader": ["group:a"]}', "names reader"),
        ('{"readers": ["a"], "readers": ["b"]}', "readers is in it twice"),
        ("[]", "must be a JSON object"),
        ("{", "cannot be read"),
    ):
        sidecar.write_text(said)
        uploads = client.documents.upload_folder("sdk-sidecars", folder, pattern="*.md")
        assert uploads.documents == []
        assert reason in str(uploads.failed[0].error)
    sidecar.write_text('{"metadataAttributes": {"year": 2023}}')
    (sent,) = client.documents.upload_folder("sdk-sidecars", folder, pattern="*.md").documents
    assert sent.metadata == {"year": 2023}


def test_what_fails_for_all_is_told_for_each(client: Client, folder: Path) -> None:
    uploads = client.documents.upload_folder("sdk-no-such-collection", folder, pattern="*.txt")
    assert [type(sent.error) for sent in uploads.failed] == [NotFound]


def test_files_are_sent_side_by_side(scripted: ScriptedServer, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.txt" for number in range(8)]
    for path in paths:
        path.write_text(path.name)
    scripted.replies = [Reply(202, DOCUMENT, after_s=0.3)]
    with Client(scripted.url) as client:
        uploads = client.documents.upload_many("notes", paths, at_once=4, lane="bulk")
    assert len(uploads.documents) == 8
    times = sorted(asked.at for asked in scripted.asked)
    assert times[3] - times[0] < 0.25 < times[4] - times[0]  # four, and the fifth when one of them ended
    assert all(b"bulk" in asked.body for asked in scripted.asked)


def test_an_event_loop_sends_many_too(server: RunningServer, folder: Path) -> None:
    async def send() -> None:
        async with AsyncClient(server.url) as client:
            await client.collections.create("sdk-async-folder")
            uploads = await client.documents.upload_folder("sdk-async-folder", folder, at_once=2)
            assert (len(uploads.documents), len(uploads.failed)) == (3, 1)

    asyncio.run(send())


def test_a_bar_shows_how_far_it_is(client: Client, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    client.collections.create("sdk-bar")
    client.documents.upload_folder("sdk-bar", folder, report="bar")
    out, err = capfd.readouterr()
    assert "4/4" in err
    assert out == ""


def test_a_folder_that_is_none_and_no_turns_are_refused(client: Client, folder: Path) -> None:
    with pytest.raises(NotADirectoryError, match="There is no folder"):
        client.documents.upload_folder("notes", folder / "a.txt")
    with pytest.raises(ValueError, match="at least 1"):
        client.documents.upload_folder("notes", folder, at_once=0)
    assert [file.within for file in files_of(folder, "*.md")] == ["deep/b.md"]
