"""Format parsers: which reader reads which media type. Runs inside the sandboxed child, which is forked after this
module is imported: every reader is loaded once, at the top.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ingest import media_types as types
from ingest.archive_limits import check_archive
from ingest.document_titles import title_of
from ingest.email_parser import parse_mail
from ingest.epub_parser import parse_epub
from ingest.language_detection import language_of
from ingest.outline_parser import parse_org, parse_rst
from ingest.parsing import ParsedDocument
from ingest.pdfium_parser import parse_pdf
from ingest.table_parser import parse_delimited, parse_workbook
from ingest.text_parser import parse_structured, parse_text
from ingest.unstructured_parser import parse_docx, parse_html, parse_markdown, parse_pptx
from retrieval.errors import Unparseable, UnsupportedType

_ARCHIVES = frozenset({types.DOCX, types.PPTX, types.XLSX, types.XLSB, types.ODS, types.EPUB})
_FROM_FILE: Mapping[str, Callable[[Path | bytes], ParsedDocument]] = {
    types.PDF: parse_pdf,
    types.DOCX: parse_docx,
    types.PPTX: parse_pptx,
    types.XLSX: parse_workbook,
    types.XLSB: parse_workbook,
    types.XLS: parse_workbook,
    types.ODS: parse_workbook,
    types.EPUB: lambda source: parse_epub(source, parse_html),
}
_FROM_BYTES: Mapping[str, Callable[[bytes], ParsedDocument]] = {
    types.HTML: parse_html,
    types.MARKDOWN: parse_markdown,
    types.TEXT: parse_text,
    types.RST: parse_rst,
    types.ORG: parse_org,
    types.CSV: parse_delimited,
    types.TSV: lambda data: parse_delimited(data, tab=True),
    types.JSON: parse_structured,
    types.NDJSON: parse_structured,
    types.XML: parse_structured,
    types.YAML: parse_structured,
    types.MAIL: lambda data: parse_mail(data, _parse_part),
}


def parse_file(path: Path, media_type: str, name: str) -> ParsedDocument:
    """The document in the file at `path`, read as `media_type` (one that `media_types.detect` gives).

    Raises `Unparseable` with its code, or `UnsupportedType` for a type that no reader takes.
    """
    document = _read(path, media_type)
    if not document.elements:
        raise Unparseable("no_text", f"{name} holds no text.")
    title = title_of(document.title, document.elements)
    return replace(document, title=title, language=language_of(_beginning(document)))


def _read(source: Path | bytes, media_type: str) -> ParsedDocument:
    if media_type in _ARCHIVES:
        check_archive(source)
    if read_file := _FROM_FILE.get(media_type):
        return read_file(source)
    if read_bytes := _FROM_BYTES.get(media_type):
        return read_bytes(source if isinstance(source, bytes) else source.read_bytes())
    known = types.BY_NAME.get(media_type)
    if known and known.needs:
        raise Unparseable("needs_program", f"{media_type} is read with {known.needs}, which is not set up here.")
    raise UnsupportedType(f"{media_type} is not a type that can be read.")


def _parse_part(content: bytes, name: str, declared: str | None) -> ParsedDocument:
    return _read(content, types.detect(content, name=name, declared=declared))


def _beginning(document: ParsedDocument) -> str:
    """Enough of the text to tell its language, without joining all of it."""
    texts: list[str] = []
    for element in document.elements:
        texts.append(element.text[:2_000])
        if sum(map(len, texts)) > 6_000:
            break
    return "\n".join(texts)
