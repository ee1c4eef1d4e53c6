"""Places: a locator in words, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragstone.models import Locator


def place_of(locator: Locator) -> str:
    """For example "page 3", "sheet Prices, rows 2-40", "Safety › Alarms"; characters where nothing else is known, and
    "" where not even they are."""
    parts = [
        f"page {', '.join(map(str, locator.pages))}" if locator.pages else "",
        f"slide {locator.slide}" if locator.slide else "",
        f"sheet {locator.sheet}" if locator.sheet else "",
        f"rows {locator.row_start}-{locator.row_end}" if locator.row_start else "",
        f"part {locator.part}" if locator.part else "",
        " › ".join(locator.heading_path) if locator.heading_path and not locator.pages else "",
    ]
    known = ", ".join(part for part in parts if part)
    if known or locator.char_start is None:
        return known
    return f"characters {locator.char_start}-{locator.char_end}"
