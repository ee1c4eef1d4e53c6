"""Media types: what a file is, by its content first, its name second, the sender's word last.

A wrong extension is overruled by the content; only text formats that look alike (Markdown, CSV, YAML, …) are told
apart by their names.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePath

from ingest.archive_limits import ARCHIVE_ERRORS
from ingest.text_parser import decode, wide_encoding
from retrieval.errors import UnsupportedType

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
XLSB = "application/vnd.ms-excel.sheet.binary.macroenabled.12"
XLS = "application/vnd.ms-excel"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
EPUB = "application/epub+zip"
HTML = "text/html"
MARKDOWN = "text/markdown"
TEXT = "text/plain"
CSV = "text/csv"
TSV = "text/tab-separated-values"
MAIL = "message/rfc822"
JSON = "application/json"
NDJSON = "application/x-ndjson"
XML = "application/xml"
YAML = "application/yaml"
RST = "text/x-rst"
ORG = "text/x-org"
DOC = "application/msword"
PPT = "application/vnd.ms-powerpoint"
MSG = "application/vnd.ms-outlook"
ODT = "application/vnd.oasis.opendocument.text"
ODP = "application/vnd.oasis.opendocument.presentation"
RTF = "application/rtf"

_OFFICE = "LibreOffice (soffice)"
_OCR = "an OCR program (tesseract)"


@dataclass(frozen=True, slots=True)
class MediaType:
    """A type this product knows. `needs` names the program without which its text cannot be had, None if none is."""

    name: str
    extensions: tuple[str, ...]
    is_text: bool = False
    needs: str | None = None


KNOWN: tuple[MediaType, ...] = (
    MediaType(PDF, (".pdf",)),
    MediaType(DOCX, (".docx", ".docm", ".dotx")),
    MediaType(PPTX, (".pptx", ".pptm", ".ppsx", ".potx")),
    MediaType(XLSX, (".xlsx", ".xlsm", ".xltx")),
    MediaType(XLSB, (".xlsb",)),
    MediaType(XLS, (".xls", ".xlt")),
    MediaType(ODS, (".ods",)),
    MediaType(EPUB, (".epub",)),
    MediaType(HTML, (".html", ".htm", ".xhtml"), is_text=True),
    MediaType(MARKDOWN, (".md", ".markdown", ".mdown"), is_text=True),
    MediaType(TEXT, (".txt", ".text", ".log"), is_text=True),
    MediaType(CSV, (".csv",), is_text=True),
    MediaType(TSV, (".tsv", ".tab"), is_text=True),
    MediaType(MAIL, (".eml", ".p7s", ".p7m"), is_text=True),
    MediaType(JSON, (".json",), is_text=True),
    MediaType(NDJSON, (".ndjson", ".jsonl"), is_text=True),
    MediaType(XML, (".xml", ".svg"), is_text=True),
    MediaType(YAML, (".yaml", ".yml"), is_text=True),
    MediaType(RST, (".rst",), is_text=True),
    MediaType(ORG, (".org",), is_text=True),
    MediaType(DOC, (".doc", ".dot"), needs=_OFFICE),
    MediaType(PPT, (".ppt", ".pps"), needs=_OFFICE),
    MediaType(ODT, (".odt", ".ott"), needs=_OFFICE),
    MediaType(ODP, (".odp",), needs=_OFFICE),
    MediaType(RTF, (".rtf",), needs=_OFFICE),
    MediaType(MSG, (".msg",), needs="a converter for Outlook messages (msgconvert); or save the message as .eml"),
    MediaType("image/png", (".png",), needs=_OCR),
    MediaType("image/jpeg", (".jpg", ".jpeg"), needs=_OCR),
    MediaType("image/tiff", (".tif", ".tiff"), needs=_OCR),
    MediaType("image/bmp", (".bmp",), needs=_OCR),
    MediaType("image/gif", (".gif",), needs=_OCR),
    MediaType("image/webp", (".webp",), needs=_OCR),
    MediaType("image/heic", (".heic", ".heif"), needs=_OCR),
)
BY_NAME = {known.name: known for known in KNOWN}
_BY_EXTENSION = {extension: known for known in KNOWN for extension in known.extensions}
_ALIASES = {
    "application/x-yaml": YAML, "text/yaml": YAML, "text/x-yaml": YAML, "text/xml": XML, "text/rtf": RTF,
    "application/jsonl": NDJSON, "application/x-jsonlines": NDJSON, "application/xhtml+xml": HTML,
    "text/x-markdown": MARKDOWN, "text/prs.fallenstein.rst": RST, "text/org": ORG, "image/jpg": "image/jpeg",
}  # fmt: skip

_HEAD = 64 * 1024  # bytes that tell a type; the directory of a ZIP or OLE file is read besides
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"{\\rtf", RTF),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypheix", "image/heic"),
    (4, b"ftypmif1", "image/heic"),
)
_UNREADABLE: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a Windows program"),
    (0, b"\xca\xfe\xba\xbe", "a program"),
    (0, b"\xcf\xfa\xed\xfe", "a program"),
    (0, b"\x00asm", "a program"),
    (0, b"ID3", "audio"),
    (0, b"\xff\xfb", "audio"),
    (0, b"fLaC", "audio"),
    (0, b"OggS", "audio or video"),
    (8, b"WAVE", "audio"),
    (8, b"AVI ", "video"),
    (4, b"ftyp", "video or audio"),
    (0, b"\x1aE\xdf\xa3", "video"),
    (0, b"\x00\x00\x01\xba", "video"),
    (0, b"\x1f\x8b", "a compressed file (gzip)"),
    (0, b"BZh", "a compressed file (bzip2)"),
    (0, b"\xfd7zXZ\x00", "a compressed file (xz)"),
    (0, b"\x28\xb5\x2f\xfd", "a compressed file (zstd)"),
    (0, b"7z\xbc\xaf\x27\x1c", "an archive (7z)"),
    (0, b"Rar!\x1a\x07", "an archive (rar)"),
    (257, b"ustar", "an archive (tar)"),
    (0, b"SQLite format 3\x00", "a database"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"wOFF", "a font"),
    (0, b"\x00\x01\x00\x00\x00", "a font"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# Names of streams in the directory of an OLE file, as they stand there. A message may hold the others' streams.
_OLE_STREAMS = (
    ("__substg1.0_", MSG), ("EncryptedPackage", None), ("WordDocument", DOC), ("PowerPoint Document", PPT),
    ("Workbook", XLS), ("Book", XLS),
)  # fmt: skip
_ZIP_FOLDERS = ((b"word/", DOCX), (b"ppt/", PPTX), (b"xl/", XLSX))
_ODF = ((b"opendocument.text", ODT), (b"opendocument.spreadsheet", ODS), (b"opendocument.presentation", ODP))

_HTML = re.compile(r"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I | re.S)
_HEADER = re.compile(r"[!-9;-~]+:[ \t]?[^\n]*\n(?:[ \t][^\n]*\n)*")
_MAIL_HEADERS = frozenset({"from", "to", "subject", "date", "cc", "received", "reply-to", "return-path", "sender"})
_SURE_MAIL_HEADERS = frozenset({"message-id", "mime-version", "received", "return-path", "delivered-to"})
_MOST_CONTROLS = 0.02  # text has next to none; a binary file about a tenth of its bytes


def detect(path_or_head: Path | bytes, *, name: str, declared: str | None = None) -> str:
    """The media type of a file, given whole by its path or by its first bytes (64 KiB are enough).

    `name` is the file's name, `declared` what its sender called it (parameters are ignored). Raises `UnsupportedType`
    for what is known to be no document, and for bytes that are neither text nor anything known.
    """
    head = _head(path_or_head)
    by_name = _BY_EXTENSION.get(PurePath(name).suffix.lower())
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_type(path_or_head, head, by_name)
    if head.startswith(_OLE):
        return _ole_type(path_or_head, by_name)
    for at, signature, media_type in _SIGNATURES:
        if head.startswith(signature, at):
            return media_type
    if head.startswith(b"BM") and head[6:10] == bytes(4) and len(head) > 26:
        return "image/bmp"
    if _is_text(head):
        return _text_type(head, by_name, _canonical(declared))
    for at, signature, what in _UNREADABLE:
        if head.startswith(signature, at):
            raise UnsupportedType(f"This is {what}, which cannot be read as a document.")
    if by_name and not by_name.is_text:
        return by_name.name  # a damaged file of that kind: its parser says so
    raise UnsupportedType("This is neither text nor any type of document that is known here.")


def _head(path_or_head: Path | bytes) -> bytes:
    if isinstance(path_or_head, bytes):
        return path_or_head[:_HEAD]
    with path_or_head.open("rb") as file:
        return file.read(_HEAD)


def _canonical(declared: str | None) -> MediaType | None:
    name = (declared or "").partition(";")[0].strip().lower()
    return BY_NAME.get(_ALIASES.get(name, name))


def _zip_type(path_or_head: Path | bytes, head: bytes, by_name: MediaType | None) -> str:
    """By the names in its directory; where that cannot be read, by the local headers at its start."""
    mimetype = head[30:200]
    if mimetype.startswith(b"mimetype"):
        if b"application/epub+zip" in mimetype:
            return EPUB
        for part, media_type in _ODF:
            if part in mimetype:
                return media_type
    names = _zip_names(path_or_head) or _local_names(head)
    for folder, media_type in _ZIP_FOLDERS:
        if any(entry.startswith(folder) for entry in names):
            return XLSB if b"xl/workbook.bin" in names else media_type
    if by_name and by_name.name in {DOCX, PPTX, XLSX, XLSB, EPUB, ODS, ODT, ODP} and not _zip_names(path_or_head):
        return by_name.name  # too broken to tell; its parser says so
    raise UnsupportedType("This is an archive (zip): send the files in it one by one.")


def _local_names(head: bytes) -> list[bytes]:
    headers = (found.end() for found in re.finditer(rb"PK\x03\x04", head))
    return [head[at + 26 : at + 26 + int.from_bytes(head[at + 22 : at + 24], "little")] for at in headers]


def _zip_names(path_or_head: Path | bytes) -> list[bytes]:
    if isinstance(path_or_head, bytes):
        return []
    try:
        with zipfile.ZipFile(path_or_head) as archive:
            return [entry.filename.encode("utf-8", "replace") for entry in archive.infolist()]
    except ARCHIVE_ERRORS:
        return []


def _ole_type(path_or_head: Path | bytes, by_name: MediaType | None) -> str:
    data = path_or_head if isinstance(path_or_head, bytes) else path_or_head.read_bytes()
    for stream, media_type in _OLE_STREAMS:
        if stream.encode("utf-16-le") in data:
            if media_type:
                return media_type
            return by_name.name if by_name and by_name.name in {DOCX, PPTX, XLSX, XLSB} else DOCX
    if by_name and by_name.name in {DOC, PPT, XLS, MSG}:
        return by_name.name
    raise UnsupportedType("This is a compound file of a kind that is no document.")


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")) or wide_encoding(head):
        return True
    controls = sum(head.count(code) for code in range(32) if code not in b"\t\n\v\f\r\x1b")
    return controls <= _MOST_CONTROLS * len(head)


def _text_type(head: bytes, by_name: MediaType | None, declared: MediaType | None) -> str:
    named = next((known for known in (by_name, declared) if known and known.is_text), None)
    text = decode(head)
    if _HTML.match(text):
        return HTML
    if named and named.name != TEXT:
        return named.name
    if text.lstrip().startswith("<?xml"):
        return XML
    headers = _header_names(text)
    if headers & _SURE_MAIL_HEADERS and len(headers & (_MAIL_HEADERS | _SURE_MAIL_HEADERS)) >= 2:
        return MAIL
    return TEXT


def _header_names(text: str) -> set[str]:
    """The names of the header fields that `text` begins with, in lower case."""
    names, at = set(), 0
    while match := _HEADER.match(text, at):
        names.add(match[0].partition(":")[0].lower())
        at = match.end()
    return names
