"""Format parsers: which reader reads which media type. Runs inside the sandboxed child, which is forked after this
module is imported: every reader is loaded once, at the top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ingest import media_types as types
from ingest.archive_limits import check_archive
from ingest.document_titles import title_of
from ingest.email_parser import parse_mail
from ingest.epub_parser import parse_epub
from ingest.language_detection import language_of
from ingest.outline_parser import parse_org, parse_rst
from ingest.page_assembly import assemble
from ingest.page_codec import decode_page, decode_title, encode_page, encode_title
from ingest.page_text import PageText
from ingest.parser_entry import PageReader
from ingest.parsing import ParsedDocument
from ingest.pdfium_parser import PdfPages, parse_pdf
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
    return _finished(_read(path, media_type), name)


def open_pages(path: Path, media_type: str) -> PageReader | None:
    """The document open for reading in page ranges, see `ParserEntry`."""
    return _EncodedPdf(path) if media_type == types.PDF else None


def assemble_pages(about: bytes, pages: Iterable[bytes | str], name: str) -> ParsedDocument:
    """What `parse_file` would have made of the file that `open_pages` read."""
    texts = [
        PageText(number, 0.0, 0.0, failure=page) if isinstance(page, str) else decode_page(page, number)
        for number, page in enumerate(pages, start=1)
    ]
    return _finished(assemble(texts, title=decode_title(about)), name)


class _EncodedPdf:
    def __init__(self, path: Path) -> None:
        self._pdf = PdfPages(path)

    @property
    def pages(self) -> int:
        return self._pdf.count

    def about(self) -> bytes:
        return encode_title(self._pdf.title)

    def page(self, number: int) -> bytes:
        return encode_page(self._pdf.page(number))

    def close(self) -> None:
        self._pdf.close()


def _finished(document: ParsedDocument, name: str) -> ParsedDocument:
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
