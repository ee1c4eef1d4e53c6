"""The shipped documents are what samples/README.md says they are, and the questions over them are true."""

from __future__ import annotations

import email
import io
import json
import re
from collections import Counter
from email.policy import default as mail_policy
from functools import cache
from pathlib import Path
from typing import Any

import docx
import pptx
import pypdfium2
import pytest
from bs4 import BeautifulSoup
from python_calamine import CalamineWorkbook

from tools.make_samples import GENERATED

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
DOCUMENTS = sorted(
    str(path.relative_to(SAMPLES)) for path in SAMPLES.glob("*/*") if not path.name.endswith(".metadata.json")
)
TEXT_FORMATS = {".html", ".txt", ".eml", ".json"}
BYTES_IN_ALL = 3_000_000  # small enough to live in the repository and to be ingested in a tutorial's patience

AT_LEAST = {".pdf": 4, ".docx": 2, ".pptx": 2, ".xlsx": 2, ".html": 2, ".md": 2, ".txt": 2, ".csv": 2, ".eml": 2}


def records(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLES / name).read_text(encoding="utf-8").splitlines()]


QUESTIONS = records("questions.jsonl")
SEARCHES = records("searches.jsonl")


@cache
def shipped_text(name: str) -> str:
    """What a plain reader of the format finds in a document, white space evened out."""
    path = SAMPLES / name
    return text_of(path.suffix, path.read_bytes())


def text_of(suffix: str, content: bytes) -> str:
    return re.sub(r"\s+", " ", READERS[suffix](content))


def pdf_text(content: bytes) -> str:
    with pypdfium2.PdfDocument(content) as document:
        return "\n".join(page.get_textpage().get_text_range() for page in document)


def word_text(content: bytes) -> str:
    document = docx.Document(io.BytesIO(content))
    rows = [" | ".join(cell.text for cell in row.cells) for table in document.tables for row in table.rows]
    return "\n".join([*(paragraph.text for paragraph in document.paragraphs), *rows])


def slides_text(content: bytes) -> str:
    lines: list[str] = []
    for slide in pptx.Presentation(io.BytesIO(content)).slides:
        for shape in slide.shapes:
            if shape.has_text_frame:
                lines.append(shape.text_frame.text)
            if shape.has_table:
                lines += [" | ".join(cell.text for cell in row.cells) for row in shape.table.rows]
        if slide.has_notes_slide:
            lines.append(slide.notes_slide.notes_text_frame.text)
    return "\n".join(lines)


def workbook_text(content: bytes) -> str:
    book = CalamineWorkbook.from_filelike(io.BytesIO(content))
    sheets = [book.get_sheet_by_name(name).to_python() for name in book.sheet_names]
    return "\n".join(" | ".join(map(str, row)) for sheet in sheets for row in sheet)


def page_text(content: bytes) -> str:
    return BeautifulSoup(content, "html.parser").get_text(" ")


def mail_text(content: bytes) -> str:
    message = email.message_from_bytes(content, policy=mail_policy)
    parts = [part.get_content() for part in message.walk() if part.get_content_maintype() == "text"]
    return "\n".join([str(message["Subject"]), *map(str, parts)])


def plain_text(content: bytes) -> str:
    return content.decode("utf-16" if content.startswith(b"\xff\xfe") else "utf-8")


READERS = {
    ".pdf": pdf_text,
    ".docx": word_text,
    ".pptx": slides_text,
    ".xlsx": workbook_text,
    ".html": page_text,
    ".eml": mail_text,
    ".md": plain_text,
    ".txt": plain_text,
    ".csv": plain_text,
    ".json": plain_text,
}


def test_every_format_is_present_often_enough() -> None:
    counted = Counter(Path(name).suffix for name in DOCUMENTS)
    assert {suffix: counted[suffix] for suffix in AT_LEAST if counted[suffix] < AT_LEAST[suffix]} == {}


def test_the_documents_lie_in_at_least_two_collections_and_are_small() -> None:
    assert {name.split("/")[0] for name in DOCUMENTS} == {"engineering", "finance", "handbook"}
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) < BYTES_IN_ALL


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_opens_and_has_something_to_say(name: str) -> None:
    assert len(shipped_text(name).split()) > 200


