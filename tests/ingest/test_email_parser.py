from email.message import EmailMessage

import pytest

from ingest.email_parser import parse_mail
from ingest.format_parsers import parse_file
from ingest.media_types import MAIL
from ingest.parsing import Element, ElementKind, ParsedDocument
from retrieval.errors import Unparseable


def parse_part(content: bytes, name: str, declared: str | None) -> ParsedDocument:
    """Text as it is; anything named .bad cannot be read."""
    if name.endswith(".bad"):
        raise Unparseable("damaged", "It is broken.")
    return ParsedDocument((Element(ElementKind.PARAGRAPH, f"[{declared}] {content.decode().strip()}"),))


def message(text: str = "Hello", **headers: str) -> EmailMessage:
    made = EmailMessage()
    for name, value in {"From": "ann@example.com", "To": "bob@example.com", "Subject": "Plans", **headers}.items():
        made[name] = value
    made.set_content(text)
    return made


def parts(document: ParsedDocument) -> list[tuple[str | None, str]]:
    return [(element.part, element.text) for element in document.elements]


def test_a_short_mail_is_one_part_with_its_headers_before_the_text() -> None:
    document = parse_mail(message(Date="Fri, 16 Dec 2022 17:04:16 -0500").as_bytes(), parse_part)
    assert document.title == "Plans"
    assert parts(document) == [
        (
            "1",
            "From: ann@example.com\nTo: bob@example.com\nDate: Fri, 16 Dec 2022 17:04:16 -0500\nSubject: Plans",
        ),
        ("1", "[text/plain] Hello"),
    ]


def test_an_encoded_subject_and_text_are_decoded() -> None:
    made = message("Grüße aus Köln", Subject="Grüße ☸")
    document = parse_mail(made.as_bytes(), parse_part)
    assert document.title == "Grüße ☸"
    assert parts(document)[1] == ("1", "[text/plain] Grüße aus Köln")


def test_attachments_have_their_own_part_numbers() -> None:
    made = message()
    made.add_alternative("<p>Hello</p>", subtype="html")
    made.add_attachment("a,b", subtype="csv", filename="table.csv")
    assert parts(parse_mail(made.as_bytes(), parse_part))[1:] == [
        ("1.1", "[text/plain] Hello"),
        ("2", "[text/csv] a,b"),
    ]


def test_html_is_taken_where_the_plain_text_says_next_to_nothing() -> None:
    made = message("-")
    made.add_alternative("<p>" + "A whole story. " * 20 + "</p>", subtype="html")
    assert parts(parse_mail(made.as_bytes(), parse_part))[1][1].startswith("[text/html]")


def test_an_attachment_that_cannot_be_read_is_a_defect_and_the_rest_stays() -> None:
    made = message()
    made.add_attachment(b"?", maintype="application", subtype="pdf", filename="report.bad")
    document = parse_mail(made.as_bytes(), parse_part)
    assert [(found.code, found.where, found.why) for found in document.defects] == [
        ("parts_failed", "part 2 report.bad", "It is broken.")
    ]
    assert parts(document)[-1][1] == "[text/plain] Hello"


def test_a_picture_in_the_text_and_a_signature_are_no_defects() -> None:
    made = message()
    made.add_attachment(
        b"\x89PNG", maintype="image", subtype="png", cid="<logo>", disposition="inline", filename="x.bad"
    )
    made.add_attachment(b"sig", maintype="application", subtype="pkcs7-signature", filename="smime.bad")
    assert parse_mail(made.as_bytes(), parse_part).defects == ()


def test_a_forwarded_message_is_numbered_within_the_one_that_carries_it() -> None:
    inner = message("Inner", Subject="Original")
    made = message()
    made.add_attachment(inner)
    assert [part for part, _ in parts(parse_mail(made.as_bytes(), parse_part))] == ["1", "1", "2.1", "2.1"]


def test_messages_nested_without_end_end() -> None:
    made = message("innermost")
    for _ in range(30):
        outer = message()
        outer.add_attachment(made)
        made = outer
    document = parse_mail(made.as_bytes(), parse_part)
    assert any("nested" in found.why for found in document.defects)


def test_a_message_in_utf_16_is_read() -> None:
    data = message("Hello").as_bytes().decode().encode("utf-16-le")
    assert parse_mail(data, parse_part).title == "Plans"


def test_real_attachments_go_to_their_own_readers(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = message()
    made.add_attachment("<h1>Top</h1><p>Body</p>", subtype="html", filename="page.html")
    made.add_attachment(b"%PDF-1.7 nonsense", maintype="application", subtype="pdf", filename="broken.pdf")
    path = tmp_path / "mail"
    path.write_bytes(made.as_bytes())
    document = parse_file(path, MAIL, "mail")
    assert [(e.part, e.text, e.heading_path) for e in document.elements[2:]] == [
        ("2", "Top", ()),
        ("2", "Body", ("Top",)),
    ]
    assert [found.where for found in document.defects] == ["part 3 broken.pdf"]


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"Subject", b"\xff\xfe\x00", b"Content-Type: multipart/mixed; boundary=x\n\n--x"]
)
def test_rubbish_is_read_as_far_as_it_goes(data: bytes) -> None:
    parse_mail(data, parse_part)
