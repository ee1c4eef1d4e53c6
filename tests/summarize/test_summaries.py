"""Summaries: coverage, map and reduce, and citations that point at chunks however many rounds there were."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest

from retrieval.fixed_embedder import FixedEmbedder, WordTokenizer
from summarize.extractive_generator import ExtractiveGenerator
from summarize.generation import Generation, GenerationRequest, Generator, Length
from summarize.material import Material
from summarize.summaries import Summarizer, Summary, SummaryDone, SummaryEvent
from summarize.transcript import Cited, Delta
from tests.summarize.passages import MANUAL, MINUTES, PRICES, TABLE, material

TOPICS = ("harbour", "orchard", "library", "railway", "bakery", "quarry", "lighthouse", "theatre")


class Narrow:
    """The extractive generator with a small context: what a small chat model is to the summarizer."""

    def __init__(self, context_tokens: int) -> None:
        self._inner = ExtractiveGenerator(FixedEmbedder())
        self._context_tokens = context_tokens
        self.requests: list[GenerationRequest] = []

    @property
    def name(self) -> str:
        return "narrow"

    @property
    def context_tokens(self) -> int:
        return self._context_tokens

    def generate(self, request: GenerationRequest) -> Generation:
        self.requests.append(request)
        return self._inner.generate(request)


def chapter(topic: str, number: int) -> str:
    return (
        f"The {topic} was opened in 19{number:02d} by the town. "
        f"Its {topic} keeper number {number} told visitors of storms. "
        f"Repairs of the {topic} cost {100 + number} crowns. People of the {topic} still meet there on Sundays."
    )


def books(documents: int, chunks: int) -> dict[str, list[Material]]:
    return {
        f"d{d}": [
            material(100 * d + n, chapter(TOPICS[d], 10 + n), document=f"d{d}", title=TOPICS[d]) for n in range(chunks)
        ]
        for d in range(documents)
    }


def summarized(
    generator: Generator,
    documents: Mapping[str, Sequence[Material]],
    question: str | None = None,
    length: Length = Length.MEDIUM,
) -> tuple[list[SummaryEvent], Summary]:
    events = list(Summarizer(generator, WordTokenizer()).summarize(documents, question, length))
    assert isinstance(events[-1], SummaryDone)
    summary = events[-1].summary
    chunks = {m.chunk_id: m for chunks in documents.values() for m in chunks}
    assert "".join(e.text for e in events if isinstance(e, Delta)) == summary.text
    assert tuple(e.citation for e in events if isinstance(e, Cited)) == summary.citations
    assert all(c.quote in chunks[c.chunk_id].text for c in summary.citations)
    assert all(c.document_id == chunks[c.chunk_id].document_id for c in summary.citations)
    assert {int(n) for n in re.findall(r"\[(\d+)\]", summary.text)} == {c.marker for c in summary.citations}
    return events, summary


@pytest.fixture(params=[16_000, 400, 120])
def generator(request: pytest.FixtureRequest) -> Narrow:
    return Narrow(request.param)


def test_every_document_is_in_the_summary(generator: Narrow) -> None:
    _, summary = summarized(generator, books(4, 3))
    assert {c.document_id for c in summary.citations} == {"d0", "d1", "d2", "d3"}
    assert (summary.coverage.documents, summary.coverage.chunks_used, summary.coverage.chunks_total) == (4, 12, 12)
    assert not summary.dropped


def test_what_does_not_fit_is_mapped_and_reduced_with_its_citations() -> None:
    narrow = Narrow(200)
    _, summary = summarized(narrow, books(3, 6))
    assert len(narrow.requests) > 3
    assert summary.citations
    counted = [sum(WordTokenizer().count([p.text for p in r.passages])) for r in narrow.requests]
    assert all(tokens <= 200 for tokens in counted)


def test_a_question_steers_the_summary() -> None:
    _, summary = summarized(
        Narrow(16_000), books(1, 8), "What did repairs of the harbour cost in crowns?", Length.SHORT
    )
    assert "cost" in summary.text


@pytest.mark.parametrize(("length", "sentences"), [(Length.SHORT, 3), (Length.MEDIUM, 6), (Length.LONG, 12)])
def test_the_length_says_how_many_sentences(length: Length, sentences: int) -> None:
    _, summary = summarized(Narrow(16_000), books(2, 12), length=length)
    assert sentences // 2 <= len(re.findall(r"\[\d+\]", summary.text)) <= sentences


def test_more_material_than_is_read_is_said_in_the_coverage() -> None:
    documents = books(2, 40)
    *_, done = Summarizer(ExtractiveGenerator(FixedEmbedder()), WordTokenizer(), material_tokens=500).summarize(
        documents, None, Length.SHORT
    )
    assert isinstance(done, SummaryDone)
    coverage = done.summary.coverage
    assert coverage.documents == 2
    assert 0 < coverage.chunks_used < coverage.chunks_total == 80


def test_rows_and_lists_can_be_summarised() -> None:
    _, summary = summarized(Narrow(16_000), {"t": [material(1, TABLE, document="t", title="results.csv")]})
    assert summary.citations


def test_mixed_documents_are_summarised() -> None:
    mixed = {f"d{n}": [material(n, text, document=f"d{n}")] for n, text in enumerate((MANUAL, PRICES, TABLE, MINUTES))}
    _, summary = summarized(Narrow(16_000), mixed)
    assert len({c.document_id for c in summary.citations}) == 4


def test_nothing_is_summarised_to_nothing() -> None:
    _, summary = summarized(Narrow(16_000), {})
    assert (summary.text, summary.citations, summary.coverage.documents) == ("", (), 0)
