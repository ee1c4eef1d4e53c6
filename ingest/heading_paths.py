"""Heading paths: from headings with levels to the headings above each element."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ingest.parsing import Element


def with_heading_paths(elements: Iterable[Element]) -> Iterator[Element]:
    """The elements, each with the headings above it, outermost first; `()` where there is none.

    A heading ends every heading of its own or a deeper level. Levels may be skipped.
    """
    above: list[tuple[int, str]] = []
    for element in elements:
        level = element.level
        if level is not None:
            above = [heading for heading in above if heading[0] < level]
        yield replace(element, heading_path=tuple(heading for _, heading in above))
        if level is not None:
            above.append((level, " ".join(element.text.split())))
