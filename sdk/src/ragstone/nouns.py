"""The other nouns: collections, dead letters, the drop folder, keys, health; and asking, which is the client's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from ragstone import models
from ragstone.calls import (
    PAGE,
    UNSET,
    Call,
    Pages,
    Unset,
    as_model,
    as_nothing,
    changed,
    get,
    parameters,
    place,
    post,
    post_once,
)
from ragstone.documents import Chunks, Documents
from ragstone.performing import Noun, T, listing, one, stream

_EVENTS: Final = {"Accept": "text/event-stream"}
Mode = Literal["hybrid", "dense", "sparse"]


class Asking(Noun[T]):
    """The client: what is asked of all collections, and the nouns."""

    def __init__(self, transport: T) -> None:
        super().__init__(transport)
        self.collections = Collections(transport)
        self.documents = Documents(transport)
        self.chunks = Chunks(transport)
        self.dead_letters = DeadLetters(transport)
        self.drop_folder = DropFolder(transport)
        self.keys = Keys(transport)
        self.health = Health(transport)

    @one
    def search(
        self,
        query: str,
        *,
        collections: Sequence[str] | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002  # the API's word
        mode: Mode | None = None,
        top_k: int | None = None,
        group_by: Literal["document"] | None = None,
        explain: bool | None = None,
    ) -> Call[models.SearchReply]:
        """Hits, best first."""
        body = {
            "query": query,
            "collections": collections,
            "filter": filter,
            "mode": mode,
            "top_k": top_k,
            "group_by": group_by,
            "explain": explain,
        }
        return post(models.SearchReply, "/v1/search", body, repeatable=True)

    @one
    def answer(
        self,
        question: str,
        *,
        collections: Sequence[str] | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        top_k: int | None = None,
        length: models.Length | None = None,
    ) -> Call[models.Answer]:
        """A cited answer, or one that says `abstained`."""
        return _answer(question, collections, filter, top_k, length)

    @stream
    def stream_answer(
        self,
        question: str,
        *,
        collections: Sequence[str] | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        top_k: int | None = None,
        length: models.Length | None = None,
    ) -> tuple[Call[models.Answer], type[models.Answer]]:
        """The same as events while it is made: `Searched`, `Delta`, `Cited`, and `Done` with the whole answer."""
        return _streamed(_answer(question, collections, filter, top_k, length)), models.Answer

    @one
    def summarize(
        self,
        *,
        documents: Sequence[str] | None = None,
        collection: str | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        query: str | None = None,
        length: models.Length | None = None,
    ) -> Call[models.Summary]:
        """A cited summary of documents by their ids, or of a collection, a filter, or both; on a query if given."""
        return _summary(documents, collection, filter, query, length)

    @stream
    def stream_summary(
        self,
        *,
        documents: Sequence[str] | None = None,
        collection: str | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        query: str | None = None,
        length: models.Length | None = None,
    ) -> tuple[Call[models.Summary], type[models.Summary]]:
        """The same as events while it is made: `Searched`, `Delta`, `Cited`, and `Done` with the whole summary."""
        return _streamed(_summary(documents, collection, filter, query, length)), models.Summary


class Collections(Noun[T]):
    """`client.collections`."""

    @one
    def create(
        self,
        name: str,
        *,
        description: str | None = None,
        default_readers: Sequence[str] | None = None,
        metadata_schema: Mapping[str, Any] | None = None,
    ) -> Call[models.Collection]:
        body = {
            "name": name,
            "description": description,
            "default_readers": default_readers,
            "metadata_schema": metadata_schema,
        }
        return post(models.Collection, "/v1/collections", body)

    @one
    def get(self, name: str) -> Call[models.Collection]:
        return get(models.Collection, _collection(name))

    @listing
    def list(self) -> Pages[models.Collection]:
        """The collections one may read, by name."""
        return Pages(get(models.Collections, "/v1/collections", limit=PAGE))

    @one
    def update(
        self,
        name: str,
        *,
        description: str | Unset | None = UNSET,
        default_readers: Sequence[str] | Unset | None = UNSET,
        metadata_schema: Mapping[str, Any] | Unset | None = UNSET,
    ) -> Call[models.Collection]:
        """Changes what is given; None takes it away. New default readers hold for later documents."""
        body = changed(
            {"description": description, "default_readers": default_readers, "metadata_schema": metadata_schema}
        )
        return Call("PATCH", _collection(name), as_model(models.Collection), body=body, repeatable=True)

    @one
    def delete(self, name: str) -> Call[models.Collection]:
        """Search stops at once; the name is free again when the documents are gone."""
        return Call("DELETE", _collection(name), as_model(models.Collection))


class DeadLetters(Noun[T]):
    """`client.dead_letters`: what failed and waits for somebody's decision."""

    @listing
    def list(self, *, collection: str | None = None, code: str | None = None) -> Pages[models.DeadLetter]:
        """The open ones, newest first."""
        return Pages(get(models.DeadLetters, "/v1/dead-letters", collection=collection, code=code, limit=PAGE))

    @one
    def get(self, letter_id: str) -> Call[models.DeadLetter]:
        return get(models.DeadLetter, _letter(letter_id))

    @one
    def redrive(self, letter_id: str) -> Call[models.Document]:
        """Tries again, with a clean record."""
        return post_once(models.Document, _letter(letter_id) + ":redrive")

    @one
    def drop(self, letter_id: str) -> Call[None]:
        """Puts it away; its document stays failed."""
        return Call("DELETE", _letter(letter_id), as_nothing)

    @one
    def redrive_matching(
        self,
        *,
        collection: str | None = None,
        code: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        dry_run: bool = False,
    ) -> Call[models.DecidedLetters]:
        """Tries again all that match; nothing given means all."""
        body = _selection(collection, code, since, until, dry_run)
        return post_once(models.DecidedLetters, "/v1/dead-letters:redrive", body)

    @one
    def drop_matching(
        self,
        *,
        collection: str | None = None,
        code: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        dry_run: bool = False,
    ) -> Call[models.DecidedLetters]:
        """Puts away all that match; nothing given means all."""
        body = _selection(collection, code, since, until, dry_run)
        return post(models.DecidedLetters, "/v1/dead-letters:drop", body, repeatable=True)


