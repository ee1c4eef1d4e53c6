"""The only door to unstructured: HTML, Markdown, Word and PowerPoint to elements, without a network.

unstructured counts its imports and calls over the network and fetches a language model at first use. Both are closed
here: the switches are set before it is imported, and where the model is not installed a rule-based sentence splitter
takes its place. What the model would decide (is a short line a title?) is not used: headings come from styles and tags.
"""

from __future__ import annotations

import os

# Set for the library, before it is imported; no setting of ours is read here.
os.environ["DO_NOT_TRACK"] = "1"
os.environ["SCARF_NO_ANALYTICS"] = "1"
os.environ["UNSTRUCTURED_DISABLE_NOTICE"] = "1"

import html
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import docx
import pptx
import spacy
import unstructured.nlp.tokenize
import unstructured.partition.html.parser
import unstructured.partition.text_type
from unstructured.documents.elements import Text
from unstructured.partition.docx import partition_docx
from unstructured.partition.html import partition_html
from unstructured.partition.md import partition_md
from unstructured.partition.pptx import partition_pptx

from ingest.heading_paths import with_heading_paths
from ingest.parsing import Element, ElementKind, ParsedDocument
from ingest.table_parser import table_element
from ingest.text_parser import clean, decode, paragraphs
from retrieval.errors import Unparseable

_NO_LANGUAGES = [""]  # switches unstructured's own detection off: it runs on every element
_SPACY_MODEL = "en_core_web_sm"
_SKIPPED = frozenset({"PageBreak", "Header", "Footer", "Image", "PageNumber"})
_KINDS = {"Title": ElementKind.TITLE, "ListItem": ElementKind.LIST_ITEM, "CodeSnippet": ElementKind.CODE}
_PROSE_CELL = 600  # characters; a table with a longer cell lays out a page rather than data
_ROW = re.compile(r"<tr[^>]*>(.*?)</tr>", re.S)
_CELL = re.compile(r"<t[dh][^>]*/>|<t[dh][^>]*>(.*?)</t[dh]>", re.S)
_TAG = re.compile(r"<[^>]+>")
_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w-]+)""", re.I)
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_HTML_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.I | re.S)
_HIDDEN = re.compile(r"<!--.*?-->|<(script|style|head|template|noscript|svg)\b.*?</\1\s*>", re.I | re.S)
_BLOCK_TAG = re.compile(r"</?(?:p|div|br|h[1-6]|li|tr|table|section|article|blockquote|pre|dd|dt)\b[^>]*>", re.I)
_BLANK_RUN = re.compile(r"\s*\n\s*")
_LEAST_SHARE = 0.5  # of the visible text: when less was found, the page's structure is beyond its parser
_BLANKS = re.compile(r"[ \t\r\f\v\xa0]+")


def _work_offline() -> None:
    """Gives unstructured a sentence splitter that needs no download, unless its own model is installed.

    All that is changed inside unstructured is changed here; a release without these names stops the start.
    """
    tokenize, text_type, page = (
        unstructured.nlp.tokenize,
        unstructured.partition.text_type,
        unstructured.partition.html.parser,
    )
    wanted = ((tokenize, "_get_nlp"), (text_type, "contains_verb"), (page, "derive_element_type_from_text"))
    if not all(hasattr(module, name) for module, name in wanted):
        raise ImportError("unstructured has changed inside: the offline sentence splitter no longer fits this release.")
    derived = page.derive_element_type_from_text
    # It drops paragraphs of one character, which are words in some languages and answers in some tables.
    page.derive_element_type_from_text = lambda text: derived(text) or (Text if text.strip() else None)
    if spacy.util.is_package(_SPACY_MODEL):
        return
    splitter = spacy.blank("en")
    splitter.add_pipe("sentencizer")
    tokenize._get_nlp = lambda: splitter
    # Verbs need tags. Without them every element is plain text, which is all that is asked of it here.
    text_type.contains_verb = lambda text: False


_work_offline()


def parse_html(data: bytes) -> ParsedDocument:
    """Headings are h1 to h6. Scripts and styles are left out; a table that lays out a page becomes paragraphs.

    A page whose structure cannot be followed is read as plain paragraphs: HTML is never damaged.
    """
    match = _CHARSET.search(data[:4096])
    return parse_html_text(decode(data, declared=match[1].decode("ascii") if match else None))


def parse_html_text(text: str) -> ParsedDocument:
    if not text.strip():
        return ParsedDocument(elements=())
    title = _HTML_TITLE.search(text)
    text = _XML_DECLARATION.sub("", text)
    try:
        parts = _guarded(lambda: partition_html(text=text, languages=_NO_LANGUAGES))
    except Unparseable:
        parts = []  # its text is still there to be had, below
    elements = tuple(with_heading_paths(_elements(parts)))
    visible = _visible_text(text)
    if sum(len(element.text) for element in elements) < len(visible) * _LEAST_SHARE:
        elements = tuple(with_heading_paths(paragraphs(visible)))
    name = " ".join(html.unescape(title[1]).split()) if title else None
    return ParsedDocument(elements, title=name or None)


def _visible_text(text: str) -> str:
    """The text between the tags, whatever their nesting: libxml2 leaves out what is nested deeper than 256 levels."""
    text = _TAG.sub(" ", _BLOCK_TAG.sub("\n\n", _HIDDEN.sub(" ", text)))
    return _BLANK_RUN.sub("\n\n", _BLANKS.sub(" ", clean(html.unescape(text)))).strip()


def parse_markdown(data: bytes) -> ParsedDocument:
    text = decode(data)
    parts = _guarded(lambda: partition_md(text=text, languages=_NO_LANGUAGES)) if text.strip() else []
    return ParsedDocument(elements=tuple(with_heading_paths(_elements(parts))))


def parse_docx(source: Path | bytes) -> ParsedDocument:
    """Headings by paragraph style. Running headers and footers are left out."""
    parts = _guarded(lambda: partition_docx(file=_stream(source), languages=_NO_LANGUAGES))
    title = _guarded(lambda: docx.Document(_stream(source)).core_properties.title)
    return ParsedDocument(elements=tuple(with_heading_paths(_elements(parts))), title=title or None)


def parse_pptx(source: Path | bytes) -> ParsedDocument:
    """Slides count from 1; a slide's title is the heading of what is on it. Notes are part of their slide."""
    parts = _guarded(lambda: partition_pptx(file=_stream(source), include_slide_notes=True, languages=_NO_LANGUAGES))
    title = _guarded(lambda: pptx.Presentation(_stream(source)).core_properties.title)
    slides: list[Element] = []
    for slide, on_slide in _by_slide(parts):
        slides.extend(with_heading_paths(_slide_elements(on_slide, slide)))
    return ParsedDocument(elements=tuple(slides), title=title or None)


