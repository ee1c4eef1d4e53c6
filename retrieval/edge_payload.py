"""A point as the engine's payload, and back. Pure.

What narrows a search lies open; what only a reader of the point needs is one JSON string, `body`, which the engine
passes through (nested, it cost upserts and reads half as much again).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import numpy as np

from retrieval.chunks import Box, Chunk, Locator
from retrieval.edge_filters import stored_fields
from retrieval.filters import FilterFields
from retrieval.index import Point, StoredPoint

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_WHOLE: Final = "whole"  # the embedded text, where it does not end with the quoted one
_HEADER: Final = "header"  # what it has before the quoted text, where it does


def payload_of(point: Point) -> dict[str, Any]:
    """The payload of a point that is not live."""
    placement, chunk = point.placement, point.embedded.chunk
    return {
        "tenant": placement.tenant,
        "collection": placement.collection_id,
        "document": placement.document_id,
        "version": placement.version,
        "attempt": placement.attempt,
        "live": 0,
        "chunk": chunk.id,
        "body": _body(chunk, point.digest),
        **attributes_of(placement.readers, placement.rev, placement.fields),
    }


def attributes_of(readers: tuple[str, ...], rev: int, fields: FilterFields) -> dict[str, Any]:
    """What a repaint writes."""
    return {
        "readers": list(readers),
        "rev": rev,
        "f": stored_fields(fields),
    }


def point_of(point_id: str, payload: dict[str, Any], vector: list[float] | None) -> StoredPoint:
    body = json.loads(payload["body"])
    return StoredPoint(
        id=point_id,
        chunk=_chunk(payload, body),
        digest=body["digest"],
        tenant=payload["tenant"],
        collection_id=payload["collection"],
        version=payload["version"],
        attempt=payload["attempt"],
        rev=payload["rev"],
        live=payload["live"] == 1,
        readers=tuple(payload["readers"]),
        vector=None if vector is None else np.array(vector, dtype=np.float32),
    )


def _body(chunk: Chunk, digest: str) -> str:
    body = {
        "ordinal": chunk.ordinal,
        "text": chunk.text,
        "tokens": chunk.tokens,
        "digest": digest,
        "locator": _stored_locator(chunk.locator),
    }
    if chunk.embedded_text.endswith(chunk.text):
        body[_HEADER] = chunk.embedded_text.removesuffix(chunk.text)
    else:
        body[_WHOLE] = chunk.embedded_text
    packed = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    if packed.isascii() or not _SURROGATE.search(packed):
        return packed
    return json.dumps(body, separators=(",", ":"))  # escapes what UTF-8 cannot hold


def _chunk(payload: dict[str, Any], body: dict[str, Any]) -> Chunk:
    text = body["text"]
    return Chunk(
        id=payload["chunk"],
        document_id=payload["document"],
        ordinal=body["ordinal"],
        text=text,
        embedded_text=body[_WHOLE] if _WHOLE in body else body[_HEADER] + text,
        locator=_locator(body["locator"]),
        tokens=body["tokens"],
    )


def _stored_locator(locator: Locator) -> dict[str, Any]:
    stored = {name: value for name in Locator.__slots__ if (value := getattr(locator, name)) is not None}
    if locator.boxes is not None:
        stored["boxes"] = [[box.page, box.x0, box.y0, box.x1, box.y1] for box in locator.boxes]
    return stored


def _locator(stored: dict[str, Any]) -> Locator:
    known = dict(stored)
    for name in ("pages", "heading_path"):
        if name in known:
            known[name] = tuple(known[name])
    if "boxes" in known:
        known["boxes"] = tuple(Box(*box) for box in known["boxes"])
    return Locator(**known)