class DropFolder(Noun[T]):
    """`client.drop_folder`."""

    @one
    def get(self) -> Call[models.DropFolder]:
        """What the last scan saw: held deletions, refused and ignored files, and why new ones wait."""
        return get(models.DropFolder, "/v1/drop-folder")

    @one
    def confirm(self) -> Call[models.Decided]:
        """The held files are gone on purpose: their documents are deleted."""
        return post(models.Decided, "/v1/drop-folder:confirm")

    @one
    def discard(self) -> Call[models.Decided]:
        """The held files are gone by mistake: their documents stay."""
        return post(models.Decided, "/v1/drop-folder:discard")


class Keys(Noun[T]):
    """`client.keys`: for administrators."""

    @one
    def create(
        self,
        name: str,
        *,
        scopes: Sequence[str],
        labels: Sequence[str] | None = None,
        collections: Sequence[str] | None = None,
        expires_at: datetime | None = None,
    ) -> Call[models.NewKey]:
        """A new key, shown this once. `expires_at` needs a time zone."""
        body = {
            "name": name,
            "scopes": scopes,
            "labels": labels,
            "collections": collections,
            "expires_at": None if expires_at is None else _moment(expires_at),
        }
        return post(models.NewKey, "/v1/keys", body)

    @listing
    def list(self) -> Pages[models.Key]:
        """The keys, those that have ended too, without what is secret of them."""
        return Pages(get(models.Keys, "/v1/keys", limit=PAGE))

    @one
    def rotate(self, key_id: str, *, overlap_s: int | None = None) -> Call[models.NewKey]:
        """A new key with the same rights, shown this once. The old one works for `overlap_s` seconds more, a day unless
        said."""
        path = _key(key_id) + ":rotate"
        return Call("POST", path, as_model(models.NewKey), params=parameters({"overlap_s": overlap_s}))

    @one
    def revoke(self, key_id: str) -> Call[None]:
        return Call("DELETE", _key(key_id), as_nothing)


class Health(Noun[T]):
    """`client.health`: needs no key."""

    @one
    def alive(self) -> Call[None]:
        """Raises where the process does not live; asks none of its dependencies."""
        return Call("GET", "/healthz", as_nothing, repeatable=True)

    @one
    def ready(self) -> Call[models.Readiness]:
        """What every dependency says of itself; not `ready` while one is not there."""
        return Call("GET", "/readyz", as_model(models.Readiness), repeatable=True, also=503)


def _answer(
    question: str,
    collections: Sequence[str] | None,
    condition: Mapping[str, Any] | None,
    top_k: int | None,
    length: models.Length | None,
) -> Call[models.Answer]:
    body = {"question": question, "collections": collections, "filter": condition, "top_k": top_k, "length": length}
    return post(models.Answer, "/v1/answers", body, repeatable=True)


def _summary(
    documents: Sequence[str] | None,
    collection: str | None,
    condition: Mapping[str, Any] | None,
    query: str | None,
    length: models.Length | None,
) -> Call[models.Summary]:
    body = {"documents": documents, "collection": collection, "filter": condition, "query": query, "length": length}
    return post(models.Summary, "/v1/summaries", body, repeatable=True)


def _streamed(call: Call[Any]) -> Call[Any]:
    body = {**call.body, "stream": True}
    return Call(call.method, call.path, call.read, body=body, headers=_EVENTS, repeatable=call.repeatable)


def _selection(
    collection: str | None, code: str | None, since: datetime | None, until: datetime | None, dry_run: bool
) -> dict[str, Any]:
    return {
        "collection": collection,
        "code": code,
        "since": None if since is None else _moment(since),
        "until": None if until is None else _moment(until),
        "dry_run": dry_run,
    }


def _moment(time: datetime) -> str:
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone: say tzinfo=UTC.")
    return time.isoformat()


def _collection(name: str) -> str:
    return place("/v1/collections/{collection}", collection=name)


def _letter(letter_id: str) -> str:
    return place("/v1/dead-letters/{letter}", letter=letter_id)


def _key(key_id: str) -> str:
    return place("/v1/keys/{key}", key=key_id)
