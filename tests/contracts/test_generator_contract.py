"""What every Generator promises, on the extractive one and on a chat model behind a scripted server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from retrieval.chunks import Locator
from retrieval.fixed_embedder import FixedEmbedder
from summarize.citations import CitationResolver, Verified
from summarize.extractive_generator import ExtractiveGenerator
from summarize.generation import GenerationRequest, Generator, Length, Passage
from summarize.langchain_generator import LangChainGenerator
from tests.summarize.scripted_openai import scripted_openai

TEXTS = (
    "The warranty of the pump is 24 months. It covers the motor and the seals. Damage by frost is excluded.",
    "The pump moves 90 litres of water a minute. Its hose has a diameter of 32 millimetres.",
    "Clean the filter of the pump once a week. Use lukewarm water and no soap.",
)
PASSAGES = [
    Passage(n, f"c{n}", f"d{n}", "Pump", text, Locator(0, len(text)), 1.0 / n) for n, text in enumerate(TEXTS, start=1)
]
QUESTION = "How many months is the warranty of the pump?"


@pytest.fixture(params=["extractive", "langchain"])
def generator(request: pytest.FixtureRequest) -> Iterator[Generator]:
    if request.param == "extractive":
        yield ExtractiveGenerator(FixedEmbedder())
        return
    with scripted_openai() as server:
        server.script.text = "The warranty of the pump is 24 months [1]. Clean the filter once a week [3]."
        yield LangChainGenerator(model="scripted", base_url=server.base_url)


def ask(task: str, *, question: str | None = QUESTION, length: Length = Length.MEDIUM) -> GenerationRequest:
    return GenerationRequest(task, question, PASSAGES, length)


@pytest.mark.parametrize("task", ["answer", "summary"])
def test_the_text_is_the_deltas_and_every_sentence_of_it_survives_verification(generator: Generator, task: str) -> None:
    resolver = CitationResolver(PASSAGES)
    events = [event for delta in generator.generate(ask(task)) for event in resolver.feed(delta)] + resolver.finish()
    assert events
    assert all(isinstance(event, Verified) for event in events)


def test_only_the_markers_of_the_passages_are_cited(generator: Generator) -> None:
    resolver = CitationResolver(PASSAGES)
    text = "".join(generator.generate(ask("answer")))
    cited = [
        c.chunk_id for e in resolver.feed(text) + resolver.finish() if isinstance(e, Verified) for c in e.citations
    ]
    assert cited
    assert set(cited) <= {p.chunk_id for p in PASSAGES}


@pytest.mark.parametrize("length", list(Length))
@pytest.mark.parametrize("task", ["answer", "summary"])
def test_every_length_of_both_tasks_is_served(generator: Generator, task: str, length: Length) -> None:
    assert "".join(generator.generate(ask(task, length=length))).strip()


def test_a_summary_needs_no_question(generator: Generator) -> None:
    assert "".join(generator.generate(ask("summary", question=None))).strip()


def test_two_generations_of_one_generator_run_side_by_side(generator: Generator) -> None:
    first, second = iter(generator.generate(ask("answer"))), iter(generator.generate(ask("answer")))
    mixed = [text for pair in zip(first, second, strict=True) for text in pair]
    assert "".join(mixed[::2]) == "".join(mixed[1::2])


def test_a_closed_generation_yields_no_more(generator: Generator) -> None:
    generation = generator.generate(ask("summary", length=Length.LONG))
    deltas = iter(generation)
    next(deltas)
    generation.close()
    assert len(list(deltas)) <= 2


def test_usage_is_there_when_the_text_has_ended(generator: Generator) -> None:
    generation = generator.generate(ask("answer"))
    assert "".join(generation)
    assert generation.usage.calls in {0, 1}


def test_it_names_itself_and_says_how_much_it_reads(generator: Generator) -> None:
    assert generator.name in {"extractive", "openai:scripted"}
    assert generator.context_tokens >= 256
