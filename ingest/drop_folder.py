"""The drop folder: files in it are documents, and stay in step with it.

A file is taken once it has settled (nothing of it moved over the settle time), never through a link, and only when its
content or its sidecar changed. What is gone is the removals' business; where the folder itself is gone, nothing is.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from ingest.drop_removals import Removals
from ingest.drop_sight import SeenFile, Sight, Stamp, look
from ingest.intake import FileItem, Intake, Spooled, shown_name
from ingest.leasing import NamedLease
from ingest.sidecar import attributes_of, digest_of, read_sidecar
from retrieval.catalogue import Catalogue, DropFile
from retrieval.documents import Attributes, Collection, Lane
from retrieval.errors import (
    BacklogFull,
    EmptyFile,
    InvalidMetadata,
    InvalidRequest,
    NotFound,
    RagstoneError,
    Refused,
    TooLarge,
    Unavailable,
)
from retrieval.principal import Principal, Scope

log = logging.getLogger(__name__)

DEFAULT_COLLECTION: Final = "default"
_COPY_BLOCK = 1 << 20
# A name that is no collection name: lower case letters, digits and hyphens are.
_COLLECTION_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_NOTHING: Final = hashlib.sha256(b"").hexdigest()  # stands for content that is not read: there is none, or too much
# Refusals that say nothing of the content: they are over when the file, or its collection, is there again.
_PASSING = ("unreadable:", "not_found:", "conflict:", "internal:")
# A reason is shown in a list; what a file or a sidecar is made of can be repeated in it.
_LONGEST_REASON = 500
# A folder of very many files is looked at less often: looking takes at most a fifth of one core while something comes,
# and a thirtieth while nothing does.
_REST = 4
_LONG_REST = 29


@dataclass(frozen=True, slots=True)
class WatchTimes:
    """In seconds: between scans, for a file to settle, and until a missing file's document is deleted."""

    scan_s: float = 1.0
    settle_s: float = 1.0
    grace_s: float = 5.0


class FileChanged(Exception):
    """The file changed, or vanished, while it was read; the next scan sees it anew."""


class Unreadable(Refused):
    """The account that ragstone runs under may not read the file."""

    code = "unreadable"


