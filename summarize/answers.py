"""Answers: from what was found to an answer in which every sentence is cited and verified, or to none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from retrieval.embedding import Tokenizer
from summarize.citations import Citation, Dropped
from summarize.generation import GenerationRequest, GenerationUsage, Generator, Length
from summarize.material import Material
from summarize.packing import pack
from summarize.transcript import Cited, Delta, Transcript

ABSTENTION = "The documents do not answer this."
# 4,000 word pieces are twenty passages: what answers a question stands in the first few, and a model that is given
# more reads the middle of it badly.
PASSAGE_TOKENS = 4000


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` is `ABSTENTION` when `abstained`; otherwise every sentence of it carries the marker of a citation."""

    text: str
    citations: tuple[Citation, ...]
    abstained: bool
    dropped: tuple[Dropped, ...]
    generator: str
    usage: GenerationUsage


@dataclass(frozen=True, slots=True)
class AnswerDone:
    """The last event: the whole answer. The deltas before it, joined, are its text."""

    answer: Answer


AnswerEvent = Delta | Cited | AnswerDone


class Answerer:
    """Answers questions with one generator. Safe for several threads at once if the generator is."""

    def __init__(self, generator: Generator, tokenizer: Tokenizer, *, passage_tokens: int = PASSAGE_TOKENS) -> None:
        self._generator = generator
        self._tokenizer = tokenizer
        self._budget = passage_tokens

    def answer(self, question: str, material: Sequence[Material], length: Length) -> Iterator[AnswerEvent]:
        """Events of one answer; `material` is best first. Raises `GeneratorUnavailable`, also between events."""
        budget = min(self._budget, self._generator.context_tokens)
        passages = pack(material, self._tokenizer, budget=budget)
        transcript = Transcript(passages)
        usage = GenerationUsage(None, None, 0)
        if passages:
            generation = self._generator.generate(GenerationRequest("answer", question, passages, length))
            yield from transcript.read(generation)
            usage = generation.usage
        abstained = not transcript.citations
        if abstained:
            yield Delta(ABSTENTION)
        yield AnswerDone(
            Answer(
                text=ABSTENTION if abstained else transcript.text,
                citations=tuple(transcript.citations),
                abstained=abstained,
                dropped=tuple(transcript.dropped),
                generator=self._generator.name,
                usage=usage,
            )
        )
