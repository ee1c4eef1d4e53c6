"""Words near to those of the question speak of it as well, and what is counted must be what is wanted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.fixed_embedder import FixedEmbedder
from summarize.coverage import counts_apart, covered, wanted_count
from summarize.evidence import question_weights
from summarize.units import Unit, units_of
from tests.summarize.passages import passage

SYNONYMS = {"shops": "stores", "apprentices": "trainees"}


class Thesaurus(FixedEmbedder):
    """Knows that two words mean the same, as a model does."""

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return super().embed_passages([SYNONYMS.get(text, text) for text in texts])


def unit(text: str) -> Unit:
    (only,) = units_of([passage(1, text)])
    return only


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many stores are there?", 1.0),
        ("How many shop are there?", 1.0),
        ("How many vineyards are there?", 0.0),
    ],
)
def test_a_word_is_covered_by_itself_and_by_another_of_its_meaning(question: str, expected: float) -> None:
    units = [unit("The company ran 87 shops at the end of June.")]
    weights = question_weights(question, units)
    assert covered(Thesaurus(), question, weights, units) == pytest.approx(expected, abs=0.05)


def test_a_question_of_stop_words_is_not_covered() -> None:
    assert covered(Thesaurus(), "What is it?", {}, [unit("The company ran 87 shops.")]) == 0.0


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("How many trainees work there?", "Of the 1,032 people, 61 are apprentices."),
        ("How many shops were closed?", "They closed three small shops in March."),
        ("How long is parental leave?", "Parental leave is granted for 14 months."),
    ],
)
def test_what_is_counted_is_what_is_wanted(question: str, text: str) -> None:
    assert counts_apart(Thesaurus(), question, unit(text)) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("text", ["Parental leave is granted for 14 months.", "Employees are fond of parental leave."])
def test_a_number_of_something_else_and_none_are_far_apart(text: str) -> None:
    assert counts_apart(Thesaurus(), "How many employees are on parental leave?", unit(text)) > 0.7


def test_every_cell_of_a_row_may_be_counted() -> None:
    units = units_of([passage(1, "Club | Points | Goals\nRiver Otters | 61 | 74\nIron Bears | 49 | 66")])
    assert counts_apart(Thesaurus(), "How many goals did the River Otters score?", units[0]) == pytest.approx(0.0)


def test_the_name_of_what_is_counted_ends_where_the_question_goes_on() -> None:
    assert wanted_count("How many paid vacation days does an employee get?") == ["paid", "vacation", "days"]
    assert wanted_count("How many of its shares did the company buy back?") == ["shares"]
    assert wanted_count("When do we meet?") == []