def _stream(source: Path | bytes) -> io.BytesIO:
    return io.BytesIO(source if isinstance(source, bytes) else source.read_bytes())


def _guarded(read: Callable[[], Any]) -> Any:
    """What `read` returns. The readers below raise whatever a damaged file makes them stumble over."""
    try:
        return read()
    except RecursionError as error:
        raise Unparseable("parse_limit", "The document is nested too deeply.") from error
    except (MemoryError, OSError) as error:
        if isinstance(error, MemoryError):
            raise
        raise Unparseable("damaged", f"The document cannot be read: {error}.") from error
    except Exception as error:
        raise Unparseable("damaged", f"The document cannot be read ({type(error).__name__}: {error}).") from error


def _elements(parts: Sequence[Any]) -> Iterator[Element]:
    for part in parts:
        if part.category in _SKIPPED:
            continue
        if part.category == "Table":
            yield from _table(part)
            continue
        kind = _KINDS.get(part.category, ElementKind.PARAGRAPH)
        depth = part.metadata.category_depth
        if kind is ElementKind.TITLE and depth is None:
            kind = ElementKind.PARAGRAPH
        text = _tidy(part.text, kind)
        if text:
            yield Element(kind, text, level=depth + 1 if kind is ElementKind.TITLE else None)


def _tidy(text: str, kind: ElementKind) -> str:
    text = clean(text)
    if kind is ElementKind.CODE:
        return text.strip("\n").rstrip()
    text = "\n".join(_BLANKS.sub(" ", line).strip() for line in text.split("\n")).strip()
    return " ".join(text.split()) if kind is ElementKind.TITLE else text


def _table(part: Any) -> Iterator[Element]:
    rows = [_cells(row) for row in _ROW.findall(part.metadata.text_as_html or "")]
    if not rows:
        if text := _tidy(part.text, ElementKind.PARAGRAPH):
            yield Element(ElementKind.PARAGRAPH, text)
        return
    if max((len(cell) for row in rows for cell in row), default=0) > _PROSE_CELL:
        for row in rows:
            yield from (Element(ElementKind.PARAGRAPH, cell) for cell in row if cell)
        return
    table = table_element(enumerate(rows, start=1))
    if table:
        yield Element(ElementKind.TABLE, table.text)


def _cells(row: str) -> list[str]:
    return [" ".join(clean(html.unescape(_TAG.sub(" ", match[1] or ""))).split()) for match in _CELL.finditer(row)]


def _by_slide(parts: Sequence[Any]) -> Iterator[tuple[int, list[Any]]]:
    slides: dict[int, list[Any]] = {}
    for part in parts:
        slides.setdefault(part.metadata.page_number or 1, []).append(part)
    yield from sorted(slides.items())


def _slide_elements(parts: Sequence[Any], slide: int) -> Iterator[Element]:
    """The first title at depth 0 is the slide's; any other was only guessed from its shortness."""
    titled = False
    for element in _elements(parts):
        is_title = element.kind is ElementKind.TITLE and element.level == 1 and not titled
        titled = titled or is_title
        kind = ElementKind.PARAGRAPH if element.kind is ElementKind.TITLE and not is_title else element.kind
        yield Element(kind, element.text, level=1 if is_title else None, slide=slide)
