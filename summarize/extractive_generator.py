"""Generator without a language model: it chooses sentences from the passages, verbatim, and cites each.

An answer takes the sentences nearest to the question in meaning and words, or none when the evidence is too weak
(`evidence`). A summary takes whole sentences that are central to their document and to all of them, from all its
sections; with a question it takes what is about it and nothing else (`relevance`). Either way a sentence must add
something to those already chosen. No network, no model of its own but the embedder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.embedding import Embedder
from summarize.evidence import ANSWERED, answerability, names_apart, particulars, question_weights, share, signals
from summarize.expectation import lacks_kind, parts
from summarize.generation import GenerationRequest, GenerationUsage, Length
from summarize.relevance import relevance
from summarize.selection import choose
from summarize.sentences import is_row
from summarize.units import SHORTEST, Kind, Unit, has_verb, sums_up, units_of

Vector = NDArray[np.float32]

# One call embeds every sentence of its passages: 16,000 word pieces take a CPU about a second.
CONTEXT_TOKENS = 16_000
ANSWER_SENTENCES = {Length.SHORT: 2, Length.MEDIUM: 4, Length.LONG: 8}
SUMMARY_SENTENCES = {Length.SHORT: 3, Length.MEDIUM: 6, Length.LONG: 12}
# A further sentence of an answer must be nearly as near to the question as the best; what is far below only fills.
NEAR_BEST = 0.8
# Words count for less than meaning in ordering sentences: the embedder has seen the words too.
WORD_WEIGHT = 0.3
# "Larkfield Instruments" is as near as can be to a question about Larkfield Instruments, and says nothing.
ECHO = -0.15
LABEL = -0.05
# Where an amount of money is asked for, a sentence with one goes before a nearer one without.
OTHER_KIND = -0.12
# And what is said of E24 goes before what is said of error codes.
OTHER_NAME = -0.15
# A repeated thought costs a summary more than an answer, whose sentences all speak of the question.
ANSWER_REDUNDANCY = 0.3
SUMMARY_REDUNDANCY = 0.5
# What a summary's sentence is worth beside its nearness to the whole: standing early in its document, being near to
# its title, and standing in a section that sums up (Edmundson, "New methods in automatic extracting", 1969).
OPENING = 0.15
TITLE = 0.3
SECTION = 0.2
# Each sentence taken from a section makes its others worth less: what happened is one section, why it did another.
CROWDING = 0.06
# What the form of a unit says: a sentence that points at another is half of a thought, a row little out of its table.
SHAPE = {Kind.SENTENCE: 0.0, Kind.DEPENDENT: -0.3, Kind.ITEM: -0.2, Kind.ROW: -0.5, Kind.FRAGMENT: -0.6}
PROSE = (Kind.SENTENCE, Kind.DEPENDENT, Kind.ITEM)
# 50 words are two sentences' worth; nobody reads a third line to its end.
LONGEST = 50
TOO_LONG = -0.1
BRIEF = 8
TOO_SHORT = -0.1
NO_VERB = -0.1
QUESTION = -0.3
# With a question a row may be the only one to say it, and an item often is; their form decides less.
ASKED_SHAPE = 0.25
# Among all that is about the question, what the rest of it also speaks of.
KERNEL = 0.4
# What the search found first is a little more likely to be what was asked for.
FOUND = 0.05
# Between sentences equally near to the question, the one of a document not heard yet.
UNSERVED = 0.05


class ExtractiveGenerator:
    """Safe for several threads at once if the embedder is; generations share nothing else."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def name(self) -> str:
        return "extractive"

    @property
    def context_tokens(self) -> int:
        return CONTEXT_TOKENS

    def generate(self, request: GenerationRequest) -> ExtractiveGeneration:
        return ExtractiveGeneration(self._embedder, request)


class ExtractiveGeneration:
    """One extract. It is made when first iterated; `close` stops it between two sentences."""

    def __init__(self, embedder: Embedder, request: GenerationRequest) -> None:
        self._embedder = embedder
        self._request = request
        self._closed = False

    @property
    def usage(self) -> GenerationUsage:
        """No language model, no tokens."""
        return GenerationUsage(None, None, 0)

    def close(self) -> None:
        self._closed = True

    def __iter__(self) -> Iterator[str]:
        before: Unit | None = None
        for unit in self._chosen():
            if self._closed:
                return
            # A line break inside a sentence is the page's, not the writer's; a row stands on its own line.
            gap = "" if before is None else "\n" if is_row(unit.text) or is_row(before.text) else " "
            yield f"{gap}{' '.join(unit.text.split())} [{unit.passage.marker}]"
            before = unit

    def _chosen(self) -> list[Unit]:
        units = units_of(self._request.passages)
        if not units:
            return []
        if self._request.task == "answer":
            return _answer(self._embedder, units, self._request.question or "", self._request.length)
        count = SUMMARY_SENTENCES[self._request.length]
        if not self._request.question:
            documents = len({passage.document_id for passage in self._request.passages})
            count = max(count, min(2 * count, documents))
        return central(self._embedder, units, self._request.question, count=count)