class DropFolder:
    def __init__(
        self,
        *,
        root: Path,
        tenant: str,
        catalogue: Catalogue,
        intake: Intake,
        lease: NamedLease,
        times: WatchTimes,
        hold_share: float,
    ) -> None:
        self._root = root
        self._tenant = tenant
        self._catalogue = catalogue
        self._intake = intake
        self._lease = lease
        self._times = times
        self._owner = Principal(tenant, frozenset(), frozenset(Scope))
        self._removals = Removals(catalogue=catalogue, owner=self._owner, grace_s=times.grace_s, hold_share=hold_share)
        self._unsettled: dict[str, tuple[SeenFile, float]] = {}
        self._device: int | None = None  # where files were last seen
        self._is_away = False
        self._is_waiting = False
        self._looking_s = 0.0

    def run(self, stop: threading.Event) -> None:
        def goes_on() -> bool:
            return not stop.is_set() and self._lease.held()

        while not stop.is_set():
            try:
                if goes_on():
                    self.scan(goes_on)
            except Unavailable as error:
                log.warning("drop folder: %s", error)
            stop.wait(max(self._times.scan_s, (_REST if self._unsettled else _LONG_REST) * self._looking_s))
        self._lease.release()

    def scan(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """One look at the folder: sees to what is missing, and takes what settled, for as long as `goes_on`. What there
        is no room for in the backlog is taken by a later scan."""
        started = time.monotonic()
        waiting = ""
        sight = look(self._root)
        if sight is None or self._is_unmounted(sight):
            if not self._is_away:
                log.warning("drop folder: %s is not there; nothing is taken and nothing deleted", self._root)
            self._is_away = True
        else:
            self._is_away = False
            known = self._catalogue.drop_files.all()
            self._looking_s = time.monotonic() - started
            try:
                self._follow(sight, known, goes_on)
            except BacklogFull as error:
                waiting = str(error)
        if waiting and not self._is_waiting:
            log.warning("drop folder: waiting with what is new: %s", waiting)
        self._is_waiting = bool(waiting)
        self._catalogue.drop_files.scanned(time.time(), waiting=waiting)

    def _is_unmounted(self, sight: Sight) -> bool:
        """Whether this is the empty folder on which a disk was mounted when files were last seen."""
        if not sight.is_empty:
            self._device = sight.device
        return self._device not in {None, sight.device}

    def _follow(self, sight: Sight, known: dict[str, DropFile], goes_on: Callable[[], bool]) -> None:
        known |= self._returned(sight, known)
        self._see_to_missing(sight, known)
        self._unsettled = {path: value for path, value in self._unsettled.items() if path in sight.files}
        for file in sight.files.values():
            before = known.get(file.path)
            if self._has_settled(file, before):
                if not goes_on():
                    return
                self._take(file, before)

    def _see_to_missing(self, sight: Sight, known: Mapping[str, DropFile]) -> None:
        """Remembers the names that can be no document, and hands on what is neither a file nor one of those."""
        # A document's file that is gone comes first, should the shown form of another name be its path.
        impossible = {
            path: DropFile(path, "", 0, 0, "", "", "", refused=_shown(reason))
            for path, reason in sight.refused.items()
            if path not in known or not known[path].document_id
        }
        self._catalogue.drop_files.remember([row for path, row in impossible.items() if known.get(path) != row])
        there = sight.files.keys() | impossible.keys()
        missing = [file for path, file in known.items() if path not in there and not sight.hides(path)]
        self._removals.settle(known.values(), missing, nothing_left=sight.is_empty)

    def _returned(self, sight: Sight, known: Mapping[str, DropFile]) -> dict[str, DropFile]:
        """The files that were missing and are there again, as they are remembered from now on."""
        back = [file for path, file in known.items() if file.missing_since is not None and path in sight.files]
        returned = [replace(file, missing_since=None, held=False) for file in back]
        self._catalogue.drop_files.remember(returned)
        return {file.path: file for file in returned}

    def _has_settled(self, file: SeenFile, before: DropFile | None) -> bool:
        """Whether the file differs from what is remembered and has stopped changing. One without a document is tried
        again: its collection may be there by now, or it may be read."""
        if before is not None and before.document_id and _is_as_remembered(file, before):
            return False
        seen, since = self._unsettled.get(file.path, (None, 0.0))
        now = time.monotonic()
        if seen != file:
            self._unsettled[file.path] = (file, now)
            return self._times.settle_s <= 0
        return now - since >= self._times.settle_s

    # --- taking a file ---

    def _take(self, file: SeenFile, before: DropFile | None) -> None:
        del self._unsettled[file.path]
        try:
            remembered = self._submit(file, before)
        except FileChanged:
            return
        except Unavailable:
            raise
        except RagstoneError as error:
            remembered = _not_taken(file, before, _reason(error.code, str(error)))
        except Exception as error:  # a bug, but one file must not keep all others from being taken
            remembered = _not_taken(file, before, _reason("internal", f"{type(error).__name__}: {error}"))
            if remembered != before:
                log.exception("drop folder: %s could not be taken", file.path)
        if remembered != before:
            self._catalogue.drop_files.remember([remembered])

    def _submit(self, file: SeenFile, before: DropFile | None) -> DropFile:
        collection = self._collection(file.path)
        if before is not None and before.document_id and self._holds(file, before):
            # Only its times moved, or it may be read again; whatever became of its document stays so.
            refused = None if (before.refused or "").startswith(_PASSING) else before.refused
            stamp = file.stamp
            return replace(before, mtime_ns=stamp.mtime_ns, ctime_ns=stamp.ctime_ns, refused=refused)
        described = () if before is None else before.described
        try:
            attributes, refusal = self._attributes(file, collection), None
            attributes = replace(attributes, withdrawn=frozenset(described) - attributes.given)
            described = tuple(sorted(attributes.given))
        except InvalidMetadata as error:
            attributes, refusal = Attributes(), error
        spooled, unspooled = self._spooled(file)
        item = FileItem(
            spooled=spooled,
            name=Path(file.path).name,
            declared_type=None,
            attributes=attributes,
            lane=Lane.BULK,
            source=file.path,
            drop_path=file.path,
        )
        document_id, refused = self._accept(collection, item, refusal or unspooled)
        return _remembered(
            file,
            collection=collection.name,
            sha256=spooled.sha256,
            document_id=document_id,
            refused=refused,
            described=described,
        )

    def _accept(self, collection: Collection, item: FileItem, refusal: Refused | None) -> tuple[str, str | None]:
        """The document's id, and why it was refused: what intake refuses still becomes a document, born failed."""
        if refusal is None:
            try:
                return self._intake.accept_file(self._owner, collection, item).id, None
            except NotFound:
                raise
            except Refused as error:
                refusal = error
        code, reason = refusal.code, _shown(str(refusal))
        refused = replace(item, refusal=(code, reason))
        return self._intake.accept_file(self._owner, collection, refused).id, _reason(code, reason)

    def _collection(self, path: str) -> Collection:
        first, _, rest = path.partition("/")
        name = first if rest else DEFAULT_COLLECTION
        if not name or name[0] == "-" or len(name) > 63 or not _COLLECTION_CHARACTERS.issuperset(name):
            raise Refused(f"The folder {name} is no collection name: lower case letters, digits and hyphens are.")
        try:
            return self._catalogue.collections.by_name(self._tenant, name)
        except NotFound:
            return self._catalogue.collections.create(self._tenant, name)

    def _attributes(self, file: SeenFile, collection: Collection) -> Attributes:
        """What the sidecar says, fit to be stored; raises `InvalidMetadata` whatever is wrong with it."""
        try:
            sidecar = read_sidecar(self._root / file.path)
        except OSError as error:
            raise FileChanged from error
        if digest_of(sidecar) != file.sidecar:
            raise FileChanged
        try:
            return self._intake.checked(collection, attributes_of(sidecar))
        except InvalidMetadata:
            raise
        except InvalidRequest as error:
            raise InvalidMetadata(f"The sidecar: {error}") from error

    # --- reading a file ---

    def _holds(self, file: SeenFile, before: DropFile) -> bool:
        """Whether the file's content and its sidecar are the remembered ones, whatever its times say."""
        return (before.size, before.sidecar) == (file.stamp.size, file.sidecar) and self._digest(file) == before.sha256

    def _digest(self, file: SeenFile) -> str:
        digest = hashlib.sha256()
        if file.stamp.size <= self._intake.limits.file_bytes:
            for block in self._blocks(file):
                digest.update(block)
        return digest.hexdigest()

    def _spooled(self, file: SeenFile) -> tuple[Spooled, Refused | None]:
        """The file's bytes, and the refusal of what need not be spooled (empty, too large)."""
        size, limit = file.stamp.size, self._intake.limits.file_bytes
        if not size:
            return Spooled(None, _NOTHING, size), EmptyFile()
        if size > limit:
            return Spooled(None, _NOTHING, size), TooLarge(f"The file is larger than {limit} bytes.")
        try:
            return self._intake.spool(self._blocks(file)), None
        except TooLarge as error:
            raise FileChanged from error  # it grew

    def _blocks(self, file: SeenFile) -> Iterator[bytes]:
        """The file's bytes, by a descriptor that no link can redirect; checked at the end to be the same file still."""
        try:
            descriptor = os.open(self._root / file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            replaced = error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}
            raise (FileChanged() if replaced else _unreadable(error)) from error
        with os.fdopen(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileChanged
            while block := _block(opened):
                yield block
            if Stamp.of(os.fstat(descriptor)) != file.stamp:
                raise FileChanged


def _block(opened: BinaryIO) -> bytes:
    try:
        return opened.read(_COPY_BLOCK)
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> Unreadable:
    return Unreadable() if isinstance(error, PermissionError) else Unreadable(f"It cannot be read: {error.strerror}.")


def _is_as_remembered(file: SeenFile, before: DropFile) -> bool:
    remembered = (before.size, before.mtime_ns, before.ctime_ns, before.sidecar)
    return remembered == (file.stamp.size, file.stamp.mtime_ns, file.stamp.ctime_ns, file.sidecar)


def _not_taken(file: SeenFile, before: DropFile | None, refused: str) -> DropFile:
    """A document there is already stays what it is. Else not even a failed one can stand for the file: there is no
    collection it could be in, or no content."""
    if before is not None and before.document_id:
        return replace(before, refused=refused)
    return _remembered(file, collection="", sha256="", document_id="", refused=refused)


def _remembered(
    file: SeenFile,
    *,
    collection: str,
    sha256: str,
    document_id: str,
    refused: str | None,
    described: tuple[str, ...] = (),
) -> DropFile:
    return DropFile(
        path=file.path,
        collection=collection,
        size=file.stamp.size,
        mtime_ns=file.stamp.mtime_ns,
        ctime_ns=file.stamp.ctime_ns,
        sha256=sha256,
        sidecar=file.sidecar,
        described=described,
        document_id=document_id,
        refused=refused,
    )


def _reason(code: str, reason: str) -> str:
    return f"{code}: {_shown(reason)}"


def _shown(reason: str) -> str:
    """A reason that any store and client takes: it may repeat what a file or a sidecar is made of."""
    return shown_name(reason)[:_LONGEST_REASON]
