"""The messages between an index process and those who ask it: what they are, and how they lie on the wire.

A frame is its length (4 bytes, big endian) and that many bytes of msgpack. A connection begins with one `hello` frame
from each side; then requests and replies alternate: `(method, arguments)` and `(outcome, value)`. The types of the
`Index` port travel as msgpack extensions, numbered by their place in `_TYPES`; vectors as little-endian float32. Lists
arrive as tuples; candidates, of which a search has hundreds, travel as columns. There is no pickle: whatever a frame
holds, decoding it runs none of it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgpack
import numpy as np

from retrieval.chunks import Box, Chunk, EmbeddedChunk, Locator, SparseVector
from retrieval.filters import AllOf, Among, AnyOf, Compared, Contains, Exists, FieldValues, Not
from retrieval.index import (
    Candidate,
    DenseArm,
    Placement,
    Point,
    SearchScope,
    Selection,
    SparseArm,
    StoredPoint,
)

WIRE_VERSION: Final = 2  # raised whenever `_TYPES`, a field of one of them or a method changes
HELLO: Final = ("ragstone-index", WIRE_VERSION)

# 256 points with 4,096-d vectors, long texts and 64 metadata fields are about 30 MB; more is not one of ours.
MAX_FRAME: Final = 64 * 1024 * 1024

_LENGTH: Final = struct.Struct(">I")
_TYPES: Final[tuple[type[Any], ...]] = (
    Box,
    Locator,
    Chunk,
    SparseVector,
    EmbeddedChunk,
    FieldValues,
    Placement,
    Point,
    Selection,
    SearchScope,
    DenseArm,
    SparseArm,
    StoredPoint,
    Among,
    Compared,
    Contains,
    Exists,
    Not,
    AllOf,
    AnyOf,
)
_CODES: Final = {made: code for code, made in enumerate(_TYPES)}
_NAMES: Final = {made: tuple(field.name for field in fields(made)) for made in _TYPES}
_COLUMNS: Final = tuple(field.name for field in fields(Candidate))
_VECTOR: Final = 100
_SET: Final = 101


class Outcome(StrEnum):
    OK = "ok"
    UNAVAILABLE = "unavailable"  # → IndexUnavailable
    INVALID = "invalid"  # → ValueError: the caller's mistake
    BUG = "bug"  # anything else; its traceback is in the server's log


class WireError(Exception):
    """What came over the wire is not a message of ours."""


def parse_address(address: str) -> Path | tuple[str, int]:
    """`host:port` or the path of a unix socket; what ends in a colon and digits and holds no slash is the former."""
    host, colon, port = address.rpartition(":")
    if colon and host and port.isdecimal() and "/" not in address:
        return host.strip("[]"), int(port)
    return Path(address)


def encode(message: object) -> bytes:
    """The frame that carries the message."""
    body: bytes = msgpack.packb(message, default=_packed, unicode_errors="surrogatepass")
    if len(body) > MAX_FRAME:
        raise ValueError(f"A message of {len(body)} bytes is larger than the limit of {MAX_FRAME}.")
    return _LENGTH.pack(len(body)) + body


def receive(connection: socket.socket) -> Any:
    """The next message; None when the other side has closed. Raises `WireError`, `OSError`, `TimeoutError`."""
    head = _read(connection, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MAX_FRAME:
        raise WireError(f"A frame of {length} bytes is larger than the limit of {MAX_FRAME}.")
    body = _read(connection, length)
    if body is None:
        raise WireError("The connection ended within a frame.")
    return _decode(body)


def columns_of(found: Sequence[Candidate]) -> list[list[Any]]:
    """A fifth of the time and half the bytes of one message for each."""
    return [[getattr(candidate, name) for candidate in found] for name in _COLUMNS]


def candidates_of(columns: Sequence[Sequence[Any]]) -> list[Candidate]:
    return [Candidate(*row) for row in zip(*columns, strict=True)]


def _decode(body: bytes | bytearray) -> Any:
    try:
        return msgpack.unpackb(
            body, ext_hook=_unpacked, use_list=False, strict_map_key=True, unicode_errors="surrogatepass"
        )
    except (ValueError, TypeError, IndexError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"A frame could not be decoded: {error}") from error


def _read(connection: socket.socket, size: int) -> bytearray | None:
    read = bytearray(size)
    view = memoryview(read)
    got = 0
    while got < size:
        count = connection.recv_into(view[got:])
        if count == 0:
            if got:
                raise WireError("The connection ended within a frame.")
            return None if size else read
        got += count
    return read


def _packed(value: object) -> object:
    made = type(value)
    if made in _CODES:
        return msgpack.ExtType(_CODES[made], _body([getattr(value, name) for name in _NAMES[made]]))
    if isinstance(value, np.ndarray):
        return msgpack.ExtType(_VECTOR, np.ascontiguousarray(value, dtype="<f4").tobytes())
    if isinstance(value, frozenset):
        return msgpack.ExtType(_SET, _body(sorted(value)))
    raise TypeError(f"{made.__name__} is not a type of the wire.")


def _body(values: list[Any]) -> bytes:
    packed: bytes = msgpack.packb(values, default=_packed, unicode_errors="surrogatepass")
    return packed


def _unpacked(code: int, body: bytes) -> object:
    if code == _VECTOR:
        return np.frombuffer(body, dtype="<f4")
    if code == _SET:
        return frozenset(_decode(body))
    if not 0 <= code < len(_TYPES):
        raise WireError(f"{code} is not a type of the wire.")
    return _TYPES[code](*_decode(body))
