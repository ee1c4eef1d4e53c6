from __future__ import annotations

import pytest

from summarize.output_policy import without_links


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a ![alt](http://e.example/x.png) b", "a alt b"),
        ("a ![](//e.example/x.png) b", "a  b"),
        ("a [words](https://e.example) b", "a words b"),
        ('a [words](<https://e.example> "t") b', "a words b"),
        ("a [words](\nhttps://e.example) b", "a words b"),
        ("a [![alt](http://e.example/i)](http://e.example) b", "a alt b"),
        ("a [1](http://e.example) b", "a [1] b"),
        ("a <http://e.example> b", "a  b"),
        ("a <img src='http://e.example/x'> b", "a  b"),
        ('a <a href="http://e.example">words</a> b', "a words b"),
        ("a <script>x</script> b", "a x b"),
        ("a <img src=x onerror=y", "a "),
        ("a http://e.example/q?x=1. b", "a . b"),
        ("a www.e.example b", "a  b"),
        ("a HTTPS://E.EXAMPLE b", "a  b"),
        ("a javascript:alert(1) b", "a ) b"),
        ("a data:text/html;base64,xx b", "a  b"),
        ("[ref]: http://e.example/x", ""),
        ("![alt][ref] b", "alt b"),
        ("a [words](http://e.example/unclosed", "a words"),
    ],
)
def test_nothing_that_could_be_fetched_or_followed_leaves(text: str, shown: str) -> None:
    clean = without_links(text)
    assert clean.text == shown
    assert clean.removed


@pytest.mark.parametrize(
    "text", ["plain words", "array[1] and [2]", "a < b and c > d", "[1][2]", "see section (3)", "ratio 3://4", "a//b"]
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert without_links(text) == without_links(text, evidence=[text])
    assert without_links(text).text == text


def test_an_address_that_the_passage_spells_out_stays_bare() -> None:
    known = ["Write to https://ok.example/a, please."]
    assert without_links("See https://ok.example/a.", evidence=known).text == "See https://ok.example/a."
    assert without_links("See <https://ok.example/a>.", evidence=known).text == "See https://ok.example/a."
    assert without_links("![x](https://ok.example/a)", evidence=known).text == "x"


@pytest.mark.parametrize("address", ["https://ok.example/a?leak=1", "https://ok.example", "https://ok.example/"])
def test_a_longer_or_shorter_address_does_not(address: str) -> None:
    assert address not in without_links(f"See {address} now", evidence=["Write to https://ok.example/a, please."]).text


def test_hostile_nesting_ends_quickly() -> None:
    assert "http" not in without_links("[" * 300 + "x](http://e.example)" * 300).text
