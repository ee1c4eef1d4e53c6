"""The small markup of sample_sources/: what PDF, Word, PowerPoint and HTML are all set from.

# to ####        headings, levels 1 to 4
- item           bullet        1. item    numbered item
| a | b |        table row; the first row of a table is its header
> text           callout; on a slide, the speaker's notes
--- [turned]     page break; `turned` asks for one landscape page
other lines      a paragraph, up to the next blank line
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NUMBERED = re.compile(r"\d+\. ")


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: str


@dataclass(frozen=True, slots=True)
class Items:
    texts: tuple[str, ...]
    numbered: bool


@dataclass(frozen=True, slots=True)
class Table:
    """The first row is the header."""

    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Note:
    text: str


@dataclass(frozen=True, slots=True)
class PageBreak:
    turned: bool


Block = Heading | Paragraph | Items | Table | Note | PageBreak


def read(source: str) -> list[Block]:
    """The blocks of a source, in order."""
    groups = re.split(r"\n\s*\n", source.strip())
    return [block for group in groups for block in _blocks(group.splitlines())]


def _blocks(lines: list[str]) -> list[Block]:
    first = lines[0]
    if first.startswith("#"):
        marks, text = first.split(" ", 1)
        return [Heading(len(marks), text.strip()), *(_blocks(lines[1:]) if lines[1:] else [])]
    if first.startswith("---"):
        return [PageBreak(turned="turned" in first)]
    if first.startswith("|"):
        return [Table(tuple(_cells(line) for line in lines))]
    if first.startswith("> "):
        return [Note(" ".join(line.removeprefix("> ") for line in lines))]
    if first.startswith("- "):
        return [Items(_items(lines, re.compile("- ")), numbered=False)]
    if NUMBERED.match(first):
        return [Items(_items(lines, NUMBERED), numbered=True)]
    return [Paragraph(" ".join(line.strip() for line in lines))]


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def _items(lines: list[str], mark: re.Pattern[str]) -> tuple[str, ...]:
    """A line without a mark continues the item above it."""
    texts: list[str] = []
    for line in lines:
        if mark.match(line):
            texts.append(mark.sub("", line, count=1).strip())
        else:
            texts[-1] += " " + line.strip()
    return tuple(texts)
