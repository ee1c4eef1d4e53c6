"""Routes of documents and chunks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from json import JSONDecodeError
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from ingest import chunk_file
from ingest.chunk_file import ChunkFile
from ingest.intake import FileItem, TextItem, check_readers
from ragstone import models as wire
from retrieval.documents import Attributes, Document, DocumentState, Lane
from retrieval.errors import InvalidFilter, InvalidMetadata, InvalidRequest, NotFound
from retrieval.filters import check_metadata
from retrieval.principal import Principal
from services.http import shown
from services.http.collections_api import Cursor, Limit
from services.http.door import Door, read_json
from services.http.house import Deleting, Home, House, Reading, Writing, readable_collection
from services.http.idempotency import Keyed, Once, digest_of
from services.http.negotiation import JSON, MULTIPART, require_body
from services.http.problems import problem_of
from services.http.search_api import condition_of

router = APIRouter(prefix="/v1", route_class=Door, tags=["documents"])

_BLOCK = 1 << 20
_FORM_FIELDS = {"file", "external_id", "title", "metadata", "readers", "lane"}
_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "external_id": {"type": "string"},
                        "title": {"type": "string"},
                        "metadata": {"type": "string", "description": "a JSON object"},
                        "readers": {"type": "string", "description": "a JSON list of labels"},
                        "lane": {"type": "string", "enum": ["interactive", "bulk"]},
                    },
                }
            },
            "application/json": {"schema": wire.NewDocument.model_json_schema()},
        },
    }
}


@router.post(
    "/collections/{collection}/documents",
    status_code=202,
    operation_id="create_document",
    openapi_extra=_UPLOAD_BODY,
)
async def create(collection: str, request: Request, principal: Writing, house: Home, once: Once) -> wire.Document:
    """Takes a file (multipart) or a text (JSON). 202: it is durable and will reach a final state."""
    remedy = f"Send {MULTIPART} with a file, or {JSON} with a text."
    if require_body(request.headers, MULTIPART, JSON, remedy=remedy) == MULTIPART:
        await run_in_threadpool(house.documents.intake.expect_room)  # before the file arrives
        async with request.form(max_files=1, max_fields=16) as form:
            return await run_in_threadpool(_take_form, house, principal, collection, form, once)
    body = await request.body()
    return await run_in_threadpool(_take_json, house, principal, collection, body, once)


@router.post("/collections/{collection}/documents:batch", status_code=202, operation_id="create_documents")
def create_batch(
    collection: str, body: wire.NewDocuments, request: Request, principal: Writing, house: Home, once: Once
) -> wire.BatchReply:
    """Takes up to 1,000 texts in one transaction; what is wrong with one is that one's problem."""
    items = [_parsed_item(raw) for raw in body.documents]
    texts = [item for item in items if isinstance(item, TextItem)]

    def reply(accepted: Sequence[Document | Exception]) -> wire.BatchReply:
        left = iter(accepted)
        answers = [next(left) if isinstance(item, TextItem) else item for item in items]
        return wire.BatchReply(
            data=[
                problem_of(answer, request.state.request_id)
                if isinstance(answer, Exception)
                else shown.document(answer, ())
                for answer in answers
            ]
        )

    def work(keyed: Keyed) -> wire.BatchReply:
        found = readable_collection(house, principal, collection)
        return reply(house.documents.intake.accept_texts(principal, found, texts, recording=keyed.recording(reply)))

    with house.documents.permits.one():
        return once.perform(lambda: digest_of(body.documents), work)


