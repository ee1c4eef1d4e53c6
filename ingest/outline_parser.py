"""Outlines: reStructuredText and Org, read as plain text whose headings are told by their marks.

Markup inside paragraphs stays as it is written. Levels in reStructuredText go by the order in which its underlines
first appear, as docutils has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ingest.heading_paths import with_heading_paths
from ingest.parsing import Element, ElementKind, ParsedDocument
from ingest.text_parser import decode, paragraphs

_ORG_HEADING = re.compile(r"(\*+)[ \t]+(\S.*)")
_RST_RULE = re.compile(r"([!-/:-@\[-`{-~])\1{2,}[ \t]*")


def parse_org(data: bytes) -> ParsedDocument:
    """Headings are lines that begin with stars."""
    return _document(_org_elements(decode(data).split("\n")))


def parse_rst(data: bytes) -> ParsedDocument:
    """Headings are lines above a rule of one punctuation mark that is at least as long."""
    return _document(_rst_elements(decode(data).split("\n")))


def _document(elements: Iterator[Element]) -> ParsedDocument:
    return ParsedDocument(tuple(with_heading_paths(elements)))


def _heading(text: str, level: int) -> Element:
    return Element(ElementKind.TITLE, text.strip(), level=level)


def _org_elements(lines: list[str]) -> Iterator[Element]:
    block: list[str] = []
    for line in lines:
        if match := _ORG_HEADING.fullmatch(line):
            yield from paragraphs("\n".join(block))
            block = []
            yield _heading(match[2], len(match[1]))
        else:
            block.append(line)
    yield from paragraphs("\n".join(block))


def _rst_elements(lines: list[str]) -> Iterator[Element]:
    marks: list[tuple[str, bool]] = []
    block: list[str] = []
    at = 0
    while at < len(lines):
        over = _rule(lines, at)
        title_at = at + 1 if over else at
        under = _rule(lines, title_at + 1)
        if under and _is_title(lines, title_at, under) and (not over or over == under):
            yield from paragraphs("\n".join(block))
            block = []
            mark = (under[0], bool(over))
            if mark not in marks:
                marks.append(mark)
            yield _heading(lines[title_at], marks.index(mark) + 1)
            at = title_at + 2
        else:
            block.append(lines[at])
            at += 1
    yield from paragraphs("\n".join(block))


def _rule(lines: list[str], at: int) -> str:
    """The rule on this line, "" when there is none."""
    return lines[at].rstrip() if at < len(lines) and _RST_RULE.fullmatch(lines[at]) else ""


def _is_title(lines: list[str], at: int, under: str) -> bool:
    title = lines[at].rstrip()
    alone = at == 0 or not lines[at - 1].strip() or bool(_rule(lines, at - 1))
    return bool(title.strip()) and alone and not _rule(lines, at) and len(title) <= len(under)
