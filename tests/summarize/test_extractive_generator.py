"""The extract: verbatim, bounded, without repetition, and nothing from headings or table headers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from retrieval.fixed_embedder import FixedEmbedder
from summarize.evidence import ANSWERED, Signals, answerability
from summarize.extractive_generator import ExtractiveGenerator
from summarize.generation import GenerationRequest, Length, Passage
from summarize.selection import choose
from summarize.terms import collapsed
from summarize.units import Kind, units_of
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


STRONG = Signals(
    nearness=0.75,
    beyond_title=0.5,
    passage=0.55,
    covered=0.9,
    unit_share=0.7,
    head_share=1.0,
    names_apart=0.0,
    names_missing=0.0,
    kind_missing=False,
    counts_apart=0.0,
    another_time=False,
    opposite=False,
)


def test_near_and_covered_is_an_answer_and_far_and_uncovered_is_none() -> None:
    weak = replace(STRONG, nearness=0.2, beyond_title=0.0, passage=0.15, covered=0.2, unit_share=0.1, head_share=0.0)
    assert answerability(weak) < ANSWERED < answerability(STRONG)


@pytest.mark.parametrize(
    "against",
    [
        {"kind_missing": True},
        {"names_apart": 1.0},
        {"names_missing": 1.0},
        {"counts_apart": 1.0},
        {"another_time": True},
        {"opposite": True},
    ],
)
def test_each_signal_against_an_answer_makes_it_less_likely(against: dict[str, float]) -> None:
    assert answerability(replace(STRONG, **against)) < answerability(STRONG)


def test_a_question_on_a_line_of_its_own_stands_over_its_answer() -> None:
    text = "How do I reach support?\n\nBy chat on weekdays from 8 to 18 o'clock. Why chat? We can be quicker there."
    first, *others = units_of([passage(1, text)])
    assert first.text == "By chat on weekdays from 8 to 18 o'clock."
    assert "reach support" in first.said
    assert [unit.text for unit in others] == ["Why chat?", "We can be quicker there."]


def test_a_document_not_quoted_yet_only_decides_between_equals() -> None:
    values = np.array([0.9, 0.8, 0.88, 0.1])
    vectors = np.eye(4, dtype=np.float32)
    chosen = choose(values, vectors, count=3, redundancy=0.0, groups=["a", "a", "b", "c"], unserved=0.05)
    assert chosen == [0, 2, 1]


def test_a_section_already_quoted_is_worth_less() -> None:
    values = np.array([0.9, 0.88, 0.85])
    vectors = np.eye(3, dtype=np.float32)
    assert choose(values, vectors, count=2, redundancy=0.0, sections=["x", "x", "y"], crowding=0.06) == [0, 2]


REPORT = (
    "Report on the flood of the mill\n\nSummary\n\nThe mill was flooded because the sluice had been left open.\n\n"
    "Time | Event\n06:10 | Water in the cellar of the mill\n07:30 | The sluice is closed\n\n"
    "What was changed\n\n1. Sluice of the mill\n\nA second guard now closes the sluice of the mill every evening. "
    "It was agreed by all."
)


def test_headings_rows_and_stubs_are_no_part_of_a_summary_of_prose() -> None:
    report = passage(1, REPORT, title="Report on the flood of the mill", heading=("Report on the flood of the mill",))
    text = extract("summary", None, (report,), Length.LONG)
    assert "flooded because" in text
    assert "second guard" in text
    assert "|" not in text
    assert "Summary" not in text
    assert "1. Sluice" not in text
    assert "Report on" not in text


def test_a_sentence_that_points_back_is_chosen_after_one_that_stands_alone() -> None:
    two = passage(1, "It was painted green in the spring by the crew. The harbour gate was painted green by the crew.")
    kinds = [unit.kind for unit in units_of([two])]
    assert kinds == [Kind.DEPENDENT, Kind.SENTENCE]


def test_with_a_question_only_what_is_about_it_is_quoted() -> None:
    about = passage(1, "The battery packs of lot QX-77 swell when they are charged.", title="Recall of lot QX-77")
    other = passage(2, "The harbour party of the town begins at noon with a brass band.", title="Party")
    other_lot = passage(3, "The battery packs of lot QX-78 were delivered on Monday.", title="Delivery")
    text = extract("summary", "What do we know about the battery packs of lot QX-77?", (about, other, other_lot))
    assert text == "The battery packs of lot QX-77 swell when they are charged. [1]"


def test_a_row_that_holds_the_name_asked_for_is_quoted() -> None:
    table = passage(1, "Lot | Packs | State\nQX-77 | 312 | swollen battery packs\nQX-78 | 40 | good battery packs")
    text = extract("summary", "What is the state of the battery packs of lot QX-77?", (table,))
    assert "QX-77 | 312" in text


def test_a_question_about_nothing_in_the_documents_gives_an_empty_summary() -> None:
    assert extract("summary", "Which orchestra plays Mahler in Vienna?", PASSAGES) == ""


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("1. Fit the copper cap on every sensor of the harbour.", "Fit the copper cap on every sensor of the harbour."),
        ("Working time Full-time employees work 38 hours a week.", "Full-time employees work 38 hours a week."),
        ("Working time is 38 hours a week for employees.", "Working time is 38 hours a week for employees."),
    ],
)
def test_bullets_and_glued_headings_are_not_quoted(text: str, quoted: str) -> None:
    units = units_of([passage(1, text, heading=("Working time",))])
    assert [unit.text for unit in units] == [quoted]
    assert quoted in text


def test_a_heading_at_the_end_of_a_passage_is_no_unit_either() -> None:
    text = "The harbour was closed because of the ice of that night.\n\n## Which harbours"
    assert [unit.text for unit in units_of([passage(1, text)])] == [
        "The harbour was closed because of the ice of that night."
    ]


def test_a_label_is_a_fragment_and_an_instruction_of_a_list_is_not() -> None:
    text = "Selma Voss, quality manager, telephone 230\n\n1. Do not fit any more packs of this lot."
    assert [unit.kind for unit in units_of([passage(1, text)])] == [Kind.FRAGMENT, Kind.ITEM]
