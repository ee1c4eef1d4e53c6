"""Output policy: generated text leaves without anything that a reader's program would fetch or follow.

A document can carry instructions, and a model can obey them: an image whose address holds what the model read is the
oldest way out. So images, links, reference definitions and HTML tags become their plain words before any of the text
is emitted, and a bare address stays only where the cited passages spell it exactly so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_DESTINATION = r"\((?:[^()\n]|\n(?!\n)|\([^()\n]*\))*\)"
_IMAGE = re.compile(rf"!\[(?P<words>[^\]]*)\](?:{_DESTINATION}|\[[^\]]*\])")
_LINK = re.compile(rf"\[(?P<words>(?:[^\[\]]|\[[^\[\]]*\])*)\]{_DESTINATION}")
_OPEN_LINK = re.compile(r"!?\[(?P<words>[^\[\]]*)\]\(\s*<?(?=\S*(?:[a-z][\w+.-]*:|//|www\.))[^)]*$", re.IGNORECASE)
_DEFINITION = re.compile(r"^[^\S\n]{0,3}\[[^\]\n]+\]:[^\S\n]*\S+.*$", re.MULTILINE)
_TAG = re.compile(
    r"<(?:/?[a-zA-Z][^<>]*|!--.*?--)>|<(?:img|a|script|iframe|svg|object|embed|link|style)\b[^>]*$", re.DOTALL | re.I
)
_ADDRESS = re.compile(
    r"(?:\b(?:https?|ftp|file|wss?)://|\b(?:data|javascript|vbscript|mailto):(?=\S)|\bwww\.(?=\w)|(?<![:\w/])//(?=\w+\.\w))[^\s<>\"'`\])}]*",
    re.IGNORECASE,
)
_TRAILING = ".,;:!?"


@dataclass(frozen=True, slots=True)
class CleanText:
    """Text that may be emitted, and verbatim what was taken out of it."""

    text: str
    removed: tuple[str, ...]


def without_links(text: str, *, evidence: Iterable[str] = ()) -> CleanText:
    """Takes images, links, tags and addresses out; bare addresses that an `evidence` text spells out stay.

    A link keeps its words; one whose words are a number becomes that marker. Ordinary brackets stay.
    """
    removed: list[str] = []
    known = tuple(evidence)

    def words(match: re.Match[str]) -> str:
        removed.append(match.group())
        inner = match.group("words").strip()
        return f"[{inner}]" if inner.isdigit() and not match.group().startswith("!") else inner

    def nothing(match: re.Match[str]) -> str:
        removed.append(match.group())
        return ""

    def address(match: re.Match[str]) -> str:
        found = match.group().rstrip(_TRAILING)
        if any(_spells(passage, found) for passage in known):
            return match.group()
        removed.append(found)
        return match.group()[len(found) :]

    # Links nest (an image inside a link), and taking one out can complete another: repeat until nothing changes.
    # Every round makes the text shorter, so this ends.
    before = None
    while before != text:
        before = text
        text = _IMAGE.sub(words, text)
        text = _LINK.sub(words, text)
        text = _OPEN_LINK.sub(words, text)
        text = _DEFINITION.sub(nothing, text)
        text = _TAG.sub(lambda match: _untagged(match, known, removed), text)
        text = _ADDRESS.sub(address, text)
    return CleanText(text, tuple(removed))


def _untagged(match: re.Match[str], known: tuple[str, ...], removed: list[str]) -> str:
    """An autolink `<https://…>` that the evidence spells out becomes the bare address; any other tag goes."""
    inner = match.group().strip("<>")
    if _ADDRESS.fullmatch(inner) and any(_spells(passage, inner) for passage in known):
        return inner
    removed.append(match.group())
    return ""


def _spells(passage: str, address: str) -> bool:
    """Whether the passage holds this very address, not a longer one that begins with it."""
    at = passage.find(address)
    while at >= 0:
        following = passage[at + len(address) : at + len(address) + 2].lstrip(_TRAILING)
        if not following or following[0].isspace() or following[0] in "<>\"'`])}":
            return True
        at = passage.find(address, at + 1)
    return False
