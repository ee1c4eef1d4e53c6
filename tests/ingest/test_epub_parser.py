import io
import zipfile

import pytest

from ingest.epub_parser import parse_epub
from ingest.unstructured_parser import parse_html
from retrieval.errors import Unparseable

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)


def book(chapters: dict[str, str], *, spine: list[str], **more: str) -> bytes:
    items = "".join(f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml"/>' for name in spine)
    references = "".join(f'<itemref idref="{name}"/>' for name in spine)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr(
            "OEBPS/book.opf",
            '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
            f"<dc:title>Two  Tales</dc:title></metadata>"
            f"<manifest>{items}</manifest><spine>{references}</spine></package>",
        )
        for name, body in chapters.items():
            archive.writestr(f"OEBPS/{name}.xhtml", f"<html><body>{body}</body></html>")
        for path, text in more.items():
            archive.writestr(path.replace("__", "/"), text)
    return stream.getvalue()


def test_chapters_come_in_the_order_of_the_spine_and_keep_their_headings_over_files() -> None:
    data = book(
        {"b": "<h1>Second</h1><p>two</p>", "a": "<h1>First</h1><p>one</p>", "a2": "<p>more</p>"}, spine=["a", "a2", "b"]
    )
    document = parse_epub(data, parse_html)
    assert document.title == "Two Tales"
    assert [(e.text, e.heading_path) for e in document.elements] == [
        ("First", ()),
        ("one", ("First",)),
        ("more", ("First",)),
        ("Second", ()),
        ("two", ("Second",)),
    ]


def test_a_missing_chapter_is_a_defect() -> None:
    document = parse_epub(book({"a": "<p>one</p>"}, spine=["a", "lost"]), parse_html)
    assert document.text() == "one"
    assert [(found.code, found.where) for found in document.defects] == [("parts_failed", "OEBPS/lost.xhtml")]


def test_a_book_without_any_readable_chapter_is_damaged() -> None:
    with pytest.raises(Unparseable) as caught:
        parse_epub(book({}, spine=["lost"]), parse_html)
    assert caught.value.reason_code == "damaged"


def test_a_protected_book_is_encrypted_and_hidden_fonts_are_not_protection() -> None:
    method = '<encryption><EncryptionMethod Algorithm="{}"/></encryption>'
    locked = {"META-INF__encryption.xml": method.format("http://www.w3.org/2001/04/xmlenc#aes128-cbc")}
    with pytest.raises(Unparseable) as caught:
        parse_epub(book({"a": "<p>x</p>"}, spine=["a"], **locked), parse_html)
    assert caught.value.reason_code == "encrypted"
    fonts = {"META-INF__encryption.xml": method.format("http://www.idpf.org/2008/embedding")}
    assert parse_epub(book({"a": "<p>x</p>"}, spine=["a"], **fonts), parse_html).text() == "x"
