"""Clients: the API's nouns over one connection pool, one that waits and one for an event loop.

with Client("http://127.0.0.1:8080") as client:
    document = client.documents.upload("notes", "report.pdf")
    document = client.documents.wait(document.id)
    for hit in client.search("what froze the lens?").hits:
        print(hit.title, hit.locator.pages, hit.text)

async with AsyncClient("http://127.0.0.1:8080") as client:
    reply = await client.search("what froze the lens?")
"""

from __future__ import annotations

from typing import Final

from ragstone.nouns import Asking
from ragstone.retrying import Retrying
from ragstone.transport import AsyncTransport, Transport

LOCAL: Final = "http://127.0.0.1:8080"
RETRYING: Final = Retrying()


class Client(Asking[Transport]):
    """One server, one key. Safe for many threads; close it, or use it as a context.

    `timeout_s` is for each attempt: to connect, and between two bytes of the reply. Calls raise what `ragstone.errors`
    lists. What may work later is tried again as `retrying` says.
    """

    def __init__(
        self,
        base_url: str = LOCAL,
        *,
        key: str | None = None,
        timeout_s: float = 120.0,
        retrying: Retrying = RETRYING,
    ) -> None:
        super().__init__(Transport(base_url, key=key, timeout_s=timeout_s, retrying=retrying))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(Asking[AsyncTransport]):
    """The same for an event loop: its methods are awaited, its lists and events read with `async for`."""

    def __init__(
        self,
        base_url: str = LOCAL,
        *,
        key: str | None = None,
        timeout_s: float = 120.0,
        retrying: Retrying = RETRYING,
    ) -> None:
        super().__init__(AsyncTransport(base_url, key=key, timeout_s=timeout_s, retrying=retrying))

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
