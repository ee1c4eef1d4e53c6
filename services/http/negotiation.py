"""What caller and route speak: the type of the body that is sent, and the type of the answer that is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from starlette.datastructures import Headers

from retrieval.errors import UnsupportedType

JSON: Final = "application/json"
MULTIPART: Final = "multipart/form-data"
EVENTS: Final = "text/event-stream"

# How closely a media range names a type; a closer one speaks for it, whatever its place in the header.
_NAMED, _KIND, _ANYTHING = 3, 2, 1
_UNNAMED = 0


def body_type(headers: Headers) -> str:
    """The media type that the body is said to have; "" if nothing is said."""
    return _media_type(headers.get("content-type", ""))


def require_body(headers: Headers, *types: str, remedy: str) -> str:
    """The body's media type, one of `types`; raises `UnsupportedType` with the remedy. Bodies come as they are: none
    is unpacked here, so one that is packed is refused in words rather than found to be malformed."""
    found = body_type(headers)
    if found not in types:
        raise UnsupportedType(f"{remedy} This body {f'is {found}' if found else 'has no Content-Type'}.")
    packed = headers.get("content-encoding", "identity").strip().lower()
    if packed != "identity":
        raise UnsupportedType(f"Send the body as it is, without Content-Encoding: {packed}.")
    return found


def wants_events(headers: Headers, *, stream: bool | None) -> bool:
    """Whether the answer is a stream of events. What the body says wins (None: it says nothing).

    Otherwise events are sent to a caller who prefers them to JSON, by quality and then by naming them more closely
    (RFC 9110, section 12.5.1). JSON is what those get who do not care or who accept neither.
    """
    if stream is not None:
        return stream
    accepted = list(_ranges(headers))
    return _preference(EVENTS, accepted) > max(_preference(JSON, accepted), (0.0, _UNNAMED))


def _preference(media_type: str, accepted: list[tuple[str, float]]) -> tuple[float, int]:
    """Quality, then closeness, of the range that speaks for this type."""
    closeness = {media_type: _NAMED, f"{media_type.partition('/')[0]}/*": _KIND, "*/*": _ANYTHING}
    close, quality = max(((closeness.get(one, _UNNAMED), quality) for one, quality in accepted), default=(0, 0.0))
    return (quality, close) if close and quality else (0.0, _UNNAMED)


def _ranges(headers: Headers) -> Iterator[tuple[str, float]]:
    """The media ranges of every Accept header with their qualities; what cannot be read counts as not said."""
    for part in ",".join(headers.getlist("accept")).split(","):
        quality = _quality(part)
        if quality is not None:
            yield _media_type(part), quality


def _quality(part: str) -> float | None:
    for parameter in part.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                return None
            return quality if 0 <= quality <= 1 else None
    return 1.0


def _media_type(text: str) -> str:
    """Without its parameters."""
    return text.partition(";")[0].strip().lower()
