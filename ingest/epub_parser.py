"""EPUB: a ZIP of XHTML files and a spine that orders them. Each file is read by the HTML parser it is given."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from ingest.archive_limits import ARCHIVE_ERRORS
from ingest.heading_paths import with_heading_paths
from ingest.parsing import Defect, Element, ParsedDocument
from retrieval.errors import Unparseable

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_READABLE = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml"})
_FONTS_ONLY = (b"http://www.idpf.org/2008/embedding", b"http://ns.adobe.com/pdf/enc#RC")


def parse_epub(source: Path | bytes, parse_html: Callable[[bytes], ParsedDocument]) -> ParsedDocument:
    """The chapters in reading order; a chapter in several files stays under its heading.

    A chapter that cannot be read is a defect; raises `Unparseable` if none can.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            return _book(archive, parse_html)
    except (*ARCHIVE_ERRORS, KeyError, ElementTree.ParseError) as error:
        raise Unparseable("damaged", f"The e-book cannot be opened: {error}.") from error


def _book(archive: zipfile.ZipFile, parse_html: Callable[[bytes], ParsedDocument]) -> ParsedDocument:
    if _is_locked(archive):
        raise Unparseable("encrypted", "The e-book is protected (DRM).")
    package = _package_path(archive)
    root = ElementTree.fromstring(archive.read(package))
    elements: list[Element] = []
    defects: list[Defect] = []
    for path in _spine(root, posixpath.dirname(package)):
        try:
            elements.extend(parse_html(archive.read(path)).elements)
        except (*ARCHIVE_ERRORS, KeyError, Unparseable) as error:
            defects.append(Defect("parts_failed", path, str(error)))
    if defects and not elements:
        raise Unparseable("damaged", f"No chapter of the e-book can be read: {defects[0].why}")
    title = next((found.text for found in root.iter() if _name(found) == "title" and found.text), None)
    return ParsedDocument(
        tuple(with_heading_paths(elements)), title=" ".join(title.split()) if title else None, defects=tuple(defects)
    )


def _is_locked(archive: zipfile.ZipFile) -> bool:
    """Whether more than fonts is encrypted; those are obfuscated in many free books."""
    if _ENCRYPTION not in archive.namelist():
        return False
    algorithms = ElementTree.fromstring(archive.read(_ENCRYPTION)).iter()
    used = [found.get("Algorithm", "").encode() for found in algorithms if _name(found) == "EncryptionMethod"]
    return any(algorithm not in _FONTS_ONLY for algorithm in used)


def _package_path(archive: zipfile.ZipFile) -> str:
    for found in ElementTree.fromstring(archive.read(_CONTAINER)).iter():
        if _name(found) == "rootfile" and found.get("full-path"):
            return str(found.get("full-path"))
    raise Unparseable("damaged", "The e-book does not say where its contents are listed.")


def _spine(root: ElementTree.Element, folder: str) -> Iterator[str]:
    items = {found.get("id"): found for found in root.iter() if _name(found) == "item"}
    for reference in root.iter():
        item = items.get(reference.get("idref")) if _name(reference) == "itemref" else None
        if item is not None and item.get("media-type") in _READABLE:
            yield posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
