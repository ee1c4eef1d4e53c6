"""Files for tests, made when they are needed: good ones, broken ones, hostile ones."""

from __future__ import annotations

import io
import zipfile

import docx
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas


def pdf(*pages: str, password: str | None = None) -> bytes:
    """One page for each text; under a password if one is given."""
    data = io.BytesIO()
    encryption = None if password is None else StandardEncryption(password, ownerPassword=password + "-owner")
    canvas = Canvas(data, encrypt=encryption)
    for text in pages:
        for i, line in enumerate(text.splitlines()):
            canvas.drawString(72, 720 - 16 * i, line)
        canvas.showPage()
    canvas.save()
    return data.getvalue()


def pdf_with_a_bad_page() -> bytes:
    """A first page that says "good page", and a second one that is not there."""
    content = b"BT /F 12 Tf 72 700 Td (good page) Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 2 /Kids [3 0 R 9 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Font << /F 5 0 R >> >>",
    ]
    body = b"".join(b"%d 0 obj\n%s\nendobj\n" % (i, item) for i, item in enumerate(objects, start=1))
    return b"%PDF-1.4\n" + body + b"trailer << /Root 1 0 R /Size 7 >>\n%%EOF"


def word(*paragraphs: str) -> bytes:
    """A .docx with these paragraphs, the first one as its heading."""
    document = docx.Document()
    document.add_heading(paragraphs[0], level=1)
    for text in paragraphs[1:]:
        document.add_paragraph(text)
    data = io.BytesIO()
    document.save(data)
    return data.getvalue()


def truncated_word() -> bytes:
    """The first half of a .docx: its archive has no directory."""
    whole = word("Half", "This sentence was whole once.")
    return whole[: len(whole) // 2]


def word_bomb(unpacked: int = 200 << 20) -> bytes:
    """A .docx of a few hundred kilobytes that unpacks to more than `unpacked` bytes."""
    data = io.BytesIO(word("Bomb", "tick"))
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/media/filler.xml", bytes(unpacked))
    return data.getvalue()


def endless_page(size: int) -> bytes:
    """HTML of this size in paragraphs of a word: 3 MB of it keep a parser busy for twenty seconds."""
    paragraph = b"<p>word</p>"
    return b"<html><body>" + paragraph * (size // len(paragraph) - 2)
