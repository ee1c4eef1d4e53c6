"""Archive limits: what an Office file or an e-book, which are ZIP archives, may hold. Looked at before it is opened.

A directory that lies gets past this; the sandbox's limits on memory and time stop what follows.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

from retrieval.errors import Unparseable

_MOST_BYTES = 1 << 30  # unpacked: twice the largest file that intake takes
_MOST_RATIO, _RATIO_FROM_BYTES = 200, 50_000_000  # XML packs up to some 50 times; small bombs hurt nobody
_MOST_MEMBERS = 20_000  # a presentation of a thousand slides has about five thousand
_ENCRYPTED_FLAG = 0x1
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # an Office file under a password is wrapped in one


# What zipfile raises for archives that are not as they say: RuntimeError is its word for a password.
ARCHIVE_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError,
)  # fmt: skip


def check_archive(source: Path | bytes) -> None:
    """Raises `Unparseable`: encrypted, damaged, or parse_limit for an archive that unpacks to far more than it is."""
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            members = archive.infolist()
    except ARCHIVE_ERRORS as error:
        if _head(source) == _OLE:
            raise Unparseable("encrypted", "The document is protected by a password.") from error
        raise Unparseable("damaged", f"The document's archive cannot be opened: {error}.") from error
    unpacked = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members) or 1
    if any(member.flag_bits & _ENCRYPTED_FLAG for member in members):
        raise Unparseable("encrypted", "The document's archive is protected by a password.")
    if len(members) > _MOST_MEMBERS:
        raise Unparseable("parse_limit", f"The archive has {len(members)} members; the limit is {_MOST_MEMBERS}.")
    if unpacked > _MOST_BYTES or (unpacked > _RATIO_FROM_BYTES and unpacked > packed * _MOST_RATIO):
        raise Unparseable("parse_limit", f"The archive of {packed} bytes unpacks to {unpacked}: that is refused.")


def _head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[: len(_OLE)]
    with source.open("rb") as file:
        return file.read(len(_OLE))
