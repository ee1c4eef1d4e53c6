"""Passages and material for the tests of this package."""

from __future__ import annotations

from retrieval.chunks import Locator
from summarize.generation import Passage
from summarize.material import Material

MANUAL = "The Zephyr X200 has a warranty of 24 months. It weighs 1,200 grams, as shown in [12]. It is not waterproof."
PRICES = (
    "The price rose to $1.2 million on 5 March 2024. Payment is due within two weeks. See https://prices.example/a."
)
TABLE = "Club | City | Points\nRiver Otters | Halden | 61\nIron Bears | Tampere | 49"
MINUTES = (
    "The members agreed to replace the water pump before winter. Tom Abara will ask for three quotes.\n\n"
    "The harvest party is on Saturday 12 October. Everybody brings a dish."
)


def passage(marker: int, text: str, *, title: str = "A document", heading: tuple[str, ...] | None = None) -> Passage:
    locator = Locator(0, len(text), heading_path=heading)
    return Passage(marker, f"chunk-{marker}", f"document-{marker}", title, text, locator, 1.0 / marker)


def material(place: int, text: str, *, document: str | None = None, title: str = "A document") -> Material:
    return Material(
        f"chunk-{place}", document or f"document-{place}", title, text, Locator(0, len(text)), 1.0 / (place + 1)
    )


PASSAGES = (
    passage(1, MANUAL, title="Zephyr manual"),
    passage(2, PRICES, title="Prices"),
    passage(3, TABLE, title="results.csv"),
    passage(4, MINUTES, title="Minutes"),
)
