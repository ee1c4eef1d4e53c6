"""The extract: verbatim, bounded, without repetition, and nothing from headings or table headers."""

from __future__ import annotations

import re

import numpy as np

from retrieval.fixed_embedder import FixedEmbedder
from summarize.evidence import ANSWERED, Signals, answerability
from summarize.extractive_generator import ExtractiveGenerator
from summarize.generation import GenerationRequest, Length, Passage
from summarize.selection import choose
from summarize.terms import collapsed
from summarize.units import units_of
from tests.summarize.passages import MINUTES, PASSAGES, TABLE, passage

GENERATOR = ExtractiveGenerator(FixedEmbedder())


def extract(task: str, question: str | None, passages: tuple[Passage, ...], length: Length = Length.MEDIUM) -> str:
    return "".join(GENERATOR.generate(GenerationRequest(task, question, passages, length)))


def test_every_sentence_is_verbatim_and_followed_by_its_marker() -> None:
    text = extract("summary", None, PASSAGES, Length.LONG)
    pieces = re.findall(r"(.+?) \[(\d+)\](?:\s|$)", text.replace("[12]", "(12)"))
    assert len(pieces) >= 6
    plain = {p.marker: collapsed(p.text).replace("[12]", "(12)") for p in PASSAGES}
    assert all(sentence.strip() in plain[int(marker)] for sentence, marker in pieces)


def test_the_same_request_gives_the_same_text() -> None:
    assert extract("summary", None, PASSAGES) == extract("summary", None, PASSAGES)


def test_a_line_broken_by_the_page_is_one_line_in_the_extract() -> None:
    broken = passage(1, "The harbour of the town was opened by the king\nin the year 1904 with great pomp.")
    assert extract("summary", None, (broken,)) == (
        "The harbour of the town was opened by the king in the year 1904 with great pomp. [1]"
    )


def test_rows_are_quoted_whole_and_stand_on_lines_of_their_own() -> None:
    text = extract("summary", None, (passage(1, TABLE, title="results.csv"),))
    assert set(text.splitlines()) == {"River Otters | Halden | 61 [1]", "Iron Bears | Tampere | 49 [1]"}


def test_the_header_of_a_table_is_context_for_its_rows() -> None:
    units = units_of([passage(1, TABLE, title="results.csv")])
    assert [u.text for u in units] == ["River Otters | Halden | 61", "Iron Bears | Tampere | 49"]
    assert all("point" in u.context for u in units)


def test_a_heading_is_context_for_what_follows_and_no_sentence() -> None:
    units = units_of([passage(1, f"Garden works\n\n{MINUTES}", title="Minutes", heading=("Year 2020",))])
    assert all(u.text != "Garden works" for u in units)
    assert {"garden", "minut", "year"} <= units[0].context


def test_a_passage_of_a_heading_alone_is_still_a_unit() -> None:
    assert [u.text for u in units_of([passage(1, "Garden works")])] == ["Garden works"]


def test_a_thought_is_not_repeated() -> None:
    twice = tuple(passage(n, "The pump moves 90 litres of water a minute.") for n in (1, 2, 3))
    assert extract("summary", None, twice).count("90 litres") == 1


def test_no_passages_give_no_text() -> None:
    assert extract("summary", None, ()) == ""
    assert extract("answer", "Why?", (passage(1, "---"),)) == ""


def test_groups_are_each_served_before_any_is_served_twice() -> None:
    values = np.array([0.9, 0.8, 0.7, 0.1])
    vectors = np.eye(4, dtype=np.float32)
    assert choose(values, vectors, count=2, redundancy=0.5, groups=["a", "a", "a", "b"]) == [0, 3]
    assert choose(values, vectors, count=2, redundancy=0.5) == [0, 1]


def test_items_below_the_floor_and_repetitions_are_not_chosen() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    assert choose(np.array([0.9, 0.8, 0.2]), vectors, count=3, redundancy=0.1, floor=0.5) == [0]


def test_the_signals_pull_the_way_they_should() -> None:
    strong = Signals(0.75, 0.55, 0.7, 0.9, name_missing=False, number_missing=False)
    weak = Signals(0.3, 0.25, 0.1, 0.2, name_missing=False, number_missing=False)
    middling = Signals(0.55, 0.4, 0.45, 0.6, name_missing=False, number_missing=False)
    lacking = Signals(0.55, 0.4, 0.45, 0.6, name_missing=True, number_missing=True)
    assert answerability(weak) < ANSWERED < answerability(strong)
    assert answerability(lacking) < ANSWERED < answerability(middling)
