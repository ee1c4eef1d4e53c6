"""Documents and chunks: sending them, waiting for them, reading and changing them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from ragstone import models
from ragstone.calls import (
    PAGE,
    UNSET,
    Call,
    Pages,
    Unset,
    as_bytes,
    as_model,
    as_text,
    changed,
    get,
    given,
    once,
    parameters,
    place,
    post,
    post_once,
)
from ragstone.performing import Noun, T, listing, many, one, steps
from ragstone.sending import Report, Sending
from ragstone.transport import Steps
from ragstone.uploads import FolderFile, Source, files_of, upload_of

FINAL_STATES: Final = frozenset({"searchable", "partial", "failed", "deleted"})
_LONGEST_WAIT_S = 60.0  # what the server waits at most in one call
_AT_ONCE = 4  # files on their way: enough to hide the way, few enough to leave the server to others


class Documents(Noun[T]):
    """`client.documents`."""

    # --- sending ---

    @one
    def upload(
        self,
        collection: str,
        source: Source,
        *,
        name: str | None = None,
        external_id: str | None = None,
        title: str | None = None,
        metadata: models.Metadata | None = None,
        readers: Sequence[str] | None = None,
        lane: models.Lane | None = None,
    ) -> Call[models.Document]:
        """Sends a file: a path, bytes with a `name`, or an open binary file. The document is accepted, not final."""
        readers = None if readers is None else list(readers)
        return _upload(
            collection,
            source,
            name,
            {"external_id": external_id, "title": title, "metadata": metadata, "readers": readers, "lane": lane},
        )

    @one
    def upload_text(
        self,
        collection: str,
        text: str,
        *,
        media_type: str | None = None,
        external_id: str | None = None,
        title: str | None = None,
        metadata: models.Metadata | None = None,
        readers: Sequence[str] | None = None,
        lane: models.Lane | None = None,
    ) -> Call[models.Document]:
        """Sends a text: `media_type` is text/plain, text/markdown or text/html."""
        body = {
            "text": text,
            "media_type": media_type,
            "external_id": external_id,
            "title": title,
            "metadata": metadata,
            "readers": None if readers is None else list(readers),
            "lane": lane,
        }
        return post_once(models.Document, _of(collection), body)

    @one
    def upload_batch(self, collection: str, documents: Iterable[Mapping[str, Any]]) -> Call[models.BatchReply]:
        """Sends up to 1,000 texts in one transaction, each a mapping of what `upload_text` takes. The reply has a
        document or a problem for each, in order."""
        body = {"documents": [dict(document) for document in documents]}
        return post_once(models.BatchReply, _of(collection) + ":batch", body)

    @many
    def upload_many(
        self,
        /,
        collection: str,
        sources: Iterable[str | Path | BinaryIO],
        *,
        at_once: int = _AT_ONCE,
        report: Report = None,
        **same: Any,
    ) -> Sending:
        """Sends files by their paths, or open ones, `at_once` of them at a time. Attributes that `upload` takes hold
        for each of them.

        A file that fails does not stop the others: it is in `failed`.
        """
        taken = list(sources)
        names = [str(getattr(source, "name", source)) for source in taken]
        calls = [partial(_upload, collection, source, None, same) for source in taken]
        return Sending(list(zip(names, calls, strict=True)), at_once=at_once, report=report)

    @many
    def upload_folder(
        self,
        collection: str,
        folder: str | Path,
        *,
        pattern: str = "*",
        at_once: int = _AT_ONCE,
        report: Report = None,
        lane: models.Lane = "bulk",
    ) -> Sending:
        """Sends the files below a folder whose names match, `at_once` of them at a time. A file's path in the folder is
        its external id: sent again, a changed file is a new version. A sidecar `report.pdf.metadata.json` says
        title, metadata, readers and external id, as in the drop folder; files that are gone are not deleted.

        A file that fails does not stop the others: it is in `failed`.
        """
        files = [
            (file.within, partial(_folder_upload, collection, file, lane)) for file in files_of(Path(folder), pattern)
        ]
        return Sending(files, at_once=at_once, report=report)

    # --- waiting and reading ---

    @one
    def get(self, document_id: str) -> Call[models.Document]:
        return get(models.Document, _at(document_id))

    @steps
    def wait(self, document_id: str, *, timeout_s: float = 300.0) -> Steps[models.Document]:
        """The document once its state is final; raises `TimeoutError`."""
        deadline = time.monotonic() + timeout_s
        while (remaining := deadline - time.monotonic()) > 0:
            wait = min(_LONGEST_WAIT_S, remaining)
            found: models.Document = yield get(models.Document, _at(document_id), takes_s=wait, wait=f"{wait:.3f}")
            if found.state in FINAL_STATES:
                return found
        raise TimeoutError(f"{document_id} was not finished within {timeout_s:g} seconds")

    @listing
    def list(
        self,
        *,
        collection: str | None = None,
        state: str | None = None,
        external_id: str | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002  # the API's word
    ) -> Pages[models.Document]:
        """Documents, newest first; deleted ones only with `state="deleted"`."""
        return Pages(
            get(
                models.Documents,
                "/v1/documents",
                collection=collection,
                state=state,
                external_id=external_id,
                filter=filter,
                limit=PAGE,
            )
        )

    @one
    def content(self, document_id: str) -> Call[bytes]:
        """The original bytes."""
        return Call("GET", _at(document_id) + "/content", as_bytes, repeatable=True)

    @one
    def text(self, document_id: str) -> Call[str]:
        """The extracted text: what character spans count in."""
        return Call("GET", _at(document_id) + "/text", as_text, repeatable=True)

    @listing
    def elements(self, document_id: str) -> Pages[models.Element]:
        """The parsed elements in reading order."""
        return Pages(get(models.Elements, _at(document_id) + "/elements", limit=PAGE))

    @listing
    def chunks(self, document_id: str) -> Pages[models.Chunk]:
        """The chunks in order."""
        return Pages(get(models.Chunks, _at(document_id) + "/chunks", limit=PAGE))

    @one
    def page_image(self, document_id: str, page: int, *, chunk: str | None = None) -> Call[bytes]:
        """A page, counted from 1, as PNG; with a chunk's id, that chunk's boxes are drawn on it."""
        return Call(
            "GET", f"{_at(document_id)}/pages/{page}", as_bytes, params=parameters({"chunk": chunk}), repeatable=True
        )

    # --- changing ---

    @one
    def update(
        self,
        document_id: str,
        *,
        title: str | Unset = UNSET,
        metadata: models.Metadata | Unset = UNSET,
        readers: Sequence[str] | Unset | None = UNSET,
    ) -> Call[models.Document]:
        """Changes what is given; `readers=None` means the collection's default again."""
        readers = list(readers) if isinstance(readers, Sequence) else readers
        body = changed({"title": title, "metadata": metadata, "readers": readers})
        return Call("PATCH", _at(document_id), as_model(models.Document), body=body, repeatable=True)

    @one
    def reprocess(self, document_id: str) -> Call[models.Document]:
        """Parses and embeds it again, as a new version; the old one stays live meanwhile."""
        return post_once(models.Document, _at(document_id) + ":reprocess")

    @one
    def reprocess_matching(
        self,
        collection: str,
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        dry_run: bool = False,
    ) -> Call[models.DecidedDocuments]:
        """Parses and embeds again all documents of a collection, or those that a filter matches."""
        body = {"collection": collection, "filter": filter, "dry_run": dry_run}
        return post_once(models.DecidedDocuments, "/v1/documents:reprocess", body)

    @one
    def delete(self, document_id: str) -> Call[models.Document]:
        """Search stops at once; the tombstone is shown."""
        return Call("DELETE", _at(document_id), as_model(models.Document), repeatable=True)

    @one
    def delete_matching(
        self,
        collection: str,
        filter: Mapping[str, Any],  # noqa: A002
        *,
        dry_run: bool = False,
        most: int | None = None,
    ) -> Call[models.DecidedDocuments]:
        """Deletes the documents of a collection that a filter matches; if they are more than `most`, it raises
        `Conflict` and none is deleted."""
        body = {"collection": collection, "filter": dict(filter), "dry_run": dry_run, "max": most}
        return post(models.DecidedDocuments, "/v1/documents:delete", body, repeatable=True)


class Chunks(Noun[T]):
    """`client.chunks`."""

    @one
    def get(self, chunk_id: str) -> Call[models.ChunkInContext]:
        """A chunk with its neighbours' ids."""
        return get(models.ChunkInContext, place("/v1/chunks/{chunk}", chunk=chunk_id))


def _of(collection: str) -> str:
    return place("/v1/collections/{collection}/documents", collection=collection)


def _at(document_id: str) -> str:
    return place("/v1/documents/{document}", document=document_id)


def _upload(collection: str, source: Source, name: str | None, attributes: Mapping[str, Any]) -> Call[models.Document]:
    upload = upload_of(source, name, given(attributes))
    return Call("POST", _of(collection), as_model(models.Document), upload=upload, headers=once(), repeatable=True)


def _folder_upload(collection: str, file: FolderFile, lane: models.Lane) -> Call[models.Document]:
    return _upload(collection, file.path, None, {**file.attributes(), "lane": lane})
