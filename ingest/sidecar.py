"""The sidecar: a JSON file beside a file of the drop folder that says title, metadata, readers and external id.

`report.pdf.metadata.json` describes `report.pdf`. What it gives is applied, and what it gave before and gives no longer
is taken back. One that cannot be read or understood refuses its file: it may say who must not read it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from retrieval.documents import Attributes
from retrieval.errors import InvalidMetadata

SIDECAR_SUFFIX: Final = ".metadata.json"
SIDECAR_LIMIT = 1 << 20
NO_SIDECAR: Final = ""  # the digest of what is not there
_FIELDS: Final = frozenset({"title", "metadata", "readers", "external_id"})
_BEDROCK: Final = "metadataAttributes"


def read_sidecar(file: str | Path) -> bytes | None:
    """The bytes of the file's sidecar; None only where there is none.

    One that is there and cannot be opened (a link, a device, no permission) gives no bytes, which are no JSON. Raises
    `OSError` where reading breaks off: that says nothing about the sidecar.
    """
    try:
        descriptor = os.open(f"{file}{SIDECAR_SUFFIX}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        absent = error.errno in {errno.ENOENT, errno.ENAMETOOLONG}  # a name so long can have no sidecar beside it
        return None if absent else b""
    with os.fdopen(descriptor, "rb") as opened:
        return opened.read(SIDECAR_LIMIT + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""


def digest_of(sidecar: bytes | None) -> str:
    return NO_SIDECAR if sidecar is None else hashlib.sha256(sidecar).hexdigest()


def attributes_of(sidecar: bytes | None) -> Attributes:
    """What it says; raises `InvalidMetadata` for what cannot be understood."""
    if sidecar is None:
        return Attributes()
    body = _object(sidecar)
    unknown = set(body) - _FIELDS - {_BEDROCK}
    if unknown:
        raise InvalidMetadata(f"The sidecar names {min(unknown)}; it may name {', '.join(sorted(_FIELDS))}.")
    if _BEDROCK in body and "metadata" in body:
        raise InvalidMetadata(f"The sidecar names metadata and {_BEDROCK}, which are the same thing twice.")
    readers = body.get("readers")
    texts = [value for value in (body.get("title"), body.get("external_id")) if value is not None]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidMetadata("The sidecar's title and external_id must be strings.")
    if readers is not None and not (isinstance(readers, list) and all(isinstance(one, str) for one in readers)):
        raise InvalidMetadata("The sidecar's readers must be a list of strings.")
    return Attributes(
        title=body.get("title"),
        external_id=body.get("external_id"),
        metadata=_bedrock(body[_BEDROCK]) if _BEDROCK in body else body.get("metadata"),
        readers=None if readers is None else tuple(readers),
    )


def _object(sidecar: bytes) -> dict[str, Any]:
    if not sidecar:
        raise InvalidMetadata("The sidecar is empty, or no plain file that ragstone's account may read.")
    if len(sidecar) > SIDECAR_LIMIT:
        raise InvalidMetadata(f"The sidecar is larger than {SIDECAR_LIMIT} bytes.")
    try:
        body = json.loads(sidecar, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise InvalidMetadata(f"The sidecar is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise InvalidMetadata("The sidecar must be a JSON object.")
    return body


def _once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are each there once: of two lists of readers, none is the right one."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidMetadata(f"The sidecar names {name} twice.")
        found[name] = value
    return found


def _bedrock(attributes: Any) -> dict[str, Any]:
    """Bedrock's form: plain values, or `{"value": {"type": …, "stringValue": …}}`."""
    if not isinstance(attributes, dict):
        raise InvalidMetadata(f"{_BEDROCK} must be an object.")
    plain = {}
    for name, value in attributes.items():
        if isinstance(value, dict):
            inner = value.get("value")
            inner = inner if isinstance(inner, dict) else {}
            found = [item for key, item in inner.items() if key.endswith("Value")]
            if len(found) != 1:
                raise InvalidMetadata(f"{_BEDROCK}.{name} has no single value.")
            plain[name] = found[0]
        else:
            plain[name] = value
    return plain
