"""Listings: a list of the API that is asked for page by page, as it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Generic, TypeVar

from ragstone import notebook, tables
from ragstone.calls import Pages
from ragstone.models import Reply
from ragstone.transport import AsyncTransport, Transport

M = TypeVar("M", bound=Reply)


class Listing(Generic[M]):
    """Iterate over it; every iteration asks anew."""

    def __init__(self, transport: Transport, pages: Pages[M]) -> None:
        self._transport = transport
        self._pages = pages

    def __iter__(self) -> Iterator[M]:
        page = self._transport.perform(self._pages.first)
        yield from page.data
        while page.next_cursor is not None:
            page = self._transport.perform(self._pages.after(page.next_cursor))
            yield from page.data

    def to_pandas(self) -> Any:
        """A DataFrame of all of it. Needs `pip install 'ragstone[pandas]'`."""
        return tables.frame(self)

    def _repr_html_(self) -> str:
        """The first page."""
        page = self._transport.perform(self._pages.first)
        return notebook.listing(page.data, more=page.next_cursor is not None)


class AsyncListing(Generic[M]):
    """Iterate over it with `async for`; every iteration asks anew."""

    def __init__(self, transport: AsyncTransport, pages: Pages[M]) -> None:
        self._transport = transport
        self._pages = pages

    async def __aiter__(self) -> AsyncIterator[M]:
        page = await self._transport.perform(self._pages.first)
        for found in page.data:
            yield found
        while page.next_cursor is not None:
            page = await self._transport.perform(self._pages.after(page.next_cursor))
            for found in page.data:
                yield found

    async def to_pandas(self) -> Any:
        """A DataFrame of all of it. Needs `pip install 'ragstone[pandas]'`."""
        return tables.frame([found async for found in self])