def test_one_page_is_turned_and_every_pdf_has_several_pages() -> None:
    turned = 0
    for name in (name for name in DOCUMENTS if name.endswith(".pdf")):
        with pypdfium2.PdfDocument(SAMPLES / name) as document:
            assert len(document) >= 3, name
            turned += sum(page.get_rotation() == 90 for page in document)
    assert turned == 1


def test_one_text_file_is_utf16() -> None:
    assert sum((SAMPLES / name).read_bytes().startswith(b"\xff\xfe") for name in DOCUMENTS) == 1


def test_one_mail_has_an_alternative_and_one_an_attachment() -> None:
    mails = [
        email.message_from_bytes((SAMPLES / name).read_bytes(), policy=mail_policy)
        for name in DOCUMENTS
        if name.endswith(".eml")
    ]
    assert {mail.get_content_type() for mail in mails} == {"multipart/alternative", "multipart/mixed"}
    assert [part.get_filename() for mail in mails for part in mail.iter_attachments() if part.get_filename()] == [
        "gullholm-offer.csv"
    ]


def test_a_sidecar_stands_beside_its_document() -> None:
    sidecars = list(SAMPLES.glob("*/*.metadata.json"))
    assert sidecars
    for sidecar in sidecars:
        assert sidecar.with_name(sidecar.name.removesuffix(".metadata.json")).is_file()
        described = json.loads(sidecar.read_text(encoding="utf-8"))
        assert set(described) == {"title", "metadata"}
        assert set(described["metadata"]) == {"year", "department", "tags"}


@pytest.mark.parametrize("name", [name for name in GENERATED if Path(name).suffix in TEXT_FORMATS])
def test_the_generator_repeats_a_text_format_byte_for_byte(name: str) -> None:
    assert GENERATED[name]() == (SAMPLES / name).read_bytes()


@pytest.mark.parametrize("name", [name for name in GENERATED if Path(name).suffix not in TEXT_FORMATS])
def test_the_generator_repeats_the_words_of_a_binary_format(name: str) -> None:
    """Its bytes may differ with another version of the library that wrote them; what is read in them may not."""
    assert text_of(Path(name).suffix, GENERATED[name]()) == shipped_text(name)


def test_there_are_enough_questions_of_both_kinds_each_asked_once() -> None:
    counted = Counter(question["answerable"] for question in QUESTIONS)
    assert counted[True] >= 32
    assert counted[False] >= 32
    assert len(SEARCHES) >= 12
    assert max(Counter(question["id"] for question in QUESTIONS).values()) == 1
    assert max(Counter(question["question"] for question in QUESTIONS).values()) == 1


def test_questions_and_searches_name_documents_that_exist_and_leave_none_out() -> None:
    asked = {name for question in QUESTIONS for name in question["documents"]}
    assert asked == set(DOCUMENTS)
    assert {search["first"] for search in SEARCHES} <= set(DOCUMENTS)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["id"])
def test_an_answer_is_quoted_from_its_best_document_and_no_answer_from_none(question: dict[str, Any]) -> None:
    assert set(question) == {"id", "question", "answerable", "documents", "answer", "quote_contains", "class"}
    assert (question["class"] == "answer") is question["answerable"]
    assert bool(question["documents"]) is bool(question["quote_contains"]) is question["answerable"]
    assert (question["answer"] is not None) is question["answerable"]
    for quote in question["quote_contains"]:
        assert quote in shipped_text(question["documents"][0])


def test_the_edit_that_the_readme_suggests_can_be_made() -> None:
    """`make demo` edits one line and looks for the new words."""
    readme = (SAMPLES / "README.md").read_text(encoding="utf-8")
    assert "`at the old anchor` → `under the lighthouse`" in readme
    assert shipped_text("handbook/workshop-safety.md").count("at the old anchor") == 1
    assert not any("under the lighthouse" in shipped_text(name) for name in DOCUMENTS)
