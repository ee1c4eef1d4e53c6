"""What every blob store promises. Another store is another parameter of the `blobs` fixture."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from ingest.blobs import Blobs
from ingest.folder_blobs import FolderBlobs
from retrieval.errors import NotFound, Unparseable

DATA = b"An otter.\0" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(params=["folder"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    assert request.param == "folder"
    return FolderBlobs(tmp_path / "blobs")


def spooled(folder: Path, data: bytes = DATA) -> Path:
    path = folder / "spooled"
    path.write_bytes(data)
    return path


def test_what_was_put_is_read_back(blobs: Blobs, tmp_path: Path) -> None:
    blobs.put("acme", DIGEST, spooled(tmp_path))
    assert blobs.read("acme", DIGEST) == DATA
    with blobs.local("acme", DIGEST) as path:
        assert path.read_bytes() == DATA
    other = hashlib.sha256(b"x").hexdigest()
    blobs.put_bytes("acme", other, b"x")
    assert blobs.read("acme", other) == b"x"


def test_a_tenant_has_only_its_own_blobs(blobs: Blobs, tmp_path: Path) -> None:
    blobs.put("acme", DIGEST, spooled(tmp_path))
    with pytest.raises(NotFound):
        blobs.read("other", DIGEST)
    blobs.delete("other", DIGEST)
    assert blobs.read("acme", DIGEST) == DATA


@pytest.mark.parametrize("tenant", ["..", ".", "a/../b", "/etc", "ä ö", "%2E%2E", "a.b"])
def test_a_tenant_of_any_name_is_a_place_of_its_own_inside_the_store(tmp_path: Path, tenant: str) -> None:
    blobs = FolderBlobs(tmp_path / "store" / "blobs")
    blobs.put_bytes(tenant, DIGEST, DATA)
    assert blobs.read(tenant, DIGEST) == DATA
    [stored] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(stored.relative_to(tmp_path / "store" / "blobs").parts) == 3
    blobs.delete(tenant, DIGEST)
    assert not stored.exists()


def test_what_is_not_there_is_not_found_and_can_be_deleted(blobs: Blobs) -> None:
    with pytest.raises(NotFound):
        blobs.read("acme", DIGEST)
    with pytest.raises(NotFound), blobs.local("acme", DIGEST):
        pass
    blobs.delete("acme", DIGEST)


def test_putting_again_changes_nothing_and_uses_up_the_source(blobs: Blobs, tmp_path: Path) -> None:
    for _ in range(2):
        source = spooled(tmp_path)
        blobs.put("acme", DIGEST, source)
        assert not source.exists()
        blobs.put_bytes("acme", DIGEST, DATA)
    assert blobs.read("acme", DIGEST) == DATA


def test_bytes_that_changed_are_damaged_and_sending_them_again_is_the_remedy(blobs: Blobs, tmp_path: Path) -> None:
    blobs.put("acme", DIGEST, spooled(tmp_path))
    [stored] = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    stored.write_bytes(DATA[:-1] + b"!")
    with pytest.raises(Unparseable) as damaged, blobs.local("acme", DIGEST):
        pass
    assert damaged.value.reason_code == "damaged"
    blobs.put("acme", DIGEST, spooled(tmp_path))
    with blobs.local("acme", DIGEST) as path:
        assert path.read_bytes() == DATA


def test_a_half_written_blob_is_never_seen(blobs: Blobs) -> None:
    data = b"z" * 4_000_000
    digest = hashlib.sha256(data).hexdigest()
    lengths: set[int] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                lengths.add(len(blobs.read("acme", digest)))
            except NotFound:
                continue

    reading = threading.Thread(target=read)
    reading.start()
    for _ in range(5):
        blobs.put_bytes("acme", digest, data)
        blobs.delete("acme", digest)
    blobs.put_bytes("acme", digest, data)
    stop.set()
    reading.join(10)
    assert lengths <= {len(data)}


def test_nothing_but_blobs_is_left_in_the_store(blobs: Blobs, tmp_path: Path) -> None:
    writers = [threading.Thread(target=blobs.put_bytes, args=("acme", DIGEST, bytes(DATA))) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(10)
    assert [path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == [DIGEST]
