"""A real model that answers simple questions and forgets its citations: nothing unverified leaves, whatever it says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from retrieval.errors import GeneratorUnavailable
from retrieval.fixed_embedder import WordTokenizer
from summarize.answers import ABSTENTION, AnswerDone, Answerer
from summarize.generation import Length
from summarize.langchain_generator import LangChainGenerator
from tests.summarize.passages import material
from tests.summarize.real_model import RealModel, real_model

MATERIAL = [
    material(1, "The warranty of the Zephyr pump is 24 months.", title="Zephyr manual"),
    material(2, "Payment is due within two weeks.", title="Terms"),
]


@pytest.fixture(scope="module")
def running() -> Iterator[RealModel]:
    with real_model() as served:
        yield served


@pytest.mark.slow
@pytest.mark.parametrize("question", ["How long is the warranty?", "What is the capital of Mongolia?"])
def test_a_real_model_shows_verified_sentences_or_abstains(running: RealModel, question: str) -> None:
    generator = LangChainGenerator(
        model=running.model,
        base_url=running.base_url,
        timeout_s=90,
        stall_s=60,
        max_output_tokens=40,
        context_tokens=2048,
    )
    try:
        *_, done = Answerer(generator, WordTokenizer()).answer(question, MATERIAL, Length.SHORT)
    except GeneratorUnavailable:
        return  # a busy machine may be too slow for it; that it says so is the promise
    assert isinstance(done, AnswerDone)
    answer = done.answer
    texts = {m.chunk_id: m.text for m in MATERIAL}
    assert all(citation.quote in texts[citation.chunk_id] for citation in answer.citations)
    assert answer.abstained == (answer.text == ABSTENTION)
    assert {int(n) for n in re.findall(r"\[(\d+)\]", answer.text)} == {c.marker for c in answer.citations}
