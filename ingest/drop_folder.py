"""The drop folder: files in it are documents, and stay in step with it.

A file is taken once it has settled (same size and time over the settle time), never through a link, and only when its
content or its sidecar changed. A removed file is a delete after a grace time; an empty or vanished root deletes
nothing, and more than a set share of a collection gone at once is held until somebody decides.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import stat
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ingest.intake import FileItem, Intake, Spooled
from ingest.leasing import NamedLease
from retrieval.catalogue import Catalogue, DropFile
from retrieval.documents import Attributes, Collection, Lane
from retrieval.errors import Conflict, InvalidMetadata, NotFound, RagstoneError, Refused, Unavailable
from retrieval.principal import Principal, Scope

log = logging.getLogger(__name__)

DEFAULT_COLLECTION: Final = "default"
SIDECAR_SUFFIX: Final = ".metadata.json"
SIDECAR_LIMIT = 1 << 20
_COPY_BLOCK = 1 << 20
# A guard for one or two files would only teach people to confirm without looking.
HOLD_AT_LEAST = 2
CONFIRMED = 0.0  # `missing_since` of files whose deletion was confirmed
# A name that is no collection name: lower case letters, digits and hyphens are.
_COLLECTION_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


@dataclass(frozen=True, slots=True)
class WatchTimes:
    """In seconds: between scans, for a file to settle, and until a missing file's document is deleted."""

    scan_s: float = 1.0
    settle_s: float = 1.0
    grace_s: float = 5.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file as a scan found it; `sidecar` is its metadata file's bytes."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    sidecar: bytes | None

    @property
    def signature(self) -> tuple[int, int, int, bytes | None]:
        return self.size, self.mtime_ns, self.inode, self.sidecar

    @property
    def sidecar_digest(self) -> str:
        return "" if self.sidecar is None else hashlib.sha256(self.sidecar).hexdigest()


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
        self._owner = Principal(tenant, frozenset(), frozenset(Scope))
        self._catalogue = catalogue
        self._intake = intake
        self._lease = lease
        self._times = times
        self._hold_share = hold_share
        self._unsettled: dict[str, tuple[tuple[int, int, int, bytes | None], float]] = {}

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                if self._lease.held():
                    self.scan()
            except Unavailable as error:
                log.warning("drop folder: %s", error)
            stop.wait(self._times.scan_s)
        self._lease.release()

    def scan(self) -> None:
        """One look at the folder: takes what settled, marks what is missing, deletes what was missing long enough."""
        known = self._catalogue.drop_files.all()
        unread: list[str] = []
        seen = {file.path: file for file in self._walk(unread)}
        for file in seen.values():
            before = known.get(file.path)
            if before is not None and before.missing_since is not None:
                before = replace(before, missing_since=None, held=False)
                self._catalogue.drop_files.remember([before])
                known[file.path] = before
            if self._has_settled(file, before):
                self._take(file, before)
        self._unsettled = {path: value for path, value in self._unsettled.items() if path in seen}
        if seen:  # an empty or vanished root is an unmounted disk until somebody says otherwise
            hidden = {path for path in known if path.startswith(tuple(unread))}
            self._handle_missing(known, set(seen) | hidden)
        self._catalogue.drop_files.scanned(time.time())

    # --- what is there ---

    def _walk(self, unread: list[str]) -> Iterator[_Seen]:
        """The files; `unread` gets the beginnings of paths that cannot be seen now, which is not to be missing."""
        folders = [self._root]
        while folders:
            folder = folders.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except (FileNotFoundError, NotADirectoryError):
                continue  # it vanished
            except OSError:
                unread.append(f"{folder.relative_to(self._root).as_posix()}/")
                continue
            for entry in entries:
                if _is_left_alone(entry.name) or entry.is_symlink():
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False) and not entry.name.endswith(SIDECAR_SUFFIX):
                    found = self._look(Path(entry.path))
                    if found is not None:
                        yield found

    def _look(self, path: Path) -> _Seen | None:
        try:
            status = path.lstat()
            sidecar = _read_small(path.with_name(path.name + SIDECAR_SUFFIX))
            relative = path.relative_to(self._root).as_posix()
            relative.encode("utf-8")
        except (OSError, UnicodeEncodeError):
            return None
        return _Seen(relative, status.st_size, status.st_mtime_ns, status.st_ino, sidecar)

    def _has_settled(self, file: _Seen, before: DropFile | None) -> bool:
        """Whether the file differs from what is remembered and has stopped changing. One without a document is tried
        again: its collection may be there by now, or it may be read."""
        if (
            before is not None
            and before.document_id
            and (before.size, before.mtime_ns, before.sidecar)
            == (
                file.size,
                file.mtime_ns,
                file.sidecar_digest,
            )
        ):
            return False
        signature, since = self._unsettled.get(file.path, (None, 0.0))
        now = time.monotonic()
        if signature != file.signature:
            self._unsettled[file.path] = (file.signature, now)
            return self._times.settle_s <= 0
        return now - since >= self._times.settle_s

    # --- taking a file ---

    def _take(self, file: _Seen, before: DropFile | None) -> None:
        del self._unsettled[file.path]
        try:
            remembered = self._submit(file, before)
        except FileChanged:
            return
        except RagstoneError as error:
            if isinstance(error, Unavailable):
                raise
            refused = f"{error.code}: {error}"
            if before is not None and before.document_id:
                remembered = replace(before, refused=refused)
            else:
                # Not even a failed document can stand for it: there is no collection it could be in, or no content.
                remembered = _remembered(file, collection="", sha256="", document_id="", refused=refused)
        if remembered != before:
            self._catalogue.drop_files.remember([remembered])

    def _submit(self, file: _Seen, before: DropFile | None) -> DropFile:
        collection = self._collection(file.path)
        spooled, refusal = self._spooled(file)
        if (
            before is not None
            and (refusal, before.refused) == (None, None)
            and (before.sha256, before.sidecar) == (spooled.sha256, file.sidecar_digest)
        ):
            spooled.discard()  # only its time changed; whatever became of its document stays so
            return replace(before, size=file.size, mtime_ns=file.mtime_ns)
        attributes, refusal = _attributes(file, refusal)
        item = FileItem(
            spooled=spooled,
            name=Path(file.path).name,
            declared_type=None,
            attributes=attributes,
            lane=Lane.BULK,
            source=file.path,
            drop_path=file.path,
            refusal=refusal,
        )
        document_id, refused = self._accept(collection, item, file)
        return _remembered(
            file, collection=collection.name, sha256=spooled.sha256, document_id=document_id, refused=refused
        )

    def _accept(self, collection: Collection, item: FileItem, file: _Seen) -> tuple[str, str | None]:
        """The document's id, and why it was refused: what intake refuses still becomes a document, born failed."""
        if item.refusal is None:
            try:
                return self._intake.accept_file(collection, item).id, None
            except Refused as error:
                if isinstance(error, NotFound):
                    raise
                refusal = (error.code, str(error))
        else:
            refusal = item.refusal
        empty = replace(item, refusal=refusal, attributes=Attributes())
        return self._intake.accept_file(collection, empty).id, f"{refusal[0]}: {refusal[1]}"

    def _collection(self, path: str) -> Collection:
        first, _, rest = path.partition("/")
        name = first if rest else DEFAULT_COLLECTION
        if not name or name[0] == "-" or len(name) > 63 or not _COLLECTION_CHARACTERS.issuperset(name):
            raise Refused(f"The folder {name} is no collection name: lower case letters, digits and hyphens are.")
        try:
            return self._catalogue.collections.by_name(self._tenant, name)
        except NotFound:
            return self._catalogue.collections.create(self._tenant, name)

    def _spooled(self, file: _Seen) -> tuple[Spooled, tuple[str, str] | None]:
        """The file's bytes, and a refusal for what cannot even be spooled (empty, too large)."""
        try:
            return self._intake.spool(self._blocks(file)), None
        except Unreadable:
            raise
        except Refused as error:
            digest = hashlib.sha256(b"".join(self._blocks(file)) if not file.size else b"").hexdigest()
            return Spooled(None, digest, file.size), (error.code, str(error))

    def _blocks(self, file: _Seen) -> Iterator[bytes]:
        """The file's bytes, by a descriptor that no link can redirect; checked at the end to be the same file still."""
        try:
            descriptor = os.open(self._root / file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except PermissionError as error:
            raise Unreadable from error
        except OSError as error:
            raise FileChanged from error
        with os.fdopen(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileChanged
            while block := opened.read(_COPY_BLOCK):
                yield block
            status = os.fstat(descriptor)
            if (status.st_size, status.st_mtime_ns, status.st_ino) != (file.size, file.mtime_ns, file.inode):
                raise FileChanged

    # --- what is missing ---

    def _handle_missing(self, known: Mapping[str, DropFile], seen: set[str]) -> None:
        by_collection: dict[str, list[DropFile]] = defaultdict(list)
        for file in known.values():
            by_collection[file.collection].append(file)
        now = time.time()
        for files in by_collection.values():
            missing = [file for file in files if file.path not in seen]
            fresh = [replace(file, missing_since=now) for file in missing if file.missing_since is None]
            self._catalogue.drop_files.remember(fresh)
            confirmed = [file for file in missing if file.missing_since == CONFIRMED]
            self._delete(confirmed)
            undecided = [file for file in missing if file.missing_since != CONFIRMED]
            due = [
                file
                for file in undecided
                if file.missing_since is not None and now - file.missing_since >= self._times.grace_s
            ]
            if len(undecided) >= HOLD_AT_LEAST and len(undecided) > self._hold_share * len(files):
                self._catalogue.drop_files.remember([replace(file, held=True) for file in due if not file.held])
            else:
                self._delete([file for file in due if not file.held])

    def _delete(self, files: list[DropFile]) -> None:
        for file in files:
            if file.document_id:
                try:
                    self._catalogue.documents.delete(self._owner, file.document_id)
                except (NotFound, Conflict):
                    log.info("drop folder: the document of %s is gone already", file.path)
            self._catalogue.drop_files.forget([file.path])


def _is_left_alone(name: str) -> bool:
    return name.startswith((".", "~$")) or name.endswith((".partial", ".tmp"))


def _read_small(path: Path) -> bytes | None:
    """The sidecar's bytes; None only where there is none. One that is there and cannot be read (a link, a device, no
    permission) gives bytes that are no JSON and so refuses its file: it may say who must not read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        absent = error.errno in {errno.ENOENT, errno.ENAMETOOLONG}  # a name so long can have no sidecar beside it
        return None if absent else b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(SIDECAR_LIMIT + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


def _remembered(file: _Seen, *, collection: str, sha256: str, document_id: str, refused: str | None) -> DropFile:
    return DropFile(
        path=file.path,
        collection=collection,
        size=file.size,
        mtime_ns=file.mtime_ns,
        sha256=sha256,
        sidecar=file.sidecar_digest,
        document_id=document_id,
        refused=refused,
    )


def _attributes(file: _Seen, refusal: tuple[str, str] | None) -> tuple[Attributes, tuple[str, str] | None]:
    """What the sidecar says; a sidecar that cannot be read refuses its file."""
    if file.sidecar is None or refusal is not None:
        return Attributes(), refusal
    try:
        return _sidecar_attributes(file.sidecar), None
    except InvalidMetadata as error:
        return Attributes(), (error.code, str(error))


def _sidecar_attributes(data: bytes) -> Attributes:
    if len(data) > SIDECAR_LIMIT:
        raise InvalidMetadata(f"The sidecar is larger than {SIDECAR_LIMIT} bytes.")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidMetadata(f"The sidecar is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise InvalidMetadata("The sidecar must be a JSON object.")
    if "metadataAttributes" in body:
        return Attributes(metadata=_bedrock(body["metadataAttributes"]))
    unknown = set(body) - {"title", "metadata", "readers", "external_id"}
    if unknown:
        raise InvalidMetadata(f"The sidecar names {min(unknown)}; it may name title, metadata, readers, external_id.")
    readers = body.get("readers")
    texts = [value for value in (body.get("title"), body.get("external_id")) if value is not None]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidMetadata("The sidecar's title and external_id must be strings.")
    if readers is not None and not (isinstance(readers, list) and all(isinstance(one, str) for one in readers)):
        raise InvalidMetadata("The sidecar's readers must be a list of strings.")
    return Attributes(
        title=body.get("title"),
        external_id=body.get("external_id"),
        metadata=body.get("metadata"),
        readers=None if readers is None else tuple(readers),
    )


def _bedrock(attributes: Any) -> dict[str, Any]:
    """Bedrock's form: plain values, or `{"value": {"type": …, "stringValue": …}}`."""
    if not isinstance(attributes, dict):
        raise InvalidMetadata("metadataAttributes must be an object.")
    plain = {}
    for name, value in attributes.items():
        if isinstance(value, dict):
            inner = value.get("value")
            inner = inner if isinstance(inner, dict) else {}
            found = [item for key, item in inner.items() if key.endswith("Value")]
            if len(found) != 1:
                raise InvalidMetadata(f"metadataAttributes.{name} has no single value.")
            plain[name] = found[0]
        else:
            plain[name] = value
    return plain
