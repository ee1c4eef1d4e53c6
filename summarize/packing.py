"""Packing: from what was found to numbered passages within a token budget.

A near-duplicate of a passage already taken is left out: it would fill the budget and prove nothing more. For a
summary of several documents the budget is shared: documents take turns, so that one long document never silences the
rest, and what a short one leaves over goes to the others. With a question the budget goes to what is relevant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retrieval.embedding import Tokenizer
from summarize.generation import Passage
from summarize.material import Material
from summarize.terms import question_terms, terms

# Above nine tenths common terms, two passages are editions of one text; below, they differ in a fact.
NEAR_DUPLICATE = 0.9


@dataclass(frozen=True, slots=True)
class Packed:
    """Passages, and of how many chunks and documents they speak: repeated chunks count, for their text is there."""

    passages: tuple[Passage, ...]
    chunks: int
    documents: int


def pack(material: Sequence[Material], tokenizer: Tokenizer, *, budget: int) -> list[Passage]:
    """The first of `material` that fit into `budget` word pieces, in the order given, numbered from 1.

    A passage that does not fit is passed over and a shorter one behind it may still be taken. The first is always
    taken, however long, so that something can be said.
    """
    taken: list[Material] = []
    seen = _Seen()
    used = 0
    for item, tokens in zip(material, tokenizer.count([item.text for item in material]), strict=True):
        if (not taken or used + tokens <= budget) and seen.is_new(item.text):
            taken.append(item)
            used += tokens
    return numbered(taken)


def pack_documents(documents: Mapping[str, Sequence[Material]], tokenizer: Tokenizer, *, budget: int) -> Packed:
    """Passages of several documents within one budget, numbered from 1, grouped by document and in document order.

    Within a document the chunks are taken evenly spread, the first one first: the opening says most, and what is left
    out is left out everywhere alike. A document is done when its next chunk no longer fits.
    """
    waiting = {key: _spread(list(chunks)) for key, chunks in documents.items() if chunks}
    taken: dict[str, list[tuple[int, Material]]] = {key: [] for key in waiting}
    said = dict.fromkeys(waiting, 0)
    seen = _Seen()
    used = 0
    while waiting:
        for key in list(waiting):
            place, item = waiting[key].pop(0)
            tokens = tokenizer.count([item.text])[0]
            if used and used + tokens > budget:
                del waiting[key]
                continue
            said[key] += 1
            if seen.is_new(item.text):
                taken[key].append((place, item))
                used += tokens
            if not waiting[key]:
                del waiting[key]
    in_order = [item for key in taken for _, item in sorted(taken[key], key=lambda pair: pair[0])]
    return Packed(tuple(numbered(in_order)), sum(said.values()), sum(count > 0 for count in said.values()))


def pack_relevant(
    documents: Mapping[str, Sequence[Material]], question: str, tokenizer: Tokenizer, *, budget: int
) -> Packed:
    """Passages of several documents within one budget, the most relevant first, grouped and ordered like the others.

    Relevance is the place of the search score between the lowest and the highest, plus the share of the question's
    words in the chunk and its title; what has neither takes what room is left. What does not fit is passed over.
    """
    every = [(key, place, item) for key, chunks in documents.items() for place, item in enumerate(chunks)]
    if not every:
        return Packed((), 0, 0)
    asked = frozenset(question_terms(question))
    highest = max(item.score for _, _, item in every) or 1.0
    worth = [item.score / highest + _held(asked, f"{item.title} {item.text}") for _, _, item in every]
    counts = tokenizer.count([item.text for _, _, item in every])
    taken: list[tuple[str, int, Material]] = []
    said: list[str] = []
    seen = _Seen()
    used = 0
    for at in sorted(range(len(every)), key=lambda at: -worth[at]):
        key, _, item = every[at]
        if used and used + counts[at] > budget:
            continue
        said.append(key)
        if seen.is_new(item.text):
            taken.append(every[at])
            used += counts[at]
    order = {key: number for number, key in enumerate(documents)}
    taken.sort(key=lambda one: (order[one[0]], one[1]))
    return Packed(tuple(numbered([item for _, _, item in taken])), len(said), len(set(said)))


def numbered(material: Sequence[Material]) -> list[Passage]:
    """Passages with markers from 1 in the order given; relevance is the score's place between the lowest and highest.

    Equal scores are all of relevance 1. The lowest of several keeps a little (0.1): it was found, after all.
    """
    if not material:
        return []
    low = min(item.score for item in material)
    span = max(item.score for item in material) - low
    return [
        Passage(
            marker=marker,
            chunk_id=item.chunk_id,
            document_id=item.document_id,
            title=item.title,
            text=item.text,
            locator=item.locator,
            relevance=min(1.0, 0.1 + 0.9 * (item.score - low) / span) if span > 0 else 1.0,
        )
        for marker, item in enumerate(material, start=1)
    ]


class _Seen:
    """The texts taken so far, as sets of terms."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._terms: list[frozenset[str]] = []

    def is_new(self, text: str) -> bool:
        """Whether the text says something that no text before it says; remembers it if so."""
        own = frozenset(terms(text))
        if text in self._texts or any(_likeness(own, other) >= NEAR_DUPLICATE for other in self._terms):
            return False
        self._texts.add(text)
        self._terms.append(own)
        return True


def _likeness(left: frozenset[str], right: frozenset[str]) -> float:
    """The share of common terms, in [0, 1]; 0 when both are empty."""
    together = len(left | right)
    return len(left & right) / together if together else 0.0


def _held(asked: frozenset[str], text: str) -> float:
    """The share of the question's terms that the text holds, in [0, 1]."""
    return len(asked.intersection(terms(text))) / len(asked) if asked else 0.0


def _spread(chunks: list[Material]) -> list[tuple[int, Material]]:
    """Chunks with their places: the first, then halves, quarters and so on, so that any prefix covers the document."""
    order: dict[int, None] = {}
    step = max(1, len(chunks))
    while step >= 1:
        order |= dict.fromkeys(range(0, len(chunks), step))
        step //= 2
    return [(place, chunks[place]) for place in order]
