"""The chunk file gives back what parsing and chunking made, quotes and all."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import msgpack
import pytest
import zstandard

from ingest import chunk_file
from ingest.chunk_file import ChunkFile
from ingest.parsing import Defect, Element, ElementKind, Line, ParsedDocument
from retrieval.chunks import Box, Chunk, Locator

BOX = Box(2, 1.5, 2.5, 3.5, 4.5)
PARSED = ParsedDocument(
    elements=(
        Element(ElementKind.TITLE, "Otters", heading_path=(), level=1, lines=(Line(0, 6, BOX),)),
        Element(
            ElementKind.TABLE, "Straße | 1\n\U0001f9a6 | 2", heading_path=("Otters",), sheet="S", row_numbers=(3, 5)
        ),
        Element(ElementKind.PARAGRAPH, "The end.", slide=4, part="1.2"),
    ),
    title="Otters",
    language="en",
    pages=3,
    defects=(Defect("pages_failed", "page 3", "it is damaged"),),
)


def chunks() -> list[Chunk]:
    text = PARSED.text()
    locators = [
        Locator(0, 6, pages=(2,), boxes=(BOX,), heading_path=()),
        Locator(8, len(text) - 10, heading_path=("Otters",), sheet="S", row_start=3, row_end=5),
        Locator(len(text) - 8, len(text), slide=4, part="1.2"),
    ]
    quotes = [text[one.char_start : one.char_end] for one in locators]
    embedded = [quotes[0], f"Otters\n{quotes[1]}", f"Otters\nhead | er\n{quotes[2]} and a suffix"]
    return [
        Chunk(f"c{n}", "d", n, quote, whole, locator, 7)
        for n, (quote, whole, locator) in enumerate(zip(quotes, embedded, locators, strict=True))
    ]


def test_what_was_packed_is_unpacked_equal() -> None:
    file = ChunkFile.of(PARSED, chunks())
    _, data = chunk_file.pack(file)
    found = chunk_file.unpack(data)
    assert found == replace(file, elements=list(file.elements), defects=list(file.defects))
    assert list(found.chunks) == chunks()


def test_elements_are_spans_of_the_text() -> None:
    file = ChunkFile.of(PARSED, chunks())
    spans = [file.text[element.char_start : element.char_end] for element in file.elements]
    assert spans == [element.text for element in PARSED.elements]


def test_equal_files_have_equal_digests_and_the_digest_is_of_the_bytes() -> None:
    digest, data = chunk_file.pack(ChunkFile.of(PARSED, chunks()))
    assert digest == hashlib.sha256(data).hexdigest()
    assert chunk_file.pack(ChunkFile.of(PARSED, chunks()))[0] == digest
    assert chunk_file.pack(ChunkFile.of(PARSED, chunks()[:1]))[0] != digest


def test_quotes_are_not_stored_twice() -> None:
    text = " ".join(hashlib.sha256(str(n).encode()).hexdigest() for n in range(200))
    parsed = ParsedDocument((Element(ElementKind.PARAGRAPH, text),))
    chunk = Chunk("c", "d", 0, text, f"Title\n{text}", Locator(0, len(text)), 1)
    _, data = chunk_file.pack(ChunkFile.of(parsed, [chunk]))
    assert zstandard.decompress(data).count(text[:64].encode()) == 1


def test_a_file_of_another_format_is_not_guessed_at() -> None:
    data = zstandard.compress(msgpack.packb({"format": 99}))
    with pytest.raises(ValueError, match="99"):
        chunk_file.unpack(data)
