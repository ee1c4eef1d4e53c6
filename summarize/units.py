"""Units of the passages: the sentences and rows an extract may be made of, with what is needed to judge them.

A sentence rarely repeats what it is about: its document's title, the headings above it and, for a row, the table's
header say that. So a unit carries this context, for comparison only; what is quoted is the bare unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from summarize.generation import Passage
from summarize.sentences import is_row, sentence_spans
from summarize.terms import terms

# "Travel and expenses": a line of up to this many words without a full stop, before more text, is a heading.
HEADING_WORDS = 8
# Context beyond this many code points says nothing more and drowns the unit.
CONTEXT = 160


@dataclass(frozen=True, slots=True)
class Unit:
    """One sentence or row. `place` counts from 0 within its passage, which has `of` units.

    `said` is what is compared by meaning: context and text. `terms` are the unit's own, `context` those around it.
    """

    passage: Passage
    text: str
    place: int
    of: int
    said: str
    terms: frozenset[str]
    context: frozenset[str]


def units_of(passages: Sequence[Passage]) -> list[Unit]:
    """The units of all passages, in order; headings and table headers are context, not units."""
    return [unit for passage in passages for unit in _units(passage)]


def _units(passage: Passage) -> list[Unit]:
    spans = sentence_spans(passage.text)
    texts = [passage.text[start:end] for start, end in spans]
    above = [passage.title, *(passage.locator.heading_path or ())]
    found: list[tuple[str, list[str]]] = []
    heading: list[str] = []
    header: str | None = None
    for place, text in enumerate(texts):
        if is_row(text):
            if header is None and place + 1 < len(texts) and is_row(texts[place + 1]):
                header = text
                continue
            found.append((text, [*heading, header] if header else heading))
            continue
        header = None
        if place + 1 < len(texts) and _is_heading(text, passage.text[spans[place][1] : spans[place + 1][0]]):
            heading = [text]
        else:
            found.append((text, heading))
    if not found:
        found = [(text, []) for text in texts]
    return [
        Unit(
            passage,
            text,
            place,
            len(found),
            f"{' '.join(dict.fromkeys((*above, *around)))[:CONTEXT]}. {text}" if above or around else text,
            frozenset(terms(text)),
            frozenset(terms(" ".join((*above, *around)))),
        )
        for place, (text, around) in enumerate(found)
    ]


def _is_heading(text: str, gap: str) -> bool:
    if text.startswith("#"):
        return True
    return (
        "\n" in gap and len(text.split()) <= HEADING_WORDS and text[-1].isalnum() and not any(c.isdigit() for c in text)
    )
