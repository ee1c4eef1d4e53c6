"""Frames over a stream socket between the pool, its zygote and its children: eight bytes of length, then the payload.

Neither side trusts the other's length: a frame is only ever as large as what the reader was willing to take.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Sequence

_LENGTH = struct.Struct(">Q")
MESSAGE_BYTES = 2**16  # the largest frame of any kind but a document's result
_PORTION = 2**20
# 0.25 s: how often the reader looks whether a limit that nobody enforces for it was passed.
TICK_S = 0.25


class ChannelClosed(Exception):
    """The other end is gone."""


class ChannelTimeout(Exception):
    """The other end did not answer, or did not listen, in time."""


class FrameTooLarge(Exception):
    """The other end announced more than may be taken."""


class Channel:
    """One end. Deadlines are of time.monotonic(); None waits for ever."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def fileno(self) -> int:
        return self._end.fileno()

    def close(self) -> None:
        self._end.close()

    def is_quiet(self) -> bool:
        """Open, and nothing has come that nobody asked for."""
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        return not poll.poll(0)

    def send(self, payload: bytes, *, deadline: float | None = None, descriptors: Sequence[int] = ()) -> None:
        """Raises `ChannelClosed` or `ChannelTimeout`. Descriptors travel with the first byte."""
        head = _LENGTH.pack(len(payload))
        try:
            self._end.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.001))
            if descriptors:
                socket.send_fds(self._end, [head], list(descriptors))
                self._end.sendall(payload)
            else:
                self._end.sendall(head)
                self._end.sendall(payload)
        except TimeoutError as error:
            raise ChannelTimeout from error
        except OSError as error:
            raise ChannelClosed from error

    def receive(
        self, *, limit: int, deadline: float | None = None, on_tick: Callable[[], None] | None = None
    ) -> bytearray:
        """The next frame of at most `limit` bytes.

        `on_tick` is called every `TICK_S` of waiting and may raise. Raises `ChannelClosed`, `ChannelTimeout`,
        `FrameTooLarge`.
        """
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, deadline, on_tick))
        if length > limit:
            raise FrameTooLarge(length)
        return self._exactly(length, deadline, on_tick)

    def receive_with_descriptor(self, *, limit: int) -> tuple[bytearray, int | None]:
        """The next frame and the descriptor that came with it, if one did."""
        try:
            head, descriptors, _, _ = socket.recv_fds(self._end, _LENGTH.size, 1)
        except OSError as error:
            raise ChannelClosed from error
        head += bytes(self._exactly(_LENGTH.size - len(head), None, None)) if head else b""
        if not head:
            raise ChannelClosed
        (length,) = _LENGTH.unpack(head)
        if length > limit:
            raise FrameTooLarge(length)
        return self._exactly(length, None, None), descriptors[0] if descriptors else None

    def _exactly(self, count: int, deadline: float | None, on_tick: Callable[[], None] | None) -> bytearray:
        taken = bytearray()
        next_tick = time.monotonic() + TICK_S
        while len(taken) < count:
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                raise ChannelTimeout
            if on_tick is not None and now >= next_tick:
                on_tick()
                next_tick = time.monotonic() + TICK_S
            waits = [moment - now for moment in (deadline, next_tick if on_tick else None) if moment is not None]
            try:
                self._end.settimeout(max(min(waits), 0.001) if waits else None)
                portion = self._end.recv(min(count - len(taken), _PORTION))
            except TimeoutError:
                continue
            except OSError as error:
                raise ChannelClosed from error
            if not portion:
                raise ChannelClosed
            taken += portion
        return taken
