"""Plain text: bytes to characters, characters to paragraphs. Also what is read as text: JSON, YAML, XML, source."""

from __future__ import annotations

import codecs
import json
import re

from ingest.parsing import Element, ElementKind, ParsedDocument

# Longer marks first: the mark of UTF-32 LE starts with that of UTF-16 LE.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEVEN_BITS = ("iso-2022", "iso2022", "hz", "utf-7")
_LATIN_1 = frozenset({"iso-8859-1", "iso8859-1", "latin-1", "latin1", "us-ascii", "ascii"})
_SAMPLE = 4096  # bytes looked at for an encoding's pattern of zeros
_MOSTLY = 0.7  # share of zero bytes in a position that makes it the high byte of text in a Latin or similar script
_BLANK_LINES = re.compile(r"\n[ \t\f\v]*\n\s*")
_UNWANTED = {code: None for code in range(32) if chr(code) not in "\t\n"} | {0x7F: None, 0xFEFF: None}
_SURROGATES = re.compile("[\ud800-\udfff]")


def decode(data: bytes, *, declared: str | None = None) -> str:
    """The text of `data`: by its mark, its zeros, as UTF-8, as `declared`, else as Windows-1252. Never fails.

    UTF-8 comes before what is declared: text that reads as UTF-8 is hardly ever anything else, whatever its label
    says. Encodings of seven bits are the exception: they read as ASCII.

    Line ends become LF; control characters, which no reader shows, are left out.
    """
    return clean(_decoded(data, declared).replace("\r\n", "\n").replace("\r", "\n"))


def clean(text: str) -> str:
    """`text` without control characters, and with lone surrogates, which no encoding takes, as U+FFFD."""
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text.translate(_UNWANTED))


def _decoded(data: bytes, declared: str | None) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    wide = wide_encoding(data)
    if wide:
        return data.decode(wide, "replace")
    label = (declared or "").strip().lower()
    if label in _LATIN_1:
        label = "cp1252"  # as browsers read it
    for candidate in (label, "utf-8") if label.startswith(_SEVEN_BITS) else ("utf-8", label):
        try:
            return data.decode(candidate) if candidate else data.decode("utf-8")
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("cp1252", "replace")  # five bytes are undefined in it


def wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, told by where the zero bytes stand; None if there is no such pattern."""
    sample = data[: _SAMPLE - _SAMPLE % 4]
    if b"\0" not in sample:
        return None
    zeros = [_zero_share(sample[at::4]) for at in range(4)]
    match [share > _MOSTLY for share in zeros]:
        case [False, True, True, True]:
            return "utf-32-le"
        case [True, True, True, False]:
            return "utf-32-be"
        case [False, True, False, True]:
            return "utf-16-le"
        case [True, False, True, False]:
            return "utf-16-be"
    return None


def _zero_share(data: bytes) -> float:
    return data.count(0) / len(data) if data else 0.0


def parse_text(data: bytes) -> ParsedDocument:
    """Paragraphs, divided at blank lines; lines inside a paragraph stay as they are. No headings are guessed."""
    return ParsedDocument(elements=tuple(paragraphs(decode(data))))


def paragraphs(text: str) -> list[Element]:
    return [Element(ElementKind.PARAGRAPH, block) for block in _blocks(text)]


def parse_structured(data: bytes) -> ParsedDocument:
    """JSON, NDJSON, YAML, XML: the text itself, cut at lines later. JSON is written with its characters unescaped."""
    text = clean(_readable_json(decode(data)))
    return ParsedDocument(elements=tuple(Element(ElementKind.CODE, block) for block in _blocks(text)))


def _readable_json(text: str) -> str:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=1)
    except (ValueError, RecursionError):
        return text


def _blocks(text: str) -> list[str]:
    return [block for part in _BLANK_LINES.split(text) if (block := part.strip("\n").rstrip()) and not block.isspace()]
