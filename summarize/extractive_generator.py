"""Generator without a language model: it chooses sentences from the passages, verbatim, and cites each.

An answer takes the sentences nearest to the question in meaning and words, or none when the evidence is too weak
(`evidence`). A summary takes sentences that are central to their document and to all of them, near the openings, and
with a question also near to it. Either way a sentence must add something to those already chosen. No network, no
model of its own but the embedder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.embedding import Embedder
from summarize.evidence import ANSWERED, answerability, question_weights, share, signals
from summarize.generation import GenerationRequest, GenerationUsage, Length
from summarize.selection import choose
from summarize.sentences import is_row
from summarize.units import Unit, units_of

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
# A repeated thought costs a summary more than an answer, whose sentences all speak of the question.
ANSWER_REDUNDANCY = 0.3
SUMMARY_REDUNDANCY = 0.5
# What a summary's sentence is worth, beside its nearness to the whole: standing early in its document, and near the
# question when there is one. A row says little out of its table.
OPENING = 0.15
ASKED = 1.0
ROW = -0.15
# Fewer content words than this are a label or a fragment.
SHORTEST = 4
FRAGMENT = -0.2


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
        documents = len({passage.document_id for passage in self._request.passages})
        return central(self._embedder, units, self._request.question, count=max(count, min(2 * count, documents)))


def _answer(embedder: Embedder, units: Sequence[Unit], question: str, length: Length) -> list[Unit]:
    """The sentences that answer, grouped by passage, the passage of the best one first; none if nothing does."""
    asked = embedder.embed_query(question)
    bare, said = _vectors(embedder, units)
    nearness = np.maximum(bare @ asked, said @ asked)
    weights = question_weights(question, units)
    words = np.array([share(unit.terms | unit.context, weights) for unit in units])
    echoes = np.array([_is_echo(unit, weights) for unit in units])
    values = nearness + WORD_WEIGHT * words + ECHO * echoes
    best = int(np.argmax(values))
    if answerability(signals(question, units, best, asked, bare, nearness, weights)) < ANSWERED:
        return []
    floor = NEAR_BEST * float(values[best])
    chosen = choose(values, bare, count=ANSWER_SENTENCES[length], redundancy=ANSWER_REDUNDANCY, floor=floor)
    strongest: dict[int, float] = {}
    for at in chosen:
        marker = units[at].passage.marker
        strongest[marker] = max(strongest.get(marker, -1.0), float(values[at]))
    order = sorted(chosen, key=lambda at: (-strongest[units[at].passage.marker], units[at].passage.marker, at))
    return [units[at] for at in order]


def central(embedder: Embedder, units: Sequence[Unit], question: str | None, *, count: int) -> list[Unit]:
    """The `count` units that stand for the whole, in document order, every document served as far as they reach."""
    bare = embedder.embed_passages([unit.text for unit in units])
    documents = np.array([unit.passage.document_id for unit in units])
    values = _centrality(bare) + np.array([OPENING * _earliness(units, at) for at in range(len(units))])
    for document in np.unique(documents):
        own = documents == document
        values[own] += _centrality(bare[own])
    values += np.array([ROW * is_row(unit.text) + FRAGMENT * (len(unit.terms) < SHORTEST) for unit in units])
    if question is not None:
        values += ASKED * (bare @ embedder.embed_query(question))
    chosen = choose(values, bare, count=count, redundancy=SUMMARY_REDUNDANCY, groups=documents.tolist())
    return [units[at] for at in sorted(chosen)]


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


def _earliness(units: Sequence[Unit], at: int) -> float:
    """1 for the first unit of its document, falling to 0."""
    document = units[at].passage.document_id
    before = sum(unit.passage.document_id == document for unit in units[:at])
    return 1.0 / (1.0 + before)
