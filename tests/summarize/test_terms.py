from __future__ import annotations

import pytest

from summarize.terms import claimed_numbers, holds, is_negated, names, offered_numbers, question_terms, terms


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("warranties", "warranty"),
        ("cleaning", "cleaned"),
        ("stopped", "stops"),
        ("boxes", "box"),
        ("Houses", "house"),
        ("1,200", "1200"),
        ("company's", "company"),
        ("quickly", "quick"),
    ],
)
def test_forms_of_one_word_are_one_term(left: str, right: str) -> None:
    assert terms(left) == terms(right)


@pytest.mark.parametrize(
    ("claim", "proof"),
    [
        ("1200", "1,200"),
        ("two", "2"),
        ("2", "two"),
        ("1.2 million", "1,200,000"),
        ("1200000", "$1.2 million"),
        ("3.10", "3.1"),
        ("05", "5"),
        ("2024-03-05", "5 March 2024"),
        ("12 %", "12%"),
        ("36个月", "36"),
        ("２４", "24"),
    ],
)
def test_a_number_is_proved_in_any_spelling(claim: str, proof: str) -> None:
    assert claimed_numbers(claim)
    assert not any(offered_numbers(proof).isdisjoint(number) for number in claimed_numbers(claim))


@pytest.mark.parametrize(
    ("claim", "other"),
    [("24", "240"), ("2.4", "24"), ("three", "5 March"), ("1.2 billion", "1,200,000"), ("-3.5", "3.6")],
)
def test_another_number_proves_nothing(claim: str, other: str) -> None:
    assert any(offered_numbers(other).isdisjoint(number) for number in claimed_numbers(claim))


def test_names_are_capitals_and_digits_inside_a_sentence() -> None:
    assert names("The model X200 was made by Acme in Berlin.") == ["x200", "acme", "berlin"]


def test_where_everything_is_capitalised_nothing_is_a_name() -> None:
    assert names("Der Hund jagt die Katze durch Garten und Haus") == []


def test_a_question_is_weighed_without_its_asking_words() -> None:
    assert question_terms("What does the document say about the price of pumps?") == ["pric", "pump"]


def test_whole_words_only_are_held() -> None:
    assert holds("it was 50", "it was 50")
    assert not holds("it was 50", "it was 5")
    assert holds("保修期为24个月", "24")


def test_negation_is_seen_in_its_forms() -> None:
    assert all(map(is_negated, ("It is not so.", "It isn't so.", "It isn’t so.", "No pets.", "They never came.")))
    assert not is_negated("Another note, nonetheless.")
