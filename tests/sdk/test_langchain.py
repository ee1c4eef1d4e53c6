"""The LangChain retriever, on a real server."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.documents import Document

from ragstone import AsyncClient, Client
from ragstone.langchain import RagstoneRetriever
from tests.running import RunningServer

QUERY = "Where is the oil kept?"


@pytest.fixture(scope="module")
def oil(server: RunningServer) -> str:
    """A collection of four documents, by its name."""
    with Client(server.url) as client:
        client.collections.create("sdk-oil")
        for place in ("cellar", "shed", "boat house", "tower"):
            text = f"Some of the oil is kept in the {place}."
            sent = client.documents.upload_text("sdk-oil", text, title=place, metadata={"place": place})
            client.documents.wait(sent.id)
    return "sdk-oil"


def test_hits_come_as_documents_with_their_source(client: Client, oil: str) -> None:
    retriever = RagstoneRetriever(client=client, collections=[oil], k=3)
    found = retriever.invoke(QUERY)
    assert len(found) == 3
    assert all(isinstance(one, Document) for one in found)
    for one in found:
        assert one.page_content == f"Some of the oil is kept in the {one.metadata['place']}."
        ours = one.metadata["ragstone"]
        assert (ours["title"], ours["collection"], ours["chunk_id"]) == (one.metadata["place"], oil, one.id)


def test_what_is_given_to_one_call_holds_for_that_call(client: Client, oil: str) -> None:
    retriever = RagstoneRetriever(client=client, collections=[oil], filter={"metadata.place": "shed"})
    assert [one.metadata["place"] for one in retriever.invoke(QUERY)] == ["shed"]
    assert len(retriever.invoke(QUERY, filter=None, k=2)) == 2
    assert [one.metadata["place"] for one in retriever.invoke(QUERY)] == ["shed"]


def test_an_event_loop_is_served_by_either_client(server: RunningServer, client: Client, oil: str) -> None:
    async def both() -> list[int]:
        async with AsyncClient(server.url) as inner:
            by_async = await RagstoneRetriever(async_client=inner, collections=[oil], k=2).ainvoke(QUERY)
        by_thread = await RagstoneRetriever(client=client, collections=[oil], k=2).ainvoke(QUERY)
        assert by_async == by_thread
        return [len(by_async), len(by_thread)]

    assert asyncio.run(both()) == [2, 2]


def test_without_a_client_it_says_what_it_needs(server: RunningServer) -> None:
    with pytest.raises(ValueError, match="needs a client"):
        RagstoneRetriever()
    retriever = RagstoneRetriever(async_client=AsyncClient(server.url))
    with pytest.raises(ValueError, match="use ainvoke"):
        retriever.invoke(QUERY)
