"""Intake: the only way in, for uploads, JSON documents and the drop folder.

What it returns from is durable: the bytes are in the blob store (or, when small text, in the row), and one transaction
wrote the version and the task. Limits and types are checked before anything is stored.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from jsonschema import Draft202012Validator

from ingest import media_types
from ingest.backlog import Backlog
from ingest.blobs import Blobs
from ingest.folder_blobs import full_means_storage_full
from retrieval.catalogue import Catalogue
from retrieval.documents import Attributes, Collection, Content, Document, Lane, Submission
from retrieval.errors import EmptyFile, InvalidMetadata, InvalidName, InvalidRequest, RagstoneError, TooLarge
from retrieval.filters import check_metadata
from retrieval.identity import IdentityKind
from retrieval.principal import EVERYBODY, Principal
from retrieval.requests import Recording

TEXT_MEDIA_TYPES: Final = ("text/plain", "text/markdown", "text/html")
MAX_TITLE = 1_000
MAX_EXTERNAL_ID = 500
MAX_READER = 200


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """What is taken at most. Sizes in bytes; `inline_bytes`: text up to this lives in the catalogue's row; `backlog`:
    open parse and embed tasks from which on nothing is taken."""

    file_bytes: int = 512 << 20
    inline_bytes: int = 64 << 10
    readers: int = 64
    backlog: int = 100_000


@dataclass(frozen=True, slots=True)
class Spooled:
    """A file that arrived whole, hashed on its way, not yet durable. `path` is None for one that was not kept."""

    path: Path | None
    sha256: str
    bytes: int

    def discard(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class TextItem:
    """A JSON document."""

    text: str
    media_type: str
    attributes: Attributes
    lane: Lane


@dataclass(frozen=True, slots=True)
class FileItem:
    """A spooled file with what its sender said of it.

    A file of the drop folder is known by `drop_path`, others by their external id or content. `refusal` is (code,
    reason) for one that is to be recorded as failed.
    """

    spooled: Spooled
    name: str
    declared_type: str | None
    attributes: Attributes
    lane: Lane
    source: str | None = None
    drop_path: str | None = None
    refusal: tuple[str, str] | None = None


class Intake:
    def __init__(
        self,
        *,
        catalogue: Catalogue,
        blobs: Blobs,
        spool: Path,
        limits: IntakeLimits,
        fingerprint: str,
        ring: Callable[[], None],
    ) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        self._spool = spool
        self._limits = limits
        self._fingerprint = fingerprint
        self._ring = ring
        self._backlog = Backlog(catalogue.tasks.backlog, limit=limits.backlog)
        spool.mkdir(parents=True, exist_ok=True)

    @property
    def limits(self) -> IntakeLimits:
        return self._limits

    def expect_room(self) -> None:
        """Raises `BacklogFull` where nothing more is taken for now: before anything arrives, if one can."""
        self._backlog.expect_room()

    def spool(self, blocks: Iterable[bytes]) -> Spooled:
        """Writes and hashes what arrives, if there is room for it in the backlog; refuses an empty file and one over
        the limit, and leaves nothing of them."""
        self.expect_room()
        digest, size = hashlib.sha256(), 0
        with full_means_storage_full(), NamedTemporaryFile(dir=self._spool, delete=False) as file:
            spooled = Path(file.name)
            try:
                for block in blocks:
                    size += len(block)
                    if size > self._limits.file_bytes:
                        raise TooLarge(f"The file is larger than {self._limits.file_bytes} bytes.")
                    digest.update(block)
                    file.write(block)
                if not size:
                    raise EmptyFile
                file.flush()  # a disk may be full only now
            except BaseException:
                spooled.unlink(missing_ok=True)
                raise
        return Spooled(spooled, digest.hexdigest(), size)

    def accept_file(
        self, principal: Principal, collection: Collection, item: FileItem, *, recording: Recording | None = None
    ) -> Document:
        """Takes one file; the spooled bytes are used up, or gone when it is refused."""
        try:
            submission = self._file_submission(principal, collection, item)
            if item.refusal is None and item.spooled.path is not None:
                self._catalogue.blobs.touch(collection.tenant, item.spooled.sha256)
                self._blobs.put(collection.tenant, item.spooled.sha256, item.spooled.path)
            (answer,) = self._catalogue.documents.accept([submission], recording=recording)
        finally:
            item.spooled.discard()
        if isinstance(answer, Exception):
            raise answer
        self._backlog.grew(1)
        self._ring()
        return answer

    def accept_texts(
        self,
        principal: Principal,
        collection: Collection,
        items: Sequence[TextItem],
        *,
        recording: Recording | None = None,
    ) -> list[Document | Exception]:
        """Takes JSON documents in one transaction, all of them if there is room in the backlog for one; what is wrong
        with one is that one's answer."""
        self.expect_room()
        answers: list[Document | Exception | None] = []
        submissions: list[Submission] = []
        for item in items:
            try:
                submissions.append(self._text_submission(principal, collection, item))
                answers.append(None)
            except RagstoneError as error:
                answers.append(error)
        if not submissions:
            return _filled(answers, ())
        if recording is not None:
            outer = recording.reply
            recording = replace(recording, reply=lambda accepted: outer(_filled(answers, accepted)))
        accepted = self._catalogue.documents.accept(submissions, recording=recording)
        self._backlog.grew(len(submissions))
        self._ring()
        return _filled(answers, accepted)

    def _file_submission(self, principal: Principal, collection: Collection, item: FileItem) -> Submission:
        name = checked_name(item.name) if item.refusal is None else shown_name(item.name)
        attributes = self.checked(collection, item.attributes) if item.refusal is None else item.attributes
        spooled = item.spooled
        media_type = "application/octet-stream"
        if item.refusal is None and spooled.path is not None:
            media_type = media_types.detect(spooled.path, name=name, declared=item.declared_type)
        kind, value = _identity(item, attributes)
        return Submission(
            submitter=principal,
            collection_id=collection.id,
            identity_kind=kind,
            identity_value=value,
            content=Content(spooled.sha256, spooled.bytes, media_type, name),
            attributes=attributes,
            default_title=name,
            source=shown_name(item.source or name),
            lane=item.lane,
            fingerprint=self._fingerprint,
            refusal=item.refusal,
        )

    def _text_submission(self, principal: Principal, collection: Collection, item: TextItem) -> Submission:
        attributes = self.checked(collection, item.attributes)
        if item.media_type not in TEXT_MEDIA_TYPES:
            raise InvalidRequest(f"media_type must be one of {', '.join(TEXT_MEDIA_TYPES)}.", pointer="/media_type")
        data = _utf8(item.text)
        if not item.text.strip():
            raise EmptyFile("The text is empty.", pointer="/text")
        if len(data) > self._limits.file_bytes:
            raise TooLarge(f"The text is larger than {self._limits.file_bytes} bytes.")
        digest = hashlib.sha256(data).hexdigest()
        inline = item.text if len(data) <= self._limits.inline_bytes else None
        if inline is None:
            self._catalogue.blobs.touch(collection.tenant, digest)
            self._blobs.put_bytes(collection.tenant, digest, data)
        known_by = attributes.external_id
        return Submission(
            submitter=principal,
            collection_id=collection.id,
            identity_kind=IdentityKind.EXTERNAL_ID if known_by else IdentityKind.CONTENT,
            identity_value=known_by or digest,
            content=Content(digest, len(data), item.media_type, _TEXT_NAMES[item.media_type], inline),
            attributes=attributes,
            default_title=_first_line(item.text),
            source=None,
            lane=item.lane,
            fingerprint=self._fingerprint,
        )

    def checked(self, collection: Collection, attributes: Attributes) -> Attributes:
        """The attributes, if they can be stored; raises `InvalidRequest` or `InvalidMetadata` with a pointer."""
        _check_line("title", attributes.title, MAX_TITLE)
        _check_line("external_id", attributes.external_id, MAX_EXTERNAL_ID)
        if attributes.metadata is not None:
            try:
                check_metadata(attributes.metadata)
            except InvalidMetadata as error:
                raise InvalidMetadata(str(error), pointer=f"/metadata{error.pointer}") from None
            check_schema(collection, attributes)
        if attributes.readers is not None:
            check_readers(attributes.readers, limit=self._limits.readers)
        return attributes