@router.get("/documents", operation_id="list_documents")
def list_(
    principal: Reading,
    house: Home,
    collection: str | None = None,
    state: DocumentState | None = None,
    external_id: Annotated[str | None, Query(max_length=500)] = None,
    filter: Annotated[str | None, Query(max_length=20_000, description="the filter grammar as JSON")] = None,  # noqa: A002
    limit: Limit = 50,
    cursor: Cursor = None,
) -> wire.Documents:
    """Documents, newest first; deleted ones only with `state=deleted`, those of deleted collections too."""
    context = f"documents:{principal.tenant}:{collection}:{state}:{external_id}:{filter}"
    page = house.catalogue.documents.page(
        principal,
        collection_ids=None if collection is None else _collection_ids(house, principal, collection, state),
        state=state,
        external_id=external_id,
        condition=condition_of(_json_parameter(filter)),
        after=house.cursors.open(cursor, context=context),
        limit=limit,
    )
    timelines = house.catalogue.documents.timelines([document.id for document in page.items])
    return wire.Documents(
        data=[shown.document(document, timelines[document.id]) for document in page.items],
        next_cursor=house.cursors.seal(page.next, context=context),
    )


@router.get("/documents/{document_id}", operation_id="get_document")
async def get(
    document_id: str,
    principal: Reading,
    house: Home,
    wait: Annotated[float, Query(ge=0, le=60, description="seconds to wait for a final state")] = 0,
) -> wire.Document:
    """One document; with `wait` it answers when the state is final or the time is over."""
    found = await run_in_threadpool(house.catalogue.documents.get, principal, document_id)
    if wait and not found.state.is_final:
        await house.documents.waiting.final(document_id, timeout_s=wait)
    return await run_in_threadpool(_fresh, house, principal, document_id)


