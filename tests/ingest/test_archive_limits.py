import io
import zipfile

import pytest

from ingest.archive_limits import check_archive
from retrieval.errors import Unparseable


def archive(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return stream.getvalue()


def code(data: bytes) -> str:
    with pytest.raises(Unparseable) as caught:
        check_archive(data)
    return caught.value.reason_code


def test_an_ordinary_archive_passes() -> None:
    check_archive(archive({"a.xml": b"<a/>" * 1000}))


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused() -> None:
    assert code(archive({"bomb.xml": bytes(60_000_000)})) == "parse_limit"


def test_too_many_members_are_refused() -> None:
    assert code(archive({f"{i}": b"" for i in range(20_001)})) == "parse_limit"


def test_a_truncated_archive_is_damaged() -> None:
    assert code(archive({"a.xml": b"<a/>" * 1000})[:60]) == "damaged"


def test_an_office_file_under_a_password_is_encrypted() -> None:
    assert code(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)) == "encrypted"


def test_an_archive_with_an_encrypted_member_is_encrypted() -> None:
    data = bytearray(archive({"a.xml": b"<a/>"}))
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1
    assert code(bytes(data)) == "encrypted"
