import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pypdfium2
import pytest
from pypdfium2 import raw
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from ingest.page_assembly import assemble
from ingest.page_codec import decode_page, decode_title, encode_page, encode_title
from ingest.page_text import PageText
from ingest.parsing import ElementKind, ParsedDocument
from ingest.pdfium_parser import PdfPages, parse_pdf
from retrieval.errors import Unparseable
from tests.made_files import pdf_with_a_bad_page

WIDTH, HEIGHT = 595.0, 842.0
STORY = (
    "The river rises in the northern hills and runs for sixty miles",
    "through a country of small farms before it reaches the sea at",
    "the old harbour, where the mills once stood in a long row.",
)


def pdf(draw: Callable[[Canvas], None], **options: object) -> bytes:
    stream = io.BytesIO()
    canvas = Canvas(stream, pagesize=(WIDTH, HEIGHT), **options)
    draw(canvas)
    canvas.save()
    return stream.getvalue()


def put(canvas: Canvas, x: float, y: float, *lines: str, size: float = 11, bold: bool = False) -> None:
    canvas.setFont("Helvetica-Bold" if bold else "Helvetica", size)
    for i, line in enumerate(lines):
        canvas.drawString(x, y - i * size * 1.25, line)


def code(data: bytes) -> str:
    with pytest.raises(Unparseable) as caught:
        parse_pdf(data)
    return caught.value.reason_code


def outline(document: ParsedDocument) -> list[tuple[int | None, str, tuple[str, ...] | None]]:
    return [(element.level, element.text, element.heading_path) for element in document.elements]


def check_lines(document: ParsedDocument) -> None:
    for element in document.elements:
        assert element.lines, element
        assert element.lines[0].start == 0
        assert element.lines[-1].end == len(element.text)
        for line, after in pairwise(element.lines):
            assert line.start < line.end <= after.start
            assert element.text[line.end : after.start] in {"", " ", "\n"}
        for line in element.lines:
            assert 0 <= line.box.x0 < line.box.x1
            assert 0 <= line.box.y0 < line.box.y1


def test_lines_become_paragraphs_and_large_or_bold_lines_headings_by_size() -> None:
    def draw(canvas: Canvas) -> None:
        put(canvas, 72, 760, "Rivers of the North", size=22)
        put(canvas, 72, 720, "The Course", size=15)
        put(canvas, 72, 690, *STORY)
        put(canvas, 72, 620, "The Mills", bold=True)
        put(canvas, 72, 600, *STORY)
        put(canvas, 72, 540, "The Harbour", size=15)
        put(canvas, 72, 510, *STORY)

    document = parse_pdf(pdf(draw))
    story = " ".join(STORY)
    top = "Rivers of the North"
    assert outline(document) == [
        (1, top, ()),
        (2, "The Course", (top,)),
        (None, story, (top, "The Course")),
        (3, "The Mills", (top, "The Course")),
        (None, story, (top, "The Course", "The Mills")),
        (2, "The Harbour", (top,)),
        (None, story, (top, "The Harbour")),
    ]
    assert (document.title, document.pages) == (top, 1)
    check_lines(document)


