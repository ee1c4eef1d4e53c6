"""Identities that survive restarts, replays and edits. All are UUIDs of version 5 over canonical JSON."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from uuid import UUID, uuid5

# Made once, at random, for this project: ids of another install with the same inputs are the same ids.
NAMESPACE = UUID("5b0a4e0e-3f4a-4f6b-9d53-6a7f1c0d9e21")


class IdentityKind(StrEnum):
    """What a document is known by."""

    EXTERNAL_ID = "external_id"
    DROP_PATH = "drop_path"
    CONTENT = "content"


def _uuid(*parts: object) -> str:
    return str(uuid5(NAMESPACE, json.dumps(parts, ensure_ascii=False, separators=(",", ":"))))


def document_id(tenant: str, collection_id: str, kind: IdentityKind, value: str) -> str:
    return _uuid(tenant, collection_id, kind.value, value)


def text_digest(text: str) -> str:
    """The sha256, in hex, of a text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def chunk_ids(document: str, texts: Iterable[str]) -> Iterator[str]:
    """Stable over versions: document, sha256 of the quoted text, ordinal among equal texts."""
    seen: Counter[str] = Counter()
    for text in texts:
        digest = text_digest(text)
        yield _uuid(document, digest, seen[digest])
        seen[digest] += 1


def point_id(chunk_id: str, attempt: int) -> str:
    """No two attempts share a point, so nobody late can damage what serves."""
    return _uuid(chunk_id, attempt)