def _answer(embedder: Embedder, units: Sequence[Unit], question: str, length: Length) -> list[Unit]:
    """The sentences that answer, part by part of the question; none if nothing does."""
    asked = parts(question)
    count = -(-ANSWER_SENTENCES[length] // len(asked))
    chosen: dict[int, None] = {}
    for part in asked:
        chosen |= dict.fromkeys(_answer_part(embedder, units, part, count))
    return [units[at] for at in chosen]


def _answer_part(embedder: Embedder, units: Sequence[Unit], question: str, count: int) -> list[int]:
    """The places of the sentences that answer one question, grouped by passage, that of the best one first."""
    asked = embedder.embed_query(question)
    bare, said = _vectors(embedder, units)
    nearness = np.maximum(bare @ asked, said @ asked)
    weights = question_weights(question, units)
    shares = np.array([share(unit.terms | unit.context, weights) for unit in units])
    named = particulars(question)
    faults = [
        ECHO * _is_echo(unit, weights)
        + LABEL * (unit.kind is Kind.FRAGMENT)
        + OTHER_KIND * lacks_kind(question, unit.text)
        + OTHER_NAME * names_apart(named, unit)
        for unit in units
    ]
    values = nearness + WORD_WEIGHT * shares + np.array(faults)
    best = int(np.argmax(values))
    if answerability(signals(embedder, question, units, best, asked, bare, nearness, weights)) < ANSWERED:
        return []
    floor = NEAR_BEST * float(values[best])
    chosen = choose(values, bare, count=count, redundancy=ANSWER_REDUNDANCY, floor=floor)
    strongest: dict[int, float] = {}
    for at in chosen:
        marker = units[at].passage.marker
        strongest[marker] = max(strongest.get(marker, -1.0), float(values[at]))
    return sorted(chosen, key=lambda at: (-strongest[units[at].passage.marker], units[at].passage.marker, at))


def central(embedder: Embedder, units: Sequence[Unit], question: str | None, *, count: int) -> list[Unit]:
    """The `count` units that stand for the whole, or for what it says on the question, in document order.

    Without a question every document is served as far as they reach. With one, only what is about it is chosen, and
    that may be nothing; that a document was not quoted yet decides between equals.
    """
    return _on_question(embedder, units, question, count) if question else _of_all(embedder, units, count)


def _of_all(embedder: Embedder, units: Sequence[Unit], count: int) -> list[Unit]:
    units = _prose_first(units)
    bare = embedder.embed_passages([unit.text for unit in units])
    documents = np.array([unit.passage.document_id for unit in units])
    values = _centrality(bare) + np.array([_shape(unit) for unit in units])
    for document in np.unique(documents):
        own = documents == document
        values[own] += _centrality(bare[own])
        values[own] += OPENING / (1.0 + np.arange(own.sum()))
        values[own] += TITLE * (bare[own] @ embedder.embed_query(units[int(np.argmax(own))].passage.title))
    chosen = choose(
        values,
        bare,
        count=count,
        redundancy=SUMMARY_REDUNDANCY,
        groups=documents.tolist(),
        sections=[f"{unit.passage.document_id} {unit.section}" for unit in units],
        crowding=CROWDING,
    )
    return [units[at] for at in sorted(chosen)]


def _on_question(embedder: Embedder, units: Sequence[Unit], question: str, count: int) -> list[Unit]:
    asked = embedder.embed_query(question)
    bare, said = _vectors(embedder, units)
    values = relevance(question, units, bare @ asked, said @ asked)
    about = np.isfinite(values)
    whole = about & np.array([unit.kind is not Kind.FRAGMENT for unit in units])
    about = whole if whole.any() else about
    values[~about] = -np.inf
    if not about.any():
        return []
    values[about] += KERNEL * _centrality(bare[about])
    documents = np.array([unit.passage.document_id for unit in units])
    for document in np.unique(documents[about]):
        own = about & (documents == document)
        values[own] += OPENING / (1.0 + np.arange(own.sum()))
    values += np.array([ASKED_SHAPE * SHAPE[unit.kind] + FOUND * unit.passage.relevance for unit in units])
    chosen = choose(
        values,
        bare,
        count=count,
        redundancy=ANSWER_REDUNDANCY,
        floor=-10.0,
        groups=[unit.passage.document_id for unit in units],
        unserved=UNSERVED,
    )
    return [units[at] for at in sorted(chosen)]


def _prose_first(units: Sequence[Unit]) -> Sequence[Unit]:
    """Without the rows and fragments of documents that have sentences to be summarised by."""
    told = {unit.passage.document_id for unit in units if unit.kind in PROSE}
    return [unit for unit in units if unit.kind in PROSE or unit.passage.document_id not in told]


def _shape(unit: Unit) -> float:
    """What the form of a unit adds to its worth in a summary of everything, and where it stands."""
    length = len(unit.text.split())
    faults = TOO_LONG * (length > LONGEST) + TOO_SHORT * (length < BRIEF) + NO_VERB * (not has_verb(unit.text))
    return SHAPE[unit.kind] + faults + QUESTION * unit.text.endswith("?") + SECTION * sums_up(unit.section)


def _is_echo(unit: Unit, weights: Mapping[str, float]) -> bool:
    """Whether a few words do hardly more than repeat the question: a name, a salutation, a heading."""
    new = len(unit.terms - weights.keys())
    return new <= 1 and len(unit.terms) < SHORTEST and not is_row(unit.text) and not any(c.isdigit() for c in unit.text)


def _vectors(embedder: Embedder, units: Sequence[Unit]) -> tuple[Vector, Vector]:
    """Vectors of the units bare and with their context, each distinct text embedded once."""
    texts = list(dict.fromkeys([*(unit.text for unit in units), *(unit.said for unit in units)]))
    rows = {text: row for row, text in enumerate(texts)}
    vectors = embedder.embed_passages(texts)
    return vectors[[rows[unit.text] for unit in units]], vectors[[rows[unit.said] for unit in units]]


def _centrality(vectors: Vector) -> NDArray[np.float64]:
    """Cosine of each unit with the mean of them all, in [-1, 1]."""
    mean = vectors.mean(axis=0)
    return np.asarray(vectors @ (mean / max(float(np.linalg.norm(mean)), 1e-9)), dtype=np.float64)