def test_a_box_stands_where_the_line_was_drawn() -> None:
    (line,) = parse_pdf(pdf(lambda canvas: put(canvas, 100, 700, "Hxg", size=20))).elements[0].lines
    assert line.box.page == 1
    assert line.box.x0 == pytest.approx(100, abs=3)
    assert line.box.y0 < HEIGHT - 700 < line.box.y1
    assert line.box.y1 - line.box.y0 == pytest.approx(20, abs=5)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_boxes_are_where_the_page_shows_them_turned_and_cropped(rotation: int, tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setCropBox((30, 50, 500, 800))
        canvas.setPageRotation(rotation)
        put(canvas, 100, 400, "Somewhere on the page", size=20)

    path = tmp_path / "turned.pdf"
    path.write_bytes(pdf(draw))
    with PdfPages(path) as pages:
        page = pages.page(1)
    box = page.lines[0].box
    document = pypdfium2.PdfDocument(path)
    shown = document[0]
    bitmap = shown.render(scale=1).to_numpy()[:, :, 0]
    ink = (bitmap < 128).nonzero()
    assert (box.x0, box.y0) == pytest.approx((ink[1].min(), ink[0].min()), abs=2)
    assert (box.x1, box.y1) == pytest.approx((ink[1].max(), ink[0].max()), abs=2)
    assert (page.width, page.height) == pytest.approx(shown.get_size())
    document.close()


def test_running_headers_and_page_numbers_are_left_out() -> None:
    def draw(canvas: Canvas) -> None:
        for number in range(1, 7):
            put(canvas, 72, 810, f"Annual Report 2024 | Chapter {number // 3}", size=9)
            put(canvas, 72, 720, f"Section {'ABCDEFG'[number]}", *STORY)
            put(canvas, 290, 30, f"- {number} -", size=9)
            canvas.showPage()

    text = parse_pdf(pdf(draw)).text()
    assert "Annual Report" not in text
    assert "- 3 -" not in text
    assert text.count("The river rises") == 6


def test_a_footer_that_differs_on_every_page_is_known_by_its_page_number() -> None:
    topics = ["Anatomy", "Diagnosis", "Treatment", "Recovery", "Support", "Glossary"]

    def draw(canvas: Canvas) -> None:
        for number, topic in enumerate(topics, start=11):
            put(canvas, 72, 600, *STORY)
            put(canvas, 72, 30, f"{topic} {number}", size=9)
            canvas.showPage()

    text = parse_pdf(pdf(draw)).text()
    assert not any(topic in text for topic in topics)


def test_two_columns_are_read_one_after_the_other_and_a_paragraph_goes_on_in_the_second() -> None:
    def draw(canvas: Canvas) -> None:
        put(canvas, 60, 700, "Rain fell on the hills all through", "the night, and in the morning", size=10)
        put(canvas, 320, 700, "the bridge was gone.", "Nobody had seen it fall.", size=10)

    document = parse_pdf(pdf(draw))
    assert document.text() == (
        "Rain fell on the hills all through the night, and in the morning the bridge was gone. Nobody had seen it fall."
    )
    check_lines(document)


def test_a_paragraph_goes_on_over_a_page_end_and_has_boxes_on_both() -> None:
    def draw(canvas: Canvas) -> None:
        put(canvas, 72, 400, "She opened the door and saw that the")
        canvas.showPage()
        put(canvas, 72, 400, "garden was under water.")

    (element,) = parse_pdf(pdf(draw)).elements
    assert element.text == "She opened the door and saw that the garden was under water."
    assert [line.box.page for line in element.lines] == [1, 2]


def test_a_divided_word_is_whole_again() -> None:
    document = parse_pdf(
        pdf(lambda canvas: put(canvas, 72, 700, "They spoke about the gov-", "ernment of the island."))
    )
    assert document.text() == "They spoke about the government of the island."
    check_lines(document)


def test_list_items_stand_alone() -> None:
    document = parse_pdf(
        pdf(lambda canvas: put(canvas, 72, 700, "You need:", "• a boat", "• two oars, which", "are long", "• a map"))
    )
    assert [element.text for element in document.elements if element.kind is ElementKind.LIST_ITEM] == [
        "• a boat",
        "• two oars, which are long",
        "• a map",
    ]


def test_page_ranges_read_apart_make_the_same_document(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setTitle("River Book")
        for number in range(5):
            put(canvas, 72, 760, f"Chapter {number}", size=18)
            put(canvas, 72, 700, *STORY)
            canvas.showPage()

    path = tmp_path / "ranges.pdf"
    path.write_bytes(pdf(draw))
    parts = []
    for numbers in [(1, 2), (3, 4, 5)]:
        with PdfPages(path) as pages:
            assert pages.count == 5
            parts += [encode_page(pages.page(number)) for number in numbers]
            title = encode_title(pages.title)
    read = [decode_page(part, number) for number, part in enumerate(parts, start=1)]
    assert assemble(read, title=decode_title(title)) == parse_pdf(path)
    assert parse_pdf(path).title == "River Book"


@pytest.mark.parametrize("title", ["untitled", "Microsoft Word - draft.doc", "scan0001.pdf", " "])
def test_a_program_s_filler_is_no_title(title: str) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setTitle(title)
        put(canvas, 72, 700, *STORY)

    assert parse_pdf(pdf(draw)).title is None


def test_a_password_makes_it_encrypted_and_an_empty_one_does_not() -> None:
    draw: Callable[[Canvas], None] = lambda canvas: put(canvas, 72, 700, "secret")  # noqa: E731
    assert code(pdf(draw, encrypt=StandardEncryption("word", "owner"))) == "encrypted"
    assert parse_pdf(pdf(draw, encrypt=StandardEncryption("", "owner"))).text() == "secret"


def test_rubbish_is_damaged() -> None:
    assert code(b"%PDF-1.7\nrubbish") == "damaged"


def test_a_page_without_anything_is_no_text_and_one_under_an_image_needs_a_program() -> None:
    def scan(canvas: Canvas) -> None:
        canvas.beginForm("unused")
        canvas.endForm()
        image = pypdfium2.PdfBitmap.new_native(20, 20, raw.FPDFBitmap_BGR)
        canvas.drawInlineImage(image.to_pil(), 0, 0, WIDTH, HEIGHT)

    assert code(pdf(lambda canvas: canvas.showPage())) == "no_text"
    assert code(pdf(scan)) == "needs_program"


def test_a_bad_page_is_named_and_the_good_ones_are_kept() -> None:
    document = parse_pdf(pdf_with_a_bad_page())
    assert document.text() == "good page"
    assert [(found.code, found.where) for found in document.defects] == [("pages_failed", "page 2")]


def test_only_bad_pages_are_a_damaged_document() -> None:
    with pytest.raises(Unparseable) as caught:
        assemble([PageText(1, 0, 0, failure="It is broken."), PageText(2, 0, 0, failure="It is broken.")])
    assert caught.value.reason_code == "damaged"
