"""Blobs in a local folder: fsynced, content-addressed."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from retrieval.errors import NotFound, StorageFull, Unparseable

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def full_means_storage_full() -> Iterator[None]:
    """Turns the two errors of a full disk into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull from error
        raise


class FolderBlobs:
    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def put(self, tenant: str, digest: str, source: Path) -> None:
        target = self._path(tenant, digest)
        with full_means_storage_full():
            _make_folder(target.parent)
            with source.open("rb") as file:
                os.fsync(file.fileno())
            # Over one that exists, too: the digest says that the bytes are the same, and if the stored ones are
            # damaged, sending the file again is the remedy.
            source.replace(target)
            _sync_folder(target.parent)

    def put_bytes(self, tenant: str, digest: str, data: bytes) -> None:
        target = self._path(tenant, digest)
        with full_means_storage_full():
            _make_folder(target.parent)
            partial = target.with_name(f".{digest}.{uuid4().hex}")
            try:
                with partial.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
            _sync_folder(target.parent)

    def read(self, tenant: str, digest: str) -> bytes:
        try:
            return self._path(tenant, digest).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"The blob {digest} is gone.") from error

    @contextmanager
    def local(self, tenant: str, digest: str) -> Iterator[Path]:
        path = self._path(tenant, digest)
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise NotFound(f"The blob {digest} is gone.") from error
        if found != digest:
            raise Unparseable("damaged", "The stored bytes changed since they were accepted; send the file again.")
        yield path

    def delete(self, tenant: str, digest: str) -> None:
        self._path(tenant, digest).unlink(missing_ok=True)

    def _path(self, tenant: str, digest: str) -> Path:
        # A tenant named ".." is a folder like any other.
        return self._root / quote(tenant, safe="").replace(".", "%2E") / digest[:2] / digest


def _make_folder(folder: Path) -> None:
    """A new folder survives power loss only once the one it is in is synced."""
    if folder.exists():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """A rename survives power loss only once its folder is synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
