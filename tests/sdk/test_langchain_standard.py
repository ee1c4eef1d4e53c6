"""LangChain's own suite for retrievers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ragstone import Client
from ragstone.langchain import RagstoneRetriever
from tests.running import RunningServer

suite = pytest.importorskip("langchain_tests.integration_tests", reason="make installs langchain-tests")
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestRagstoneRetriever(suite.RetrieversIntegrationTests):  # type: ignore[misc,name-defined]
    @pytest.fixture(autouse=True)
    def _on_four_documents(self, server: RunningServer) -> Iterator[None]:
        with Client(server.url) as client:
            self.client = client
            if "sdk-standard" not in {one.name for one in client.collections.list()}:
                client.collections.create("sdk-standard")
                for place in ("cellar", "shed", "boat house", "tower"):
                    text = f"Some of the oil is kept in the {place}."
                    client.documents.wait(client.documents.upload_text("sdk-standard", text).id)
            yield

    @property
    def retriever_constructor(self) -> type[RagstoneRetriever]:
        return RagstoneRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"client": self.client, "collections": ["sdk-standard"]}

    @property
    def retriever_query_example(self) -> str:
        return "Where is the oil kept?"
