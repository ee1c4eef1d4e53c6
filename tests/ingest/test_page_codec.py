"""What travels from the child that reads a page to the one that assembles: whole, or not at all."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ingest.codec_values import Malformed
from ingest.page_codec import decode_page, decode_title, encode_page, encode_title
from ingest.page_text import PageLine, PageText
from retrieval.chunks import Box

BOX = Box(7, 72.1, -0.0, 1e300, 0.1 + 0.2)
LINE = PageLine("漢字 🙂 lone \ud800", BOX, 700.25, 11.0, bold=True)
PAGE = PageText(7, 595.276, 842.0, (LINE, replace(LINE, bold=False, divided=True)), scanned=True)


@pytest.mark.parametrize("page", [PAGE, PageText(7, 0.0, 0.0, failure="It is broken."), PageText(7, 595.0, 842.0)])
def test_a_page_comes_back_as_it_was(page: PageText) -> None:
    assert repr(decode_page(encode_page(page), 7)) == repr(page)


def test_a_title_comes_back_as_it_was() -> None:
    assert decode_title(encode_title("Bericht \ud800")) == "Bericht \ud800"


@pytest.mark.parametrize(
    "page",
    [
        replace(PAGE, page=8),
        replace(PAGE, width=float("inf")),
        replace(PAGE, lines=(replace(LINE, baseline=float("nan")),)),
        replace(PAGE, lines=(replace(LINE, text=b"bytes"),)),
        replace(PAGE, failure=7),
    ],
    ids=["another page", "infinite", "not a number", "bytes for text", "number for text"],
)
def test_values_that_cannot_be_are_malformed(page: PageText) -> None:
    with pytest.raises(Malformed):
        decode_page(encode_page(page), 7)


def test_no_damaged_bytes_raise_anything_but_malformed() -> None:
    whole, chance = encode_page(PAGE), random.Random(7)
    for _ in range(3_000):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            decode_page(bytes(damaged[: chance.randint(1, len(damaged))]), 7)
        except Malformed:
            continue