_TEXT_NAMES: Final = {"text/plain": "document.txt", "text/markdown": "document.md", "text/html": "document.html"}


def _filled(
    answers: Sequence[Document | Exception | None], accepted: Sequence[Document | Exception]
) -> list[Document | Exception]:
    """The answers, with those that were accepted, in their order, in the free places."""
    left = iter(accepted)
    return [next(left) if answer is None else answer for answer in answers]


def checked_name(name: str) -> str:
    """The file's own name; one with folders, control characters or nothing in it is refused, never repaired."""
    clean = unicodedata.normalize("NFC", name)
    bad = (
        not clean.strip()
        or clean in {".", ".."}
        or len(os.fsencode(clean.encode("utf-8", "replace").decode())) > 255
        or any(c in "/\\" or unicodedata.category(c) in {"Cc", "Cs"} for c in clean)
    )
    if bad:
        raise InvalidName(pointer="/file")
    return clean


def shown_name(name: str) -> str:
    """A name to show of a file that is refused, perhaps for its name."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in {"Cc", "Cs"} else c for c in name)


def check_readers(readers: Sequence[str], *, limit: int, pointer: str = "/readers") -> None:
    if len(readers) > limit:
        raise InvalidRequest(f"{len(readers)} readers; the limit is {limit}.", pointer=pointer)
    for i, reader in enumerate(readers):
        if reader == EVERYBODY or not reader.strip():
            raise InvalidRequest(
                "A reader is a label such as group:finance; leave readers out for everybody.", pointer=f"{pointer}/{i}"
            )
        _check_line("reader", reader, MAX_READER, pointer=f"{pointer}/{i}")


def check_schema(collection: Collection, attributes: Attributes) -> None:
    """The collection's metadata schema (JSON Schema 2020-12), where it has one."""
    if collection.metadata_schema is None or attributes.metadata is None:
        return
    validator = Draft202012Validator(dict(collection.metadata_schema))
    for error in validator.iter_errors(dict(attributes.metadata)):
        place = "".join(f"/{part}" for part in error.absolute_path)
        raise InvalidMetadata(f"The collection's metadata schema: {error.message}", pointer=f"/metadata{place}")


