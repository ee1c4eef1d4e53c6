"""A LangChain retriever over a ragstone server: `pip install 'ragstone[langchain]'`.

retriever = RagstoneRetriever(client=Client("http://127.0.0.1:8080"), collections=["handbook"], k=5)
documents = retriever.invoke("where do we gather when the alarm sounds?")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, model_validator

from ragstone.client import AsyncClient, Client
from ragstone.models import Hit
from ragstone.nouns import Mode
from ragstone.places import place_of


class RagstoneRetriever(BaseRetriever):
    """`client` answers `invoke`, `async_client` answers `ainvoke`; one of them is enough, for `ainvoke` asks a `client`
    in a thread. They stay open. `k` (1 to 100), `collections`, `filter` and `mode` are those of a search; each can also
    be given to a single `invoke`.

    A document's `page_content` is the hit's text; its `metadata` the document's own under their names, and under
    `ragstone` the hit's ids, title, place and score.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    client: Client | None = None
    async_client: AsyncClient | None = None
    k: int = 10
    collections: Sequence[str] | None = None
    filter: Mapping[str, Any] | None = None
    mode: Mode | None = None

    @model_validator(mode="after")
    def _expect_a_client(self) -> RagstoneRetriever:
        if self.client is None and self.async_client is None:
            raise ValueError("RagstoneRetriever needs a client, an async_client, or both.")
        return self

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **given: Any
    ) -> list[Document]:
        if self.client is None:
            raise ValueError("This retriever has an async_client only: use ainvoke, or give it a client.")
        reply = self.client.search(query, **self._options(given))
        return [_document(hit) for hit in reply.hits]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **given: Any
    ) -> list[Document]:
        if self.async_client is None:
            return await super()._aget_relevant_documents(query, run_manager=run_manager, **given)
        reply = await self.async_client.search(query, **self._options(given))
        return [_document(hit) for hit in reply.hits]

    def _options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        own = {"k": self.k, "collections": self.collections, "filter": self.filter, "mode": self.mode}
        options: dict[str, Any] = own | dict(given)
        options["top_k"] = options.pop("k")
        return options


def _document(hit: Hit) -> Document:
    ours = {
        "document_id": hit.document_id,
        "chunk_id": hit.chunk_id,
        "collection": hit.collection,
        "external_id": hit.external_id,
        "title": hit.title,
        "place": place_of(hit.locator),
        "locator": hit.locator.model_dump(),
        "score": hit.score,
    }
    return Document(id=hit.chunk_id, page_content=hit.text, metadata={**hit.metadata, "ragstone": ours})
