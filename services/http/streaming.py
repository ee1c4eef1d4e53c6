"""Server-sent events: a generator of events on a bounded pool of threads, stopped when the client goes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import ExitStack

import anyio.to_thread
from anyio import CancelScope, CapacityLimiter
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ragstone.models import Problem, Reply

Event = tuple[str, Reply]
"""A name of the API's list (search, delta, citation, done, error) and its data."""

Events = Generator[Event, None, None]


class EventStream(StreamingResponse):
    """The response. `held` (a permit) is given back when it ends, however it ends, also before it began."""

    def __init__(
        self,
        events: Events,
        *,
        held: ExitStack,
        problem: Callable[[Exception], Problem],
        limiter: CapacityLimiter,
    ) -> None:
        self._events = events
        self._held = held
        self._limiter = limiter
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(self._body(problem), media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._end, limiter=self._limiter)

    async def _body(self, problem: Callable[[Exception], Problem]) -> AsyncIterator[bytes]:
        try:
            while (event := await anyio.to_thread.run_sync(self._next, limiter=self._limiter)) is not None:
                yield _encoded(*event)
        except Exception as error:
            yield _encoded("error", problem(error))

    def _next(self) -> Event | None:
        return next(self._events, None)

    def _end(self) -> None:
        with self._held:
            self._events.close()


def _encoded(name: str, data: Reply) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data.model_dump(mode='json'))}\n\n".encode()
