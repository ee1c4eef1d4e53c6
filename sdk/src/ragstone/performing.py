"""Performing: what makes a noun's methods of descriptions of calls, so that each is written once.

A noun holds a transport. Its methods say what to ask, as a `Call`, as steps, as pages, as a stream, as many calls; the
descriptors here have its transport do it. With a `Transport` the method gives the reply, with an `AsyncTransport` an
awaitable of it, and type checkers know which.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from ragstone.calls import Call, Pages
from ragstone.events import Event
from ragstone.listing import AsyncListing, Listing
from ragstone.models import Reply
from ragstone.sending import Sending, Uploads
from ragstone.transport import AsyncTransport, Steps, Transport

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=Reply)
T = TypeVar("T", bound=Transport | AsyncTransport)


class Noun(Generic[T]):
    """Something of the API that calls are made about."""

    def __init__(self, transport: T) -> None:
        self._transport = transport


class _Described(Generic[P, R]):
    """`describe` is the method as it is written in the class; `made_of` has the transport do what it returns."""

    def __init__(self, describe: Callable[Concatenate[Any, P], R]) -> None:
        self._describe = describe
        update_wrapper(self, describe)  # type: ignore[arg-type]  # a method, to whoever asks for help

    def bound(self, noun: Noun[Any], do: Callable[[Any, R], Any]) -> Any:
        describe = self._describe.__get__(noun)
        transport = noun._transport

        def performed(*given: P.args, **named: P.kwargs) -> Any:
            return do(transport, describe(*given, **named))

        return update_wrapper(performed, describe)


class one(_Described[P, Call[R]]):  # noqa: N801  # reads as the decorator that it is
    """A method that is one call."""

    @overload
    def __get__(self, noun: Noun[Transport], owner: Any = None) -> Callable[P, R]: ...
    @overload
    def __get__(self, noun: Noun[AsyncTransport], owner: Any = None) -> Callable[P, Awaitable[R]]: ...
    @overload
    def __get__(self, noun: None, owner: Any = None) -> one[P, R]: ...
    def __get__(self, noun: Noun[Any] | None, owner: Any = None) -> Any:
        return self if noun is None else self.bound(noun, _perform)


class steps(_Described[P, Steps[R]]):  # noqa: N801
    """A method that is one call after the other."""

    @overload
    def __get__(self, noun: Noun[Transport], owner: Any = None) -> Callable[P, R]: ...
    @overload
    def __get__(self, noun: Noun[AsyncTransport], owner: Any = None) -> Callable[P, Awaitable[R]]: ...
    @overload
    def __get__(self, noun: None, owner: Any = None) -> steps[P, R]: ...
    def __get__(self, noun: Noun[Any] | None, owner: Any = None) -> Any:
        return self if noun is None else self.bound(noun, _follow)


class listing(_Described[P, Pages[M]], Generic[P, M]):  # noqa: N801
    """A method that gives a list over its cursors."""

    @overload
    def __get__(self, noun: Noun[Transport], owner: Any = None) -> Callable[P, Listing[M]]: ...
    @overload
    def __get__(self, noun: Noun[AsyncTransport], owner: Any = None) -> Callable[P, AsyncListing[M]]: ...
    @overload
    def __get__(self, noun: None, owner: Any = None) -> listing[P, M]: ...
    def __get__(self, noun: Noun[Any] | None, owner: Any = None) -> Any:
        return self if noun is None else self.bound(noun, _list)


class stream(_Described[P, tuple[Call[Any], type[M]]], Generic[P, M]):  # noqa: N801
    """A method that gives events while the server makes them."""

    @overload
    def __get__(self, noun: Noun[Transport], owner: Any = None) -> Callable[P, Iterator[Event[M]]]: ...
    @overload
    def __get__(self, noun: Noun[AsyncTransport], owner: Any = None) -> Callable[P, AsyncIterator[Event[M]]]: ...
    @overload
    def __get__(self, noun: None, owner: Any = None) -> stream[P, M]: ...
    def __get__(self, noun: Noun[Any] | None, owner: Any = None) -> Any:
        return self if noun is None else self.bound(noun, _stream)


class many(_Described[P, Sending]):  # noqa: N801
    """A method that sends many files, several at once."""

    @overload
    def __get__(self, noun: Noun[Transport], owner: Any = None) -> Callable[P, Uploads]: ...
    @overload
    def __get__(self, noun: Noun[AsyncTransport], owner: Any = None) -> Callable[P, Awaitable[Uploads]]: ...
    @overload
    def __get__(self, noun: None, owner: Any = None) -> many[P]: ...
    def __get__(self, noun: Noun[Any] | None, owner: Any = None) -> Any:
        return self if noun is None else self.bound(noun, _send_all)


def _perform(transport: Any, call: Call[Any]) -> Any:
    return transport.perform(call)


def _follow(transport: Any, calls: Steps[Any]) -> Any:
    return transport.follow(calls)


def _list(transport: Any, pages: Pages[Any]) -> Any:
    return (Listing if isinstance(transport, Transport) else AsyncListing)(transport, pages)


def _stream(transport: Any, described: tuple[Call[Any], type[Any]]) -> Any:
    return transport.stream(*described)


def _send_all(transport: Any, sending: Sending) -> Any:
    return transport.send_all(sending)