def _check_line(what: str, value: str | None, limit: int, *, pointer: str | None = None) -> None:
    if value is None:
        return
    where = pointer or f"/{what}"
    if not value.strip() or len(value) > limit:
        raise InvalidRequest(f"{what} must have 1 to {limit} characters.", pointer=where)
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in value):
        raise InvalidRequest(f"{what} holds a control character.", pointer=where)


def _identity(item: FileItem, attributes: Attributes) -> tuple[IdentityKind, str]:
    if item.drop_path is not None:
        return IdentityKind.DROP_PATH, item.drop_path
    if attributes.external_id is not None:
        return IdentityKind.EXTERNAL_ID, attributes.external_id
    return IdentityKind.CONTENT, item.spooled.sha256


def _utf8(text: str) -> bytes:
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRequest("The text holds half of a surrogate pair.", pointer="/text") from error
    if "\0" in text:
        raise InvalidRequest("The text holds a NUL character.", pointer="/text")
    return data


def _first_line(text: str) -> str:
    """A title for a text that came without one."""
    line = next((line.strip(" #\t") for line in text.splitlines() if line.strip(" #\t")), "Untitled")
    clean = "".join(" " if unicodedata.category(c) == "Cc" else c for c in line)
    return " ".join(clean.split())[:80].strip() or "Untitled"
