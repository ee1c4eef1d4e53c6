"""What a question asks for is read from its words, and sentences that hold no such thing are known."""

from __future__ import annotations

import pytest

from summarize.expectation import heads, lacks_kind, parts


@pytest.mark.parametrize(
    ("question", "holds", "lacks"),
    [
        (
            "How much compensation did each passenger receive?",
            "Each passenger was paid EUR 40.",
            "The ferry was held for 3 hours with 212 passengers.",
        ),
        ("How long does the pump run?", "The pump runs for 20 minutes.", "The pump was bought in Halden."),
        ("How heavy is the pump?", "The pump weighs 12 kg.", "The pump stands in room 12."),
        ("How many pumps are there?", "There are twelve pumps.", "The pumps are green."),
        ("When was the pump bought?", "The pump was bought in March.", "The pump was bought by the club."),
        ("Who bought the pump?", "The pump was bought by Tom Abara.", "The pump was bought by the club."),
    ],
)
def test_a_kind_of_thing_is_expected(question: str, holds: str, lacks: str) -> None:
    assert not lacks_kind(question, holds)
    assert lacks_kind(question, lacks)


def test_a_number_of_the_question_is_no_answer_to_it() -> None:
    assert lacks_kind("How many pumps are in hall 7?", "The pumps stand in hall 7.")


def test_nothing_is_expected_where_the_question_does_not_say() -> None:
    assert not lacks_kind("Why is the compost being moved?", "The neighbours complained.")


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Can I call the support by phone?", "There is no telephone support."),
        ("How long does a password have to be?", "Passwords have at least 14 characters."),
        ("How often may I extend a loan?", "A loan can be renewed twice."),
    ],
)
def test_no_kind_is_expected_that_the_words_only_seem_to_ask_for(question: str, text: str) -> None:
    assert not lacks_kind(question, text)


def test_a_price_in_a_row_needs_no_currency() -> None:
    assert not lacks_kind("What is the price of the pump?", "Pump | each | 890")


def test_the_head_names_what_is_asked_for() -> None:
    assert heads("How much compensation did each passenger receive?") == ["compensation"]
    assert heads("Why did it happen?") == []


def test_a_question_of_two_parts_is_two_questions_about_one_thing() -> None:
    assert parts("How long did the ferry wait at Skarrow, and what has been changed since?") == [
        "How long did the ferry wait at Skarrow",
        "what has been changed since (long ferry wait Skarrow)?",
    ]
    assert parts("Who keeps the bread and salt?") == ["Who keeps the bread and salt?"]
