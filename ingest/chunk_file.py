"""The chunk file: what the parse stage leaves for everybody after it, one compressed blob a version.

It holds the extracted text once; chunks and elements are spans of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgpack
import zstandard

from ingest.parsing import Defect, ParsedDocument
from retrieval.chunks import Box, Chunk, Locator

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class StoredElement:
    """An element as a span of the extracted text."""

    kind: str
    char_start: int
    char_end: int
    heading_path: tuple[str, ...] | None
    level: int | None
    boxes: tuple[Box, ...]
    slide: int | None
    sheet: str | None
    part: str | None


@dataclass(frozen=True, slots=True)
class ChunkFile:
    """Everything that parsing found, ready to be embedded, shown and quoted."""

    text: str
    title: str | None
    language: str | None
    pages: int | None
    elements: Sequence[StoredElement]
    chunks: Sequence[Chunk]
    defects: Sequence[Defect]

    @classmethod
    def of(cls, parsed: ParsedDocument, chunks: Sequence[Chunk]) -> ChunkFile:
        elements = [
            StoredElement(
                kind=element.kind.value,
                char_start=start,
                char_end=end,
                heading_path=element.heading_path,
                level=element.level,
                boxes=tuple(line.box for line in element.lines),
                slide=element.slide,
                sheet=element.sheet,
                part=element.part,
            )
            for element, start, end in parsed.spans()
        ]
        return cls(parsed.text(), parsed.title, parsed.language, parsed.pages, elements, chunks, parsed.defects)


def pack(file: ChunkFile) -> tuple[str, bytes]:
    """The file's digest and bytes. Quoted texts are not repeated: a chunk is its span and its context."""
    body = {
        "format": _FORMAT,
        "text": file.text,
        "title": file.title,
        "language": file.language,
        "pages": file.pages,
        "elements": [asdict(element) for element in file.elements],
        "chunks": [_chunk_to_wire(chunk) for chunk in file.chunks],
        "defects": [asdict(defect) for defect in file.defects],
    }
    data = zstandard.compress(msgpack.packb(body, use_bin_type=True), 3)
    return hashlib.sha256(data).hexdigest(), data


def unpack(data: bytes) -> ChunkFile:
    body = msgpack.unpackb(zstandard.decompress(data), raw=False, use_list=False, strict_map_key=False)
    if body["format"] != _FORMAT:
        raise ValueError(f"chunk file of format {body['format']}, expected {_FORMAT}")
    return ChunkFile(
        text=body["text"],
        title=body["title"],
        language=body["language"],
        pages=body["pages"],
        elements=[_element_from_wire(element) for element in body["elements"]],
        chunks=[_chunk_from_wire(chunk, body["text"]) for chunk in body["chunks"]],
        defects=[Defect(**defect) for defect in body["defects"]],
    )


def _chunk_to_wire(chunk: Chunk) -> dict[str, Any]:
    # The quoted text ends the embedded text unless a header row was put between: then all of it is kept.
    context = chunk.embedded_text.removesuffix(chunk.text)
    ends_with_quote = context + chunk.text == chunk.embedded_text
    return {
        "id": chunk.id,
        "document_id": chunk.document_id,
        "ordinal": chunk.ordinal,
        "context": context if ends_with_quote else chunk.embedded_text,
        "quoted": ends_with_quote,
        "locator": asdict(chunk.locator),
        "tokens": chunk.tokens,
    }


def _chunk_from_wire(wire: dict[str, Any], text: str) -> Chunk:
    locator = wire["locator"]
    boxes = locator["boxes"]
    found = Locator(**{**locator, "boxes": None if boxes is None else tuple(Box(**box) for box in boxes)})
    quote = text[found.char_start : found.char_end]
    return Chunk(
        id=wire["id"],
        document_id=wire["document_id"],
        ordinal=wire["ordinal"],
        text=quote,
        embedded_text=wire["context"] + (quote if wire["quoted"] else ""),
        locator=found,
        tokens=wire["tokens"],
    )


def _element_from_wire(wire: dict[str, Any]) -> StoredElement:
    return StoredElement(**{**wire, "boxes": tuple(Box(**box) for box in wire["boxes"])})
