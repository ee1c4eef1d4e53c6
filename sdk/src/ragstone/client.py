"""Client: the API's nouns as methods, over one connection pool.

with Client("http://127.0.0.1:8080") as client:
    document = client.documents.upload("notes", Path("report.pdf"))
    document = client.documents.wait(document.id)
    for hit in client.search("what froze the lens?").hits:
        print(hit.title, hit.locator.pages, hit.text)
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx2

from ragstone import models

FINAL_STATES = frozenset({"searchable", "partial", "failed", "deleted"})
_LONGEST_WAIT_S = 60.0  # what the server waits at most in one call
_M = TypeVar("_M", bound=models.Reply)


class ApiError(Exception):
    """The server said no; `problem` is what it said."""

    def __init__(self, problem: models.Problem) -> None:
        super().__init__(f"{problem.detail} ({problem.status} {problem.code}, request {problem.request_id})")
        self.problem = problem


class Client:
    """One server, one key. Not for many threads at once; close it, or use it as a context."""

    def __init__(self, base_url: str, *, key: str | None = None, timeout_s: float = 120.0) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._http = httpx2.Client(base_url=base_url, headers=headers, timeout=timeout_s)
        self.collections = Collections(self)
        self.documents = Documents(self)

    def search(self, query: str, **options: Any) -> models.SearchReply:
        """Hits, best first. Options: collections, filter, mode, top_k, group_by, explain."""
        return self.call(models.SearchReply, "POST", "/v1/search", json={"query": query, **options})

    def answer(self, question: str, **options: Any) -> models.Answer:
        """A cited answer. Options: collections, filter, top_k, length."""
        return self.call(models.Answer, "POST", "/v1/answers", json={"question": question, **options})

    def summarize(self, **options: Any) -> models.Summary:
        """A cited summary of `documents=[ids]`, a `collection`, or a `filter`; on a `query` if one is given."""
        return self.call(models.Summary, "POST", "/v1/summaries", json=options)

    def call(self, reply: type[_M], method: str, path: str, **request: Any) -> _M:
        response = self._http.request(method, path, **request)
        if response.is_error:
            raise ApiError(_problem(response))
        return reply.model_validate_json(response.content)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()


class Collections:
    def __init__(self, client: Client) -> None:
        self._client = client

    def create(self, name: str, **options: Any) -> models.Collection:
        return self._client.call(models.Collection, "POST", "/v1/collections", json={"name": name, **options})

    def get(self, name: str) -> models.Collection:
        return self._client.call(models.Collection, "GET", f"/v1/collections/{name}")


class Documents:
    def __init__(self, client: Client) -> None:
        self._client = client

    def upload(self, collection: str, path: Path, **attributes: Any) -> models.Document:
        """Sends a file. Attributes: external_id, title, metadata, readers, lane."""
        form = {key: value if isinstance(value, str) else json.dumps(value) for key, value in attributes.items()}
        with path.open("rb") as file:
            return self._client.call(
                models.Document,
                "POST",
                f"/v1/collections/{collection}/documents",
                files={"file": (path.name, file)},
                data=form,
            )

    def get(self, document_id: str) -> models.Document:
        return self._client.call(models.Document, "GET", f"/v1/documents/{document_id}")

    def wait(self, document_id: str, *, timeout_s: float = 300.0) -> models.Document:
        """The document once its state is final; raises `TimeoutError`."""
        deadline = time.monotonic() + timeout_s
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError(f"{document_id} was not finished within {timeout_s:g} seconds")
            wait = min(_LONGEST_WAIT_S, remaining)
            found = self._client.call(
                models.Document, "GET", f"/v1/documents/{document_id}", params={"wait": f"{wait:.3f}"}
            )
            if found.state in FINAL_STATES:
                return found

    def list(self, **options: Any) -> Iterator[models.Document]:
        """All documents. Options: collection, state, external_id, filter."""
        cursor: str | None = None
        while True:
            parameters = {**options, "limit": 200} | ({} if cursor is None else {"cursor": cursor})
            page = self._client.call(models.Documents, "GET", "/v1/documents", params=parameters)
            yield from page.data
            cursor = page.next_cursor
            if cursor is None:
                return

    def delete(self, document_id: str) -> models.Document:
        return self._client.call(models.Document, "DELETE", f"/v1/documents/{document_id}")


def _problem(response: httpx2.Response) -> models.Problem:
    try:
        return models.Problem.model_validate_json(response.content)
    except ValueError:
        return models.Problem(
            type="about:blank",
            title="No problem document",
            status=response.status_code,
            detail=response.text[:200],
            code="unknown",
            request_id=response.headers.get("x-request-id", ""),
            retryable=False,
        )
