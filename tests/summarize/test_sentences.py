from __future__ import annotations

import itertools
import random

import pytest

from summarize.sentences import LONGEST, sentence_spans, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rains. It pours.", ["It rains.", "It pours."]),
        ("Dr. Smith met Mr. Jones. They spoke.", ["Dr. Smith met Mr. Jones.", "They spoke."]),
        ("J. R. Tolkien wrote it. Yes.", ["J. R. Tolkien wrote it.", "Yes."]),
        ("It costs 3.14 euros. Good.", ["It costs 3.14 euros.", "Good."]),
        ("See Fig. 3 for this. Done.", ["See Fig. 3 for this.", "Done."]),
        ("Use tools, e.g. Hammers. Then rest.", ["Use tools, e.g. Hammers.", "Then rest."]),
        ("See 28 C.F.R. § 58.4 for it. Done.", ["See 28 C.F.R. § 58.4 for it.", "Done."]),
        ("He lives in the U.S. The rest is new.", ["He lives in the U.S.", "The rest is new."]),
        ("Really? Yes! Good.", ["Really?", "Yes!", "Good."]),
        ('He said "Stop." She did.', ['He said "Stop."', "She did."]),
        ("a . tokenised text . goes on .", ["a .", "tokenised text .", "goes on ."]),
        ("Title here\n\nA sentence.", ["Title here", "A sentence."]),
        (
            "A sentence that was broken by the\nmargin of its page. Next one.",
            ["A sentence that was broken by the\nmargin of its page.", "Next one."],
        ),
        ("- one thing\n- another thing", ["- one thing", "- another thing"]),
        ("1. First step\n2. Second step", ["1. First step", "2. Second step"]),
        ("Club | Points\nFoxes | 3. Best.", ["Club | Points", "Foxes | 3. Best."]),
        ("From: Ann\nTo: Bob\nDate: 3 May", ["From: Ann", "To: Bob", "Date: 3 May"]),
        ("保修期为两年。该设备不防水。", ["保修期为两年。", "该设备不防水。"]),
        ("これは何ですか？本です。", ["これは何ですか？", "本です。"]),
        ("--- *** ---", []),
        ("", []),
        ("no stop at all", ["no stop at all"]),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize("seed", range(30))
def test_spans_are_ordered_slices_without_white_space_at_their_ends(seed: int) -> None:
    source = random.Random(seed)
    text = "".join(
        source.choice(["Word ", "two. ", "\n", "\n\n", " | ", "- ", "1. ", "。", "3.5 ", "“", "e.g. ", "!", "é "])
        for _ in range(80)
    )
    spans = sentence_spans(text)
    assert all(a < b for a, b in spans)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    assert all(text[a:b] == text[a:b].strip() for a, b in spans)


def test_words_are_never_lost_between_sentences() -> None:
    text = "One two. Three\nfour.\n\n- five\nSix | seven\n. eight"
    kept = set("".join(sentences(text)).split())
    assert all(any(word in part for part in kept) for word in ("One", "four", "five", "seven", "eight"))


def test_a_text_without_stops_is_cut_at_its_commas() -> None:
    text = "some words here, " * 200
    assert all(len(sentence) <= LONGEST for sentence in sentences(text))
    assert all(sentence.endswith(",") for sentence in sentences(text))
