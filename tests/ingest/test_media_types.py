import io
import zipfile
from pathlib import Path

import pytest

from ingest import media_types as types
from ingest.media_types import detect
from retrieval.errors import UnsupportedType


def archive(*names: str, mimetype: str | None = None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        if mimetype:
            made.writestr("mimetype", mimetype)
        for name in names:
            made.writestr(name, "x" * 100)
    return stream.getvalue()


def compound(stream: str) -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500) + stream.encode("utf-16-le") + bytes(500)


MAIL = b"Received: from a\r\nFrom: a@example.com\r\nSubject: hello\r\n\r\nbody"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)


@pytest.mark.parametrize(
    "name, content, media_type",
    [
        ("a.pdf", b"%PDF-1.7\n...", types.PDF),
        ("a.docx", b"junk first\n%PDF-1.4", types.PDF),
        ("a.docx", archive("[Content_Types].xml", "word/document.xml"), types.DOCX),
        ("a.zip", archive("[Content_Types].xml", "ppt/presentation.xml"), types.PPTX),
        ("a.docx", archive("xl/workbook.xml"), types.XLSX),
        ("a.xlsx", archive("xl/workbook.bin"), types.XLSB),
        ("a", archive(mimetype="application/epub+zip"), types.EPUB),
        ("a.txt", archive("content.xml", mimetype="application/vnd.oasis.opendocument.text"), types.ODT),
        ("a.bin", compound("WordDocument"), types.DOC),
        ("a.doc", compound("Workbook"), types.XLS),
        ("a.xls", compound("__substg1.0_0037001F"), types.MSG),
        ("a.xlsx", compound("EncryptedPackage"), types.XLSX),
        ("a.doc", b"{\\rtf1 hello}", types.RTF),
        ("a.pdf", PNG, "image/png"),
        ("a.txt", b"<!DOCTYPE html><html><body>hi", types.HTML),
        ("a.xml", b"<?xml version='1.0'?>\n<!-- note -->\n<html xmlns='x'>", types.HTML),
        ("a.txt", b"<?xml version='1.0'?><note/>", types.XML),
        ("a.txt", MAIL, types.MAIL),
        ("a.txt", b"From: Ann\nTo: Bob\nSubject: a memo, not a mail\n\nText", types.TEXT),
        ("a.eml", b"From: a@example.com\n\nhi", types.MAIL),
        ("a.md", b"# Heading", types.MARKDOWN),
        ("a.csv", "a,b\n1,2".encode("utf-16"), types.CSV),
        ("a.csv", "a,b\n1,2".encode("utf-16-le"), types.CSV),
        ("a.pdf", b"only words", types.TEXT),
        ("README", b"only words", types.TEXT),
        ("module.py", b"print('hi')", types.TEXT),
        ("a.pdf", bytes(range(256)) * 4, types.PDF),
        ("A.JSONL", b"{}\n{}", types.NDJSON),
    ],
)
def test_the_content_decides_and_the_name_only_among_texts(name: str, content: bytes, media_type: str) -> None:
    assert detect(content, name=name) == media_type


def test_a_path_and_its_first_bytes_give_the_same_type(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(archive("docProps/app.xml", "word/document.xml"))
    assert detect(path, name="file") == detect(path.read_bytes(), name="file") == types.DOCX


def test_what_the_sender_declares_counts_where_the_name_says_nothing() -> None:
    assert detect(b"# Heading", name="", declared="text/markdown; charset=utf-8") == types.MARKDOWN
    assert detect(b"a: 1", name="upload", declared="application/x-yaml") == types.YAML
    assert detect(b"%PDF-1.7", name="", declared="text/markdown") == types.PDF
    assert detect(b"words", name="a.csv", declared="text/plain") == types.CSV


def test_a_truncated_office_file_keeps_its_type_so_that_its_parser_calls_it_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(archive("[Content_Types].xml", "word/document.xml")[:60])
    assert detect(path, name="a.docx") == types.DOCX


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(archive("readme.txt"), id="zip"),
        pytest.param(b"\x7fELF" + bytes(100), id="program"),
        pytest.param(b"MZ\x90\x00" + bytes(100), id="windows program"),
        pytest.param(b"ID3\x04" + bytes(100), id="audio"),
        pytest.param(bytes(4) + b"ftypisom" + bytes(100), id="video"),
        pytest.param(b"\x1f\x8b\x08" + bytes(100), id="gzip"),
        pytest.param(bytes(range(256)) * 4, id="noise"),
    ],
)
def test_what_is_no_document_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(UnsupportedType):
        detect(path, name="report.txt")


def test_no_extension_belongs_to_two_types() -> None:
    extensions = [extension for known in types.KNOWN for extension in known.extensions]
    assert len(extensions) == len(set(extensions))
