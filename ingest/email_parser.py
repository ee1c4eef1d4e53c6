"""Mail: a message to its headers, its body and its attachments, each under its MIME part number.

A message of one part has part "1"; the second of three parts is "2", the first within that "2.1". The header lines
stand as a paragraph before the first text, in that text's part, so that a short mail is one passage with its sender.
Bodies and attachments are read by the parser this one is given.
"""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email.message import EmailMessage, Message

from ingest.parsing import Defect, Element, ElementKind, ParsedDocument
from ingest.text_parser import clean, decode, wide_encoding
from retrieval.errors import Refused, Unparseable

ParsePart = Callable[[bytes, str, str | None], ParsedDocument]  # content, file name, declared type

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_SIGNATURES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature"})
_DEEPEST = 10  # messages within messages; forwards of forwards end well before
_SCANT = 5  # a plain text that many times shorter than its HTML twin only says "see the HTML"


def parse_mail(data: bytes, parse_part: ParsePart) -> ParsedDocument:
    """The message, its subject as title. A part that cannot be read is a defect, not a failure of the message."""
    if wide_encoding(data) or data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        data = decode(data).encode()
    message = email.message_from_bytes(data, policy=email.policy.default)
    reading = _Reading(parse_part)
    reading.message(message, "", depth=0)
    if not reading.elements and reading.defects:
        raise Unparseable("damaged", f"No part of the message can be read: {reading.defects[0].why}")
    return ParsedDocument(tuple(reading.elements), title=_header(message, "Subject"), defects=tuple(reading.defects))


@dataclass(slots=True)
class _Reading:
    """What has been read of one message so far."""

    parse_part: ParsePart
    elements: list[Element] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)

    def message(self, message: Message, number: str, *, depth: int) -> None:
        if depth > _DEEPEST:
            self.defects.append(Defect("parts_failed", f"part {number}", "Messages are nested too deeply."))
            return
        at = len(self.elements)
        if message.is_multipart() and message.get_content_type() != "message/rfc822":
            self.parts(message, number, depth=depth)
        else:
            self.part(message, f"{number}.1" if number else "1", depth=depth)
        lines = [f"{name}: {value}" for name in _HEADERS if (value := _header(message, name))]
        if lines:
            part = self.elements[at].part if at < len(self.elements) else (number or "1")
            self.elements.insert(at, Element(ElementKind.PARAGRAPH, "\n".join(lines), heading_path=(), part=part))

    def parts(self, multipart: Message, number: str, *, depth: int) -> None:
        children: list[Message] = list(multipart.iter_parts()) if isinstance(multipart, EmailMessage) else []
        numbered: list[tuple[str, Message]] = [
            (f"{number}.{i}" if number else str(i), child) for i, child in enumerate(children, start=1)
        ]
        if multipart.get_content_type() == "multipart/alternative":
            numbered = self.best_alternative(numbered)
        for child_number, child in numbered:
            self.part(child, child_number, depth=depth)

    def best_alternative(self, numbered: list[tuple[str, Message]]) -> list[tuple[str, Message]]:
        """The plain text where it says as much as the others; else the last one, which the sender likes best."""
        plain = next((pair for pair in numbered if pair[1].get_content_type() == "text/plain"), None)
        if plain is None or len(numbered) == 1:
            return numbered[-1:]
        said = len(_content(plain[1]).strip())
        html = max((len(self.read(child, "").text()) for _, child in numbered if _is_html(child)), default=0)
        return [plain] if said and said * _SCANT >= html else numbered[-1:]

    def part(self, part: Message, number: str, *, depth: int) -> None:
        if part.get_content_type() == "message/rfc822":
            for inner in part.get_payload() if part.is_multipart() else ():
                if isinstance(inner, Message):
                    self.message(inner, number, depth=depth + 1)
        elif part.is_multipart():
            self.parts(part, number, depth=depth)
        elif not _is_decoration(part):
            self.leaf(part, number)

    def leaf(self, part: Message, number: str) -> None:
        name = part.get_filename() or ""
        try:
            document = self.read(part, name)
        except Refused as error:
            self.defects.append(Defect("parts_failed", f"part {number} {name}".strip(), str(error)))
            return
        self.defects.extend(replace(found, where=f"part {number} {found.where}") for found in document.defects)
        self.elements.extend(_of_part(document, number))

    def read(self, part: Message, name: str) -> ParsedDocument:
        content = _content(part)
        if not content.strip():
            return ParsedDocument(elements=())
        return self.parse_part(content, name, part.get_content_type())


def _content(part: Message) -> bytes:
    """The part's bytes; text in UTF-8, whatever its own encoding was."""
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    if part.get_content_maintype() == "text" and not part.get_filename():
        return decode(data, declared=part.get_content_charset()).encode()
    return data


def _is_html(part: Message) -> bool:
    return part.get_content_type() == "text/html"


def _is_decoration(part: Message) -> bool:
    """Signatures, and pictures shown inside the text: nothing is missing without them."""
    inline = part.get_content_maintype() == "image" and part.get_content_disposition() != "attachment"
    return inline or part.get_content_type() in _SIGNATURES


def _of_part(document: ParsedDocument, number: str) -> Iterator[Element]:
    """The elements as this part's. Boxes are left out: they stand on pages of a file that nobody can open by itself."""
    for element in document.elements:
        yield replace(element, part=number, lines=(), heading_path=element.heading_path or ())


def _header(message: Message, name: str) -> str | None:
    try:
        value = message.get(name)
    except (ValueError, IndexError, AttributeError):  # the standard parser stumbles over some malformed headers
        return None
    return " ".join(clean(str(value)).split()) or None if value else None
