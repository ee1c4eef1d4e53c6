"""What one look at the drop folder sees: its files, what cannot be one, and what could not be seen.

A look reads no file, follows no link below the root, and tells *gone* from *not seen now*: only the first is a delete.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ingest.sidecar import SIDECAR_SUFFIX, digest_of, read_sidecar

_NOT_UTF8: Final = "invalid_name: The name is not valid UTF-8; rename it."


@dataclass(frozen=True, slots=True)
class Stamp:
    """What moves when a file's content does, also under a writer that puts the modification time back."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file as a look found it. `path` is relative to the root, `sidecar` the digest of its metadata file."""

    path: str
    stamp: Stamp
    sidecar: str


@dataclass(frozen=True, slots=True)
class Sight:
    """`refused` gives the reason for each path that can be no document, `unseen` the beginnings of paths below which
    something could not be looked at. `device` is the one the root lies on."""

    files: Mapping[str, SeenFile]
    refused: Mapping[str, str]
    unseen: tuple[str, ...]
    device: int

    @property
    def is_empty(self) -> bool:
        return not self.files and not self.refused

    def hides(self, path: str) -> bool:
        """Whether the path may be there all the same."""
        return path.startswith(self.unseen)


def look(root: Path) -> Sight | None:
    """One look; None where the root itself is not there or cannot be looked into."""
    walk = _Walk(root)
    try:
        device = root.stat().st_dev
        walk.enter("")
    except OSError:
        return None
    walk.go_on()
    return Sight(walk.files, walk.refused, tuple(walk.unseen), device)


class _Walk:
    """A look in progress. Folders are named by their path from the root, with a slash at the end."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: list[str] = []
        self.files: dict[str, SeenFile] = {}
        self.refused: dict[str, str] = {}
        self.unseen: list[str] = []

    def go_on(self) -> None:
        while self._folders:
            folder = self._folders.pop()
            try:
                self.enter(folder)
            except (FileNotFoundError, NotADirectoryError):
                continue  # it vanished
            except OSError:
                self.unseen.append(folder)

    def enter(self, folder: str) -> None:
        with os.scandir(self._root / folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
        names = {entry.name for entry in entries}
        for entry in entries:
            if _is_left_alone(entry.name):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    self._folders.append(f"{folder}{entry.name}/")
                elif entry.is_file(follow_symlinks=False):
                    self._file(folder, entry, names)
            except (FileNotFoundError, NotADirectoryError):
                continue  # it vanished
            except OSError:
                self.unseen.append(f"{folder}{entry.name}")

    def _file(self, folder: str, entry: os.DirEntry[str], beside: Set[str]) -> None:
        name = entry.name
        path = f"{folder}{name}"
        shown = _as_text(path)
        described = name.removesuffix(SIDECAR_SUFFIX)
        if shown != path:
            self.refused[shown] = _NOT_UTF8
        elif described == name:
            sidecar = digest_of(read_sidecar(entry.path) if name + SIDECAR_SUFFIX in beside else None)
            self.files[path] = SeenFile(path, Stamp.of(entry.stat(follow_symlinks=False)), sidecar)
        elif described not in beside and not _is_left_alone(described):
            self.refused[path] = f"invalid_metadata: There is no file {described} that this sidecar could describe."


def _is_left_alone(name: str) -> bool:
    return name.startswith((".", "~$")) or name.endswith((".partial", ".tmp"))


def _as_text(path: str) -> str:
    """The path itself where it is text; else with its stray bytes written as `\\xff`, which every store takes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
