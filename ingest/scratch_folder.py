"""The folder parser children work in, seen from outside: believed to hold anything a hostile document may have left."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "parsers-"
_MOST_FILES = 10_000  # in one child's folder: a parser needs a handful


class ScratchFolder:
    """A fresh folder under `parent`, ours until closed. Also removes those whose process died without closing."""

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        with _locked(parent):  # so that nobody takes ours for abandoned before we hold it
            for abandoned in parent.glob(f"{_PREFIX}*"):
                _remove_if_abandoned(abandoned)
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)).resolve()
            self._held = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._held, fcntl.LOCK_EX)

    def close(self) -> None:
        """Removes it. A second call does nothing."""
        if self._held >= 0:
            remove_tree(self.path)
            os.close(self._held)
            self._held = -1


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_if_abandoned(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        remove_tree(folder)
    finally:
        os.close(descriptor)


def plain_suffix(name: str) -> str:
    """The name's ending where it is an ordinary one: some parsers look at it."""
    suffix = Path(name).suffix
    return suffix if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) <= 16 else ""


def copy_in(source: Path, target: Path) -> int:
    """Copies where the target must not exist: a child that is hostile by now cannot lead us elsewhere."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with source.open("rb") as reader, os.fdopen(os.open(target, flags, 0o600), "wb") as writer:
        shutil.copyfileobj(reader, writer, 2**20)
        return writer.tell()


def is_larger(folder: Path, size: int) -> bool:
    """Whether the folder holds more bytes, or more files than any parser has reason to make."""
    total = count = 0
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if total > size or count > _MOST_FILES:
                        return True
        except FileNotFoundError:
            continue  # the parser removed it while we looked
        except OSError:
            return True  # closed to us, or deeper than a path can be: nothing an honest parser does
    return False


def empty(folder: Path) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                remove_tree(Path(entry.path))
            else:
                Path(entry.path).unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Removes what a child left, also what was made to be hard to remove. What resists stays for the next start."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):
        subprocess.run(
            ["rm", "-rf", "--", str(folder)], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
