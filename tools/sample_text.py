"""Blocks and tables set in formats that are text underneath: HTML and mail."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from html import escape

from tools.sample_markup import Block, Heading, Items, Note, PageBreak, Paragraph, Table

NAVIGATION = ("Home", "Instruments", "Engineering", "People", "Finance", "Search the intranet", "Sign out")


@dataclass(frozen=True, slots=True)
class Mail:
    sender: str
    to: str
    cc: str
    date: str
    subject: str
    message_id: str


def html(blocks: Iterable[Block], *, title: str) -> bytes:
    """An intranet page: navigation above and a footer below, as pages have them and as a parser should see through."""
    links = "".join(f'<li><a href="#">{escape(name)}</a></li>' for name in NAVIGATION)
    body = "\n".join(map(_html, blocks))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        "<style>body { font-family: serif; max-width: 46em } td, th { border: 1px solid #9db4c0 }</style>\n"
        "<script>window.pageViews = (window.pageViews || 0) + 1;</script>\n</head>\n<body>\n"
        f"<nav><ul>{links}</ul></nav>\n<main>\n{body}\n</main>\n"
        "<footer><p>Harrow &amp; Finch Instruments intranet. Internal use only. "
        '<a href="#">Report a mistake on this page</a></p></footer>\n</body>\n</html>\n'
    ).encode()


def _html(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Items(texts, numbered):
            tag = "ol" if numbered else "ul"
            return f"<{tag}>\n" + "".join(f"<li>{escape(text)}</li>\n" for text in texts) + f"</{tag}>"
        case Table(rows):
            head = "".join(f"<th>{escape(text)}</th>" for text in rows[0])
            lines = ["".join(f"<td>{escape(text)}</td>" for text in row) for row in rows[1:]]
            filled = "\n".join(f"<tr>{line}</tr>" for line in lines)
            return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{filled}\n</tbody>\n</table>"
        case Note(text):
            return f"<blockquote>{escape(text)}</blockquote>"
        case PageBreak():
            return "<hr>"


def mail_with_alternative(head: Mail, text: str, blocks: Iterable[Block]) -> bytes:
    """multipart/alternative: the plain text, and the blocks as its HTML twin."""
    message = _message(head, text)
    body = "\n".join(map(_html, blocks))
    message.add_alternative(f"<html><body>\n{body}\n</body></html>\n", subtype="html", cte="quoted-printable")
    message.set_boundary("=_harrow_finch_alternative")
    return message.as_bytes(policy=SMTP)


def mail_with_attachment(head: Mail, text: str, *, name: str, rows: Iterable[Sequence[object]]) -> bytes:
    """multipart/mixed: the plain text, and a CSV file."""
    message = _message(head, text)
    message.add_attachment(_separated(rows), maintype="text", subtype="csv", filename=name)
    message.set_boundary("=_harrow_finch_mixed")
    return message.as_bytes(policy=SMTP)


def _message(head: Mail, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Cc"] = head.sender, head.to, head.cc
    message["Date"], message["Subject"], message["Message-ID"] = head.date, head.subject, head.message_id
    message.set_content(text, cte="quoted-printable")
    return message


def _separated(rows: Iterable[Sequence[object]]) -> bytes:
    """CSV as spreadsheets write it: quotes only where they are needed, lines ended by CR LF."""
    into = io.StringIO()
    csv.writer(into).writerows(rows)
    return into.getvalue().encode()
