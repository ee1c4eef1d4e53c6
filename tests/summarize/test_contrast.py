"""A sentence about the opposite, or about another time, is near to the question and no answer to it."""

from __future__ import annotations

import pytest

from summarize.contrast import is_of_another_time, is_opposite


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What is the smallest input voltage?", "Largest input voltage | 600 V DC"),
        ("How much do the new servers cost?", "The old servers cost 4,200 dollars a month."),
        ("How deep is the pool?", "The pool is 14 m long and is heated to 28 degrees."),
    ],
)
def test_the_opposite_is_seen(question: str, text: str) -> None:
    assert is_opposite(question, text, text)
    assert not is_opposite(text, text, text)


def test_the_word_itself_in_the_sentence_or_its_heading_settles_it() -> None:
    assert not is_opposite("What is the smallest voltage?", "The smallest is 60 V, the largest 600 V.", "")
    assert not is_opposite("How deep is the pool?", "5 m wide, 2 m at most", "Pools: depth and width. 5 m wide, 2 m")


def test_what_something_is_compared_with_is_not_what_is_said_of_it() -> None:
    assert not is_opposite("How many rolls does the new line bake?", "It bakes more rolls than the old line.", "")


@pytest.mark.parametrize(
    ("question", "silent", "telling"),
    [
        ("How much was last year's trip?", "The trip costs 18.50 pounds.", "Before, the trip was 16 pounds."),
        ("How many shops will be opened next year?", "The company runs 87 shops.", "It will open three shops."),
        ("What was the margin five years ago?", "The margin is 54 percent.", "In 2019 the margin was 58 percent."),
    ],
)
def test_a_period_that_is_asked_for_must_be_spoken_of(question: str, silent: str, telling: str) -> None:
    assert is_of_another_time(question, silent)
    assert not is_of_another_time(question, telling)


def test_what_lasts_is_no_period() -> None:
    assert not is_of_another_time("How long does the battery last?", "The battery runs for 30 hours.")
