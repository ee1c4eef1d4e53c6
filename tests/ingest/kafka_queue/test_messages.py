"""What a pointer is on the wire, and what is no message of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.kafka_queue.messages import MESSAGE_BYTES, BadMessage, decode, encode, traceparent_of
from retrieval.documents import Lane, Stage
from retrieval.tasks import TaskPointer

POINTER = TaskPointer(7, "tenant", "3f1c", Stage.PARSE, Lane.BULK, False, 4_711)
TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"


def read(value: Any, *, key: bytes | None = b"3f1c", headers: Any = ()) -> TaskPointer:
    raw = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return decode(key, raw, headers, stage=Stage.PARSE, lane=Lane.BULK)


def message(**changes: Any) -> dict[str, Any]:
    """A good message with changes to its task; `v` changes the version."""
    good = json.loads(encode(POINTER).value)
    version = changes.pop("v", good["v"])
    return {"v": version, "task": {**good["task"], **changes}}


def test_a_pointer_is_read_as_it_was_written() -> None:
    for pointer in (POINTER, TaskPointer(1, "t", "d", Stage.PARSE, Lane.BULK, True, 0, TRACE)):
        written = encode(pointer)
        assert decode(written.key, written.value, written.headers, stage=Stage.PARSE, lane=Lane.BULK) == pointer


def test_a_message_is_small() -> None:
    assert len(encode(POINTER).value) < 200
    longest = TaskPointer((1 << 63) - 1, "𝄞" * 64, "𝄞" * 64, Stage.PARSE, Lane.BULK, False, (1 << 63) - 1)
    assert len(encode(longest).value) < MESSAGE_BYTES / 4


def test_unknown_fields_and_minor_versions_are_ignored() -> None:
    newer = message(v="1.17", urgency="high")
    newer["signature"] = ["x"]
    assert read(newer) == POINTER


@pytest.mark.parametrize("version", ["2.0", "0.9", "10.0"])
def test_an_unknown_major_version_is_refused(version: str) -> None:
    with pytest.raises(BadMessage, match=version) as bad:
        read(message(v=version))
    assert bad.value.reason == "version"


@pytest.mark.parametrize(
    "version", ["", "1", "1.0.0", "1.0 ", "v1.0", "１.0", "01.0", "1." + "9" * 50, 1.0, None, [], {}]
)
def test_a_version_that_is_none_is_malformed(version: object) -> None:
    with pytest.raises(BadMessage) as bad:
        read(message(v=version))
    assert bad.value.reason == "malformed"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x00" * 40,
        b"\xff\xfe\x00\xd8",
        b"{",
        b"[" * MESSAGE_BYTES,
        b'{"v":"1.0","task":null}',
        b'{"v":"1.0"}',
        json.dumps(message(id="7")).encode(),
        json.dumps(message(id=0)).encode(),
        json.dumps(message(id=True)).encode(),
        json.dumps(message(id=7.0)).encode(),
        json.dumps(message(id=1 << 63)).encode(),
        json.dumps(message(weight=-1)).encode(),
        json.dumps(message(weight=None)).encode(),
        json.dumps(message(tenant="")).encode(),
        json.dumps(message(tenant="x" * 65)).encode(),
        json.dumps(message(document=["3f1c"])).encode(),
        json.dumps(message(solitary="no")).encode(),
    ],
)
def test_what_is_malformed_is_said_to_be(value: bytes) -> None:
    with pytest.raises(BadMessage) as bad:
        read(value)
    assert bad.value.reason == "malformed"


@pytest.mark.parametrize("value", [None, b"{}", b"[]", b"1", b'"x"', b"null", b'{"event":"login"}'])
def test_what_is_somebody_elses_is_foreign(value: bytes | None) -> None:
    with pytest.raises(BadMessage) as bad:
        read(value)
    assert bad.value.reason == "foreign"


def test_a_message_on_a_topic_it_does_not_belong_to_is_foreign() -> None:
    for changed in (message(stage="embed"), message(lane="interactive"), message(stage="erase")):
        with pytest.raises(BadMessage) as bad:
            read(changed)
        assert bad.value.reason == "foreign"
    for key in (None, b"", b"other"):
        with pytest.raises(BadMessage, match="key"):
            read(message(), key=key)


def test_a_message_that_is_too_large_is_not_even_read() -> None:
    padded = json.dumps(message(padding="x" * MESSAGE_BYTES)).encode()
    with pytest.raises(BadMessage) as bad:
        read(padded)
    assert bad.value.reason == "oversized"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", None)],
        [("traceparent", b"")],
        [("traceparent", b"\xff" * 55)],
        [("traceparent", TRACE.upper().encode())],
        [("traceparent", TRACE.encode() + b"\n")],
        [("traceparent", b"ff" + TRACE.encode()[2:])],
        [("traceparent", TRACE.replace("ab", "00").encode())],
        [("traceparent", TRACE.replace("cd", "00").encode())],
        [("traceparent", TRACE.encode()), ("traceparent", TRACE.encode())],
        [("Traceparent", TRACE.encode())],
    ],
)
def test_a_trace_that_is_none_is_left_out_and_the_message_is_still_good(
    headers: list[tuple[str, bytes | None]],
) -> None:
    assert read(message(), headers=headers) == POINTER


def test_a_trace_is_found_among_other_headers() -> None:
    assert traceparent_of([("a", b"b"), ("traceparent", TRACE.encode()), ("c", None)]) == TRACE
