import io
import socket
from pathlib import Path

import docx
import pptx
import pytest

from ingest.parsing import Element, ElementKind
from ingest.unstructured_parser import parse_docx, parse_html, parse_markdown, parse_pptx
from retrieval.errors import Unparseable


def outline(elements: tuple[Element, ...]) -> list[tuple[str, tuple[str, ...] | None]]:
    return [(element.text, element.heading_path) for element in elements]


def word_file() -> bytes:
    document = docx.Document()
    document.core_properties.title = "The Handbook"
    document.sections[0].header.paragraphs[0].text = "running header"
    document.add_heading("Duties", 1)
    document.add_paragraph("Short line")
    document.add_heading("Reports", 2)
    document.add_paragraph("The trustee files a report.")
    document.add_paragraph("first item", style="List Bullet")
    table = document.add_table(2, 2)
    for cell, text in zip(
        [cell for row in table.rows for cell in row.cells], ["Year", "Cost", "2024", "7 | 8"], strict=True
    ):
        cell.text = text
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def test_word_headings_come_from_styles_never_from_short_lines() -> None:
    document = parse_docx(word_file())
    assert document.title == "The Handbook"
    assert outline(document.elements) == [
        ("Duties", ()),
        ("Short line", ("Duties",)),
        ("Reports", ("Duties",)),
        ("The trustee files a report.", ("Duties", "Reports")),
        ("first item", ("Duties", "Reports")),
        ("Year | Cost\n2024 | 7 | 8", ("Duties", "Reports")),
    ]
    assert [element.level for element in document.elements] == [1, None, 2, None, None, None]
    assert document.elements[-1].kind is ElementKind.TABLE


def test_a_word_file_is_read_from_a_path_as_from_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(word_file())
    assert parse_docx(path) == parse_docx(word_file())


def test_a_truncated_word_file_is_damaged() -> None:
    with pytest.raises(Unparseable) as caught:
        parse_docx(word_file()[:2000])
    assert caught.value.reason_code == "damaged"


def test_slides_are_counted_and_headed_by_their_titles() -> None:
    deck = pptx.Presentation()
    for title, body in (("Plan", "Ship it"), ("Risks", "None known")):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = title, body
    deck.slides[1].notes_slide.notes_text_frame.text = "Say this aloud."
    stream = io.BytesIO()
    deck.save(stream)
    elements = parse_pptx(stream.getvalue()).elements
    assert [(element.slide, element.text) for element in elements if element.slide == 1] == [
        (1, "Plan"),
        (1, "Ship it"),
    ]
    on_second = [element for element in elements if element.slide == 2]
    assert {element.text for element in on_second} == {"Risks", "None known", "Say this aloud."}
    assert next(e for e in on_second if e.text == "None known").heading_path == ("Risks",)


def test_html_headings_are_its_heading_tags() -> None:
    page = b"""<html><head><title>A &amp; B</title><style>p {}</style></head><body><p>Before</p><h2>One</h2>
    <p><b>Bold Line</b></p><h3>Two</h3><ul><li>item</li></ul><h2>Three</h2><p>end</p>
    <script>x()</script></body></html>"""
    document = parse_html(page)
    assert document.title == "A & B"
    assert outline(document.elements) == [
        ("Before", ()),
        ("One", ()),
        ("Bold Line", ("One",)),
        ("Two", ("One",)),
        ("item", ("One", "Two")),
        ("Three", ()),
        ("end", ("Three",)),
    ]


def test_an_html_table_is_rows_of_cells_and_one_that_lays_out_a_page_is_prose() -> None:
    table, prose = parse_html(
        b"<table><tr><th>Year</th><th></th><th>Cost</th></tr><tr><td>2024</td><td></td><td>&lt; 7</td></tr></table>"
        b"<table><tr><td>" + b"A long story. " * 60 + b"</td></tr></table>"
    ).elements
    assert (table.kind, table.text) == (ElementKind.TABLE, "Year | Cost\n2024 | < 7")
    assert prose.kind is ElementKind.PARAGRAPH


@pytest.mark.parametrize(
    "page",
    [
        pytest.param("<meta charset='koi8-r'><p>Привет</p>".encode("koi8-r"), id="declared"),
        pytest.param("<?xml version='1.0' encoding='utf-8'?><html><p>Привет</p></html>".encode(), id="xhtml"),
        pytest.param("<p>Привет</p>".encode("utf-16"), id="utf-16"),
    ],
)
def test_html_is_decoded_as_it_says(page: bytes) -> None:
    assert parse_html(page).text() == "Привет"


def test_html_nested_beyond_its_parser_loses_no_text() -> None:
    page = b"<p>top</p>" + b"<div>" * 20_000 + b"deep &amp; low" + b"</div>" * 20_000
    assert [element.text for element in parse_html(page).elements] == ["top", "deep & low"]


@pytest.mark.parametrize("page", [b"<!", b"<", b"<!-- only a comment -->", b"<p", b"&#xD800;"])
def test_scraps_of_html_are_read_as_far_as_they_go(page: bytes) -> None:
    parse_html(page).text().encode()


def test_a_paragraph_of_one_character_is_kept() -> None:
    assert parse_html("<p>是</p><p>Ja, das ist so.</p>".encode()).text() == "是\n\nJa, das ist so."


def test_markdown_keeps_headings_lists_tables_and_code() -> None:
    document = parse_markdown(
        (
            "# Grüße\n\nText.\n\n## Code\n\n```\na = 1\n\nb = 2\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n* item\n"
        ).encode()
    )
    assert outline(document.elements) == [
        ("Grüße", ()),
        ("Text.", ("Grüße",)),
        ("Code", ("Grüße",)),
        ("a = 1\n\nb = 2", ("Grüße", "Code")),
        ("a | b\n1 | 2", ("Grüße", "Code")),
        ("item", ("Grüße", "Code")),
    ]


@pytest.mark.parametrize("read", [parse_html, parse_markdown])
def test_blank_input_has_no_elements(read) -> None:  # type: ignore[no-untyped-def]
    assert read(b" \n ").elements == ()


def test_nothing_of_it_opens_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a parser tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert parse_html(
        b"<p>See <a href='http://example.com/x'>this</a> <img src='http://example.com/y.png'></p>"
    ).elements
    assert parse_docx(word_file()).elements
