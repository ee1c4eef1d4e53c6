"""What is sent and what is wanted, before anything runs."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from retrieval.errors import UnsupportedType
from services.http.negotiation import JSON, MULTIPART, require_body, wants_events


def headers(**values: str) -> Headers:
    return Headers({name.replace("_", "-"): value for name, value in values.items()})


@pytest.mark.parametrize(
    ("accept", "events"),
    [
        ("text/event-stream", True),
        ("TEXT/Event-Stream", True),
        ("text/*", True),
        ("text/event-stream, */*", True),
        ("text/event-stream;q=0.2, application/json;q=0.1", True),
        ("application/json;q=0, text/event-stream;q=0.1", True),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/event-stream", False),
        ("text/event-stream;q=0.1, application/json", False),
        ("text/event-stream;q=0", False),
        ("text/event-stream; q=0.000, */*", False),
        ("text/*, text/event-stream;q=0", False),
        ("text/event-stream;q=0, application/json;q=0", False),
        ("text/event-stream;q=soon", False),
        ("text/event-stream;q=nan", False),
        ("text/event-stream;q=7", False),
        ("text/event-streamer", False),
        ("image/png", False),
        (";;,=,q=1", False),
    ],
)
def test_events_are_for_who_prefers_them_to_json(accept: str, events: bool) -> None:
    assert wants_events(headers(accept=accept), stream=None) is events
    assert wants_events(headers(accept=accept), stream=False) is False
    assert wants_events(headers(accept=accept), stream=True) is True


def test_every_accept_header_counts() -> None:
    twice = Headers(raw=[(b"accept", b"image/png"), (b"accept", b"text/event-stream")])
    assert wants_events(twice, stream=None)
    assert not wants_events(Headers({}), stream=None)


def test_a_body_is_of_one_of_the_types_asked_for_whatever_its_parameters() -> None:
    for sent in ("application/json", "Application/JSON; charset=utf-8", "application/json;"):
        assert require_body(headers(content_type=sent), MULTIPART, JSON, remedy="Send it.") == JSON
    for sent in ("", "text/plain", "application/jsonx", "application/json, text/plain", "*/*", ";", "json"):
        with pytest.raises(UnsupportedType, match="Send it"):
            require_body(headers(content_type=sent), JSON, remedy="Send it.")


def test_a_packed_body_is_refused_in_words() -> None:
    with pytest.raises(UnsupportedType, match="gzip"):
        require_body(headers(content_type=JSON, content_encoding="gzip"), JSON, remedy="Send it.")
    require_body(headers(content_type=JSON, content_encoding="Identity"), JSON, remedy="Send it.")
