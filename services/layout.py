"""Where things are in the data folder, and whose it is."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from retrieval.errors import Conflict

# 104 on macOS, 108 on Linux, a closing NUL included.
_LONGEST_SOCKET_PATH = 103
# Raised when the folder's meaning changes so that an older program would misread it.
LAYOUT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """The data folder. `run` holds sockets and locks, `spool` what is arriving, `scratch` what parsers work on."""

    data: Path

    @property
    def catalogue_url(self) -> str:
        return f"sqlite:///{self.catalogue.resolve()}"

    @property
    def catalogue(self) -> Path:
        return self.data / "catalogue.db"

    @property
    def index(self) -> Path:
        return self.data / "index"

    @property
    def blobs(self) -> Path:
        return self.data / "blobs"

    @property
    def spool(self) -> Path:
        return self.data / "spool"

    @property
    def scratch(self) -> Path:
        return self.data / "scratch"

    @property
    def run(self) -> Path:
        return self.data / "run"

    @property
    def doorbell(self) -> Path:
        return self._sockets / "doorbell"

    @property
    def index_socket(self) -> Path:
        return self._sockets / "index"

    @property
    def _sockets(self) -> Path:
        """Where sockets are: in `run`, unless its path is longer than the kernel takes for one."""
        run = self.run.resolve()
        if len(os.fsencode(run / "doorbell")) <= _LONGEST_SOCKET_PATH:
            return run
        short = hashlib.sha256(os.fsencode(run)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"ragstone-{os.getuid()}-{short}"

    @property
    def last_query(self) -> Path:
        return self.run / "last-query"

    @property
    def in_use(self) -> Path:
        """There from a start to the clean end after it: found at a start, it says that the last end was none."""
        return self.data / "in-use"

    @property
    def sandbox_level(self) -> Path:
        return self.run / "sandbox-level"

    def prepare(self) -> None:
        """Makes the folder, private to its user; refuses one of a newer version, with the remedy."""
        for folder in (self.data, self.run, self.spool, self.scratch, self._sockets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._sockets.stat().st_uid != os.getuid():
            raise Conflict(f"{self._sockets} belongs to somebody else: set RAGSTONE_DATA to a shorter path.")
        version = self.data / "layout-version"
        written = version.read_text().strip() if version.exists() else str(LAYOUT_VERSION)
        if not written.isdecimal():
            raise Conflict(
                f"{version} holds no number: the folder is not one of ragstone's, or is damaged; set RAGSTONE_DATA to "
                "another, or restore a backup."
            )
        found = int(written)
        if found > LAYOUT_VERSION:
            raise Conflict(
                f"{self.data} was written by a newer ragstone (layout {found}, this one knows {LAYOUT_VERSION}): "
                "start that version, or restore a backup."
            )
        version.write_text(f"{LAYOUT_VERSION}\n")

    def secret(self, given: Path | None) -> bytes:
        """The secret that signs cursors: the one given, or one made once."""
        path = given or self.data / "secret"
        if given is None and not path.exists():
            partial = path.with_suffix(".partial")
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
            partial.replace(path)
        try:
            secret = path.read_bytes().strip()
        except OSError as error:
            raise Conflict(f"RAGSTONE_SECRET_FILE {path} cannot be read: {error.strerror}.") from error
        if not secret:
            raise Conflict(f"The file {path} holds no secret: write a random one of at least 16 bytes into it.")
        return secret


class DataLock:
    """The data folder's lock, held as long as its holder lives.

    The supervisor's is its own, so whoever gets it knows that every process of the predecessor is dead (they die with
    it). Processes that run without a supervisor may share a folder, and their locks are `shared`.
    """

    def __init__(self, layout: Layout, *, wait_s: float, shared: bool = False) -> None:
        path = layout.run / "lock"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(self._descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(self._descriptor)
                    raise Conflict(
                        f"{layout.data} is in use by another ragstone: stop that one, or set RAGSTONE_DATA to another."
                    ) from None
                time.sleep(0.05)

    def release(self) -> None:
        os.close(self._descriptor)