@router.get(
    "/documents/{document_id}/content",
    operation_id="get_document_content",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
def content(document_id: str, principal: Reading, house: Home) -> Response:
    """The original bytes of the live version, or of the newest while none is live."""
    found = present_document(house, principal, document_id)
    digest, inline = house.catalogue.documents.content_digest(found)
    data = inline.encode() if inline is not None else house.blobs.read(found.tenant, digest)
    # Never shown by a browser as a page of ours: these are somebody's bytes.
    headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff", "ETag": f'"{digest}"'}
    return Response(data, media_type=found.media_type, headers=headers)


@router.get("/documents/{document_id}/text", operation_id="get_document_text", response_class=PlainTextResponse)
def text(document_id: str, principal: Reading, house: Home) -> Response:
    """The live version's extracted text: what character spans count in."""
    return PlainTextResponse(live_file(house, present_document(house, principal, document_id)).text)


@router.get("/documents/{document_id}/elements", operation_id="list_document_elements")
def elements(
    document_id: str, principal: Reading, house: Home, limit: Limit = 50, cursor: Cursor = None
) -> wire.Elements:
    """The live version's parsed elements, in reading order."""
    file = live_file(house, present_document(house, principal, document_id))
    context = f"elements:{document_id}"
    start = int(house.cursors.open(cursor, context=context) or 0)
    end = start + limit
    return wire.Elements(
        data=[shown.element(found, file.text) for found in file.elements[start:end]],
        next_cursor=house.cursors.seal(str(end) if end < len(file.elements) else None, context=context),
    )


@router.get("/documents/{document_id}/chunks", operation_id="list_document_chunks")
def chunks(document_id: str, principal: Reading, house: Home, limit: Limit = 50, cursor: Cursor = None) -> wire.Chunks:
    """The live version's chunks, in order."""
    file = live_file(house, present_document(house, principal, document_id))
    context = f"chunks:{document_id}"
    start = int(house.cursors.open(cursor, context=context) or 0)
    end = start + limit
    return wire.Chunks(
        data=[shown.chunk(found) for found in file.chunks[start:end]],
        next_cursor=house.cursors.seal(str(end) if end < len(file.chunks) else None, context=context),
    )


@router.get("/chunks/{chunk_id}", operation_id="get_chunk")
def chunk(chunk_id: str, principal: Reading, house: Home) -> wire.ChunkInContext:
    """One chunk of a live version, with the ids of its neighbours."""
    for point in house.index.chunk_points(principal.tenant, chunk_id):
        file = live_file(house, present_document(house, principal, point.chunk.document_id))
        ordinal = next((one.ordinal for one in file.chunks if one.id == chunk_id), None)
        if ordinal is not None:
            return shown.chunk_in_context(file, ordinal)
    raise NotFound("There is no such chunk.")


@router.patch("/documents/{document_id}", operation_id="update_document")
def patch(document_id: str, body: wire.DocumentChange, principal: Writing, house: Home) -> wire.Document:
    """Changes attributes, shown at once; a new title is embedded again meanwhile."""
    given = body.model_fields_set
    for name in ("title", "metadata"):
        if name in given and getattr(body, name) is None:
            raise InvalidRequest(f"{name} cannot be null.", pointer=f"/{name}")
    found = house.catalogue.documents.get(principal, document_id)
    attributes = Attributes(
        title=body.title,
        metadata=body.metadata,
        readers=None if body.readers is None else tuple(body.readers),
    )
    checked = house.documents.intake.checked(readable_collection(house, principal, found.collection), attributes)
    house.catalogue.documents.patch(
        principal, document_id, checked, readers_reset="readers" in given and body.readers is None
    )
    house.documents.ring()
    return _fresh(house, principal, document_id)


@router.post("/documents/{document_id}:reprocess", status_code=202, operation_id="reprocess_document")
def reprocess(document_id: str, principal: Writing, house: Home, once: Once) -> wire.Document:
    """Parses and embeds again as a new version; the old one stays live meanwhile."""
    timeline = house.catalogue.documents.timelines([document_id])[document_id]

    def work(keyed: Keyed) -> wire.Document:
        found = house.catalogue.documents.reprocess(
            principal,
            document_id,
            fingerprint=house.documents.fingerprint,
            recording=keyed.recording(lambda answers: shown.only_document(answers, timeline)),
        )
        house.documents.ring()
        return shown.document(found, timeline)

    return once.perform(digest_of, work)


@router.delete("/documents/{document_id}", status_code=202, operation_id="delete_document")
def delete(document_id: str, principal: Deleting, house: Home) -> wire.Document:
    """Deletes: search stops at once, the index is erased after it."""
    house.catalogue.documents.delete(principal, document_id)
    house.documents.ring()
    return _fresh(house, principal, document_id)


# --- reading what was sent ---


def _take_form(house: House, principal: Principal, collection: str, form: FormData, once: Keyed) -> wire.Document:
    unknown = set(form) - _FORM_FIELDS
    if unknown:
        raise InvalidRequest(f"{min(unknown)} is not a field here.", pointer=f"/{min(unknown)}")
    files = form.getlist("file")
    if len(files) > 1:
        raise InvalidRequest("file must be one field: send a request for each file.", pointer="/file")
    file = next(iter(files), None)
    if not isinstance(file, UploadFile):
        raise InvalidRequest("The form field file, with a file in it, is missing.", pointer="/file")
    fields = {name: _single(form, name) for name in _FORM_FIELDS - {"file"}}
    with house.documents.permits.one():
        found = readable_collection(house, principal, collection)
        item = FileItem(
            spooled=house.documents.intake.spool(_blocks(file.file)),
            name=file.filename or "",
            declared_type=file.content_type,
            attributes=_form_attributes(house, fields),
            lane=_lane(fields["lane"]),
        )
        parts = item.name, item.declared_type, item.spooled.sha256, sorted(fields.items(), key=str)
        try:
            return once.perform(
                lambda: digest_of(*parts),
                lambda keyed: shown.document(
                    house.documents.intake.accept_file(
                        principal, found, item, recording=keyed.recording(shown.only_document)
                    ),
                    (),
                ),
            )
        finally:
            item.spooled.discard()  # a request that was done before needs nothing of it


def _take_json(house: House, principal: Principal, collection: str, body: bytes, once: Keyed) -> wire.Document:
    item = _text_item(_validated(body))

    def work(keyed: Keyed) -> wire.Document:
        found = readable_collection(house, principal, collection)
        recording = keyed.recording(shown.only_document)
        return shown.only_document(house.documents.intake.accept_texts(principal, found, [item], recording=recording))

    with house.documents.permits.one():
        return once.perform(lambda: hashlib.sha256(body).hexdigest(), work)


def _validated(body: bytes) -> wire.NewDocument:
    try:
        return wire.NewDocument.model_validate(read_json(body))
    except JSONDecodeError as error:
        raise InvalidRequest(f"The body is not JSON: {error.msg}.") from error
    except ValidationError as error:
        raise _invalid(error) from error


def _invalid(error: ValidationError) -> RequestValidationError:
    return RequestValidationError([{**entry, "loc": ("body", *entry["loc"])} for entry in error.errors()])


def _parsed_item(raw: Any) -> TextItem | Exception:
    """The item, or what is wrong with it; pointers start at the item."""
    try:
        return _text_item(wire.NewDocument.model_validate(raw))
    except ValidationError as error:
        return _invalid(error)


def _text_item(body: wire.NewDocument) -> TextItem:
    return TextItem(
        text=body.text,
        media_type=body.media_type,
        attributes=Attributes(
            title=body.title,
            external_id=body.external_id,
            metadata=body.metadata,
            readers=None if body.readers is None else tuple(body.readers),
        ),
        lane=Lane(body.lane),
    )


def _form_attributes(house: House, fields: dict[str, str | None]) -> Attributes:
    metadata = _form_json(fields["metadata"], "metadata")
    readers = _form_json(fields["readers"], "readers")
    if metadata is not None:
        try:
            check_metadata(metadata)
        except InvalidMetadata as error:
            raise InvalidMetadata(str(error), pointer=f"/metadata{error.pointer}") from None
    if readers is not None:
        if not isinstance(readers, list) or not all(isinstance(reader, str) for reader in readers):
            raise InvalidRequest("readers must be a JSON list of strings.", pointer="/readers")
        check_readers(readers, limit=house.documents.intake.limits.readers)
    return Attributes(
        title=fields["title"],
        external_id=fields["external_id"],
        metadata=metadata,
        readers=None if readers is None else tuple(readers),
    )


def _single(form: FormData, name: str) -> str | None:
    values = form.getlist(name)
    if len(values) > 1 or any(isinstance(value, UploadFile) for value in values):
        raise InvalidRequest(f"{name} must be one text field.", pointer=f"/{name}")
    return str(values[0]) if values else None


def _form_json(text: str | None, name: str) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        kind = InvalidMetadata if name == "metadata" else InvalidRequest
        raise kind(f"{name} is not JSON: {error}.", pointer=f"/{name}") from error


def _lane(value: str | None) -> Lane:
    try:
        return Lane(value or Lane.INTERACTIVE)
    except ValueError as error:
        raise InvalidRequest("lane is interactive or bulk.", pointer="/lane") from error


def _json_parameter(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidFilter(f"The filter is not JSON: {error}.") from error


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


# --- reading what is there ---


def _collection_ids(house: House, principal: Principal, name: str, state: DocumentState | None) -> list[str]:
    """The collection of this name; to who asks for what is deleted, also those that had the name before it."""
    if state is not None and state.is_gone:
        return [found.id for found in house.catalogue.collections.ever_named(principal, name)]
    return [readable_collection(house, principal, name).id]


def _fresh(house: House, principal: Principal, document_id: str) -> wire.Document:
    found = house.catalogue.documents.get(principal, document_id)
    return shown.document(found, house.catalogue.documents.timelines([document_id])[document_id])


def present_document(house: House, principal: Principal, document_id: str) -> Document:
    """The document, unless it is deleted: then nothing of it is shown but its tombstone."""
    found = house.catalogue.documents.get(principal, document_id)
    if found.state.is_gone:
        raise NotFound("The document is deleted.")
    return found


def live_file(house: House, document: Document) -> ChunkFile:
    """The live version's chunk file."""
    digest = house.catalogue.documents.chunk_file(document)
    if digest is None:
        raise NotFound("No version of the document is live yet.")
    return chunk_file.unpack(house.blobs.read(document.tenant, digest))
