"""What crosses the border from a parser child: whole, or not at all."""

from __future__ import annotations

import random
from dataclasses import replace

import msgpack
import pytest

from ingest.codec_values import Malformed
from ingest.parsed_codec import MAX_ITEMS, TooManyItems, decode, encode
from ingest.parsing import Defect, Element, ElementKind, Line, ParsedDocument
from retrieval.chunks import Box

WHOLE = ParsedDocument(
    elements=(
        Element(ElementKind.TITLE, "Bericht 漢字 🙂", level=1, lines=(Line(0, 7, Box(1, 0.0, 1.5, 20.0, 12.0)),)),
        Element(ElementKind.TABLE, "a | b\nc | d", heading_path=("Bericht",), sheet="Q1", row_numbers=(2, 5)),
        Element(ElementKind.LIST_ITEM, "lone \ud800 surrogate", heading_path=(), slide=3, part="1.2"),
    ),
    title="Bericht",
    language="de",
    pages=4,
    defects=(Defect("pages_failed", "page 3", "The page is damaged."),),
)


def test_a_document_comes_back_as_it_was() -> None:
    assert decode(encode(WHOLE)) == WHOLE
    assert decode(encode(ParsedDocument(elements=()))) == ParsedDocument(elements=())


def test_no_damaged_bytes_raise_anything_but_malformed() -> None:
    whole, chance = encode(WHOLE), random.Random(7)
    for _ in range(3_000):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            decode(damaged[: chance.randint(1, len(damaged))])
        except Malformed:
            continue


@pytest.mark.parametrize(
    "element",
    [
        replace(WHOLE.elements[0], lines=(Line(0, 999, Box(1, 0.0, 0.0, 1.0, 1.0)),)),
        replace(WHOLE.elements[0], lines=(Line(0, 1, Box(0, 0.0, 0.0, 1.0, 1.0)),)),
        replace(WHOLE.elements[0], lines=(Line(0, 1, Box(1, float("nan"), 0.0, 1.0, 1.0)),)),
        replace(WHOLE.elements[0], level=-1),
        replace(WHOLE.elements[0], text=b"bytes"),
    ],
    ids=["line past the text", "page 0", "not a number", "negative level", "bytes for text"],
)
def test_values_that_cannot_be_are_malformed(element: Element) -> None:
    with pytest.raises(Malformed):
        decode(encode(ParsedDocument(elements=(element,))))


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x90", b"\x80", b"\x91" * 5_000, b"\xdd\xff\xff\xff\xff", msgpack.packb(7), b"\xc7\x01\x05x"],
    ids=["nothing", "reserved", "empty list", "map", "deep", "announced length", "number", "extension"],
)
def test_bytes_that_are_no_document_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


def test_a_document_of_too_many_parts_is_refused_before_it_is_sent() -> None:
    rows = tuple(range(1, 1001))
    element = Element(ElementKind.TABLE, "a", row_numbers=rows)
    with pytest.raises(TooManyItems):
        encode(ParsedDocument(elements=(element,) * (MAX_ITEMS // 1000)))


def test_a_message_of_countless_small_lists_is_stopped_early() -> None:
    thousand = b"\xdc\x03\xe8" + b"\x90" * 1000  # a list of a thousand empty lists
    with pytest.raises(Malformed, match="too many items"):
        decode(b"\xdd\x00\x00\x30\x00" + thousand * 0x3000)
