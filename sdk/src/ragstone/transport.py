"""Transports: perform calls, one thread waiting for each, or an event loop for all. What is performed is described
elsewhere; these two differ in nothing but how they wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

import httpx2
from pydantic import ValidationError

from ragstone.calls import Call
from ragstone.errors import ApiError, NotConnected, RagstoneError, TimedOut, UnexpectedReply, refusal
from ragstone.events import Event, EventReader
from ragstone.models import Document, Reply
from ragstone.retrying import Retrying
from ragstone.sending import Sending, Uploads

R = TypeVar("R")
M = TypeVar("M", bound=Reply)

Steps = Generator[Call[Any], Any, R]
"""Calls one after the other: yields each, is sent its reply, and returns what came of them."""


class Transport:
    """Performs calls and waits for them. Safe for many threads."""

    def __init__(self, base_url: str, *, key: str | None, timeout_s: float, retrying: Retrying) -> None:
        self.door = Door(base_url, timeout_s, retrying)
        self.http = httpx2.Client(base_url=base_url, headers=headers_of(key), timeout=timeout_s)

    def perform(self, call: Call[R]) -> R:
        failed = 0
        while True:
            try:
                return read(call, self._response(call))
            except (ApiError, httpx2.HTTPError) as error:
                failed += 1
                time.sleep(self.door.rest_s(failed, error, call))

    def _response(self, call: Call[Any]) -> httpx2.Response:
        if call.upload is None:
            return self.http.request(**self.door.request(call))
        with call.upload.opened() as file:
            return self.http.request(**self.door.request(call), files={"file": (call.upload.name, file)})

    def follow(self, steps: Steps[R]) -> R:
        try:
            call = next(steps)
            while True:
                call = steps.send(self.perform(call))
        except StopIteration as end:
            result: R = end.value
            return result

    def stream(self, call: Call[Any], done: type[M]) -> Iterator[Event[M]]:
        """Begins at once, so that what is wrong with the call is told here; ends the request when it is closed."""
        failed = 0
        while True:
            try:
                response = self.http.send(self.http.build_request(**self.door.request(call)), stream=True)
                if response.is_error:
                    response.read()
                    raise refusal(response)
                return self._events(response, EventReader(done))
            except (ApiError, httpx2.HTTPError) as error:
                failed += 1
                time.sleep(self.door.rest_s(failed, error, call))

    def _events(self, response: httpx2.Response, reader: EventReader[M]) -> Iterator[Event[M]]:
        try:
            for line in response.iter_lines():
                yield from reader.read(line)
        except (httpx2.HTTPError, ValidationError) as error:
            raise self.door.translated(error) from error
        finally:
            response.close()
        self.door.expect_whole(reader)

    def send_all(self, sending: Sending) -> Uploads:
        with sending, ThreadPoolExecutor(sending.at_once, thread_name_prefix="ragstone") as pool:
            waiting = {pool.submit(lambda make: self.perform(make()), make): name for name, make in sending.files}
            try:
                for future in as_completed(waiting):
                    error = future.exception()
                    sending.ended(waiting[future], future.result() if error is None else expected(error))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        return sending.uploads

    def close(self) -> None:
        self.http.close()


class AsyncTransport:
    """Performs calls in an event loop."""

    def __init__(self, base_url: str, *, key: str | None, timeout_s: float, retrying: Retrying) -> None:
        self.door = Door(base_url, timeout_s, retrying)
        self.http = httpx2.AsyncClient(base_url=base_url, headers=headers_of(key), timeout=timeout_s)

    async def perform(self, call: Call[R]) -> R:
        failed = 0
        while True:
            try:
                return read(call, await self._response(call))
            except (ApiError, httpx2.HTTPError) as error:
                failed += 1
                await asyncio.sleep(self.door.rest_s(failed, error, call))

    async def _response(self, call: Call[Any]) -> httpx2.Response:
        if call.upload is None:
            return await self.http.request(**self.door.request(call))
        with call.upload.opened() as file:
            return await self.http.request(**self.door.request(call), files={"file": (call.upload.name, file)})

    async def follow(self, steps: Steps[R]) -> R:
        try:
            call = next(steps)
            while True:
                call = steps.send(await self.perform(call))
        except StopIteration as end:
            result: R = end.value
            return result

    async def stream(self, call: Call[Any], done: type[M]) -> AsyncIterator[Event[M]]:
        failed = 0
        while True:
            try:
                response = await self.http.send(self.http.build_request(**self.door.request(call)), stream=True)
                if response.is_error:
                    await response.aread()
                    raise refusal(response)
                break
            except (ApiError, httpx2.HTTPError) as error:
                failed += 1
                await asyncio.sleep(self.door.rest_s(failed, error, call))
        reader = EventReader(done)
        try:
            async for line in response.aiter_lines():
                for event in reader.read(line):
                    yield event
        except (httpx2.HTTPError, ValidationError) as error:
            raise self.door.translated(error) from error
        finally:
            await response.aclose()
        self.door.expect_whole(reader)

    async def send_all(self, sending: Sending) -> Uploads:
        turns = asyncio.Semaphore(sending.at_once)

        async def send(name: str, make: Callable[[], Call[Document]]) -> None:
            async with turns:
                try:
                    outcome: Document | Exception = await self.perform(make())
                except Exception as error:
                    outcome = expected(error)
            sending.ended(name, outcome)

        with sending:
            async with asyncio.TaskGroup() as group:
                for name, make in sending.files:
                    group.create_task(send(name, make))
        return sending.uploads

    async def close(self) -> None:
        await self.http.aclose()


class Door:
    """What both know of the server: how a call is sent to it, and what becomes of an error."""

    def __init__(self, base_url: str, timeout_s: float, retrying: Retrying) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"{base_url} is no address of a server: it begins with http:// or https://.")
        self.base_url = base_url
        self._timeout_s = timeout_s
        self._retrying = retrying

    def request(self, call: Call[Any]) -> dict[str, Any]:
        made: dict[str, Any] = {"method": call.method, "url": call.path, "headers": dict(call.headers)}
        if call.params:
            made["params"] = dict(call.params)
        if call.body is not None:
            made["json"] = call.body
        if call.upload is not None:
            made["data"] = dict(call.upload.form)
        if call.takes_s:
            made["timeout"] = self._timeout_s + call.takes_s
        return made

    def rest_s(self, failed: int, error: ApiError | httpx2.HTTPError, call: Call[Any]) -> float:
        """Seconds until the call is made again; raises the error, in our words, when it is not."""
        again = call.upload is None or call.upload.repeatable
        rest = self._retrying.rest_s(failed, error, repeatable=call.repeatable) if again else None
        if rest is None:
            raise self.translated(error) from (None if isinstance(error, ApiError) else error)
        return rest

    def translated(self, error: Exception) -> RagstoneError:
        match error:
            case RagstoneError():
                return error
            case httpx2.TimeoutException() if not isinstance(error, httpx2.ConnectTimeout):
                return TimedOut(f"{self.base_url} did not answer within {self._timeout_s:g} seconds.")
            case httpx2.TransportError():
                return NotConnected(
                    f"{self.base_url} cannot be reached: {error or type(error).__name__}. Is it running?"
                )
            case _:
                return UnexpectedReply(f"What answers at {self.base_url} is not this API: {error}")

    def expect_whole(self, reader: EventReader[Any]) -> None:
        if not reader.whole:
            raise NotConnected(f"{self.base_url} ended the stream before it was whole.")


def headers_of(key: str | None) -> dict[str, str]:
    if key is not None and not (key.isascii() and key.isprintable() and key):
        raise ValueError("A key is printable ASCII; this one is not. Was a line break read with it?")
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def read(call: Call[R], response: httpx2.Response) -> R:
    """Raises the error that the response stands for, or `UnexpectedReply`."""
    if response.is_error and response.status_code != call.also:
        raise refusal(response)
    try:
        return call.read(response)
    except ValidationError as error:
        raise UnexpectedReply(f"What answers at {response.url} is not this API: {error}") from error


def expected(error: BaseException) -> Exception:
    """An error that belongs to one of many calls; one that belongs to this program is raised."""
    if isinstance(error, RagstoneError | OSError | ValueError):
        return error
    raise error
