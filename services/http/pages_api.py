"""The route of a document's pages as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from ingest import media_types as types
from retrieval.chunks import Box
from retrieval.documents import Document
from retrieval.errors import NotFound
from services.http.documents_api import live_file, present_document
from services.http.door import Door
from services.http.house import Home, House, Reading

router = APIRouter(prefix="/v1", route_class=Door, tags=["documents"])


@router.get(
    "/documents/{document_id}/pages/{page}",
    operation_id="get_document_page",
    response_class=Response,
    responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}},
)
def picture(
    document_id: str,
    page: int,
    principal: Reading,
    house: Home,
    chunk: Annotated[str | None, Query(max_length=200, description="a chunk whose boxes are drawn")] = None,
) -> Response:
    """A page of the live version as PNG, pages counted from 1; with `chunk`, that chunk's boxes are drawn on it."""
    found = present_document(house, principal, document_id)
    _expect_page(found, page)
    with house.documents.picture_permits.one():
        boxes = () if chunk is None else _boxes(house, found, chunk, page=page)
        with house.blobs.local(found.tenant, found.sha256) as path:
            drawn = house.documents.pictures.draw(path, page=page)
        data = drawn.with_boxes(boxes).png()
    return Response(data, media_type="image/png", headers={"X-Content-Type-Options": "nosniff"})


def _expect_page(document: Document, page: int) -> None:
    if document.live_version is None:
        raise NotFound("No version of the document is live yet.")
    if document.media_type != types.PDF:
        raise NotFound(f"Only pages of a PDF are drawn, and this is {document.media_type}: see its /text or /content.")
    count = document.pages or 0
    if not 1 <= page <= count:
        raise NotFound(f"There is no such page: the document has the pages 1 to {count}.")


def _boxes(house: House, document: Document, chunk: str, *, page: int) -> Sequence[Box]:
    """Where the chunk stands on the page."""
    found = next((one for one in live_file(house, document).chunks if one.id == chunk), None)
    if found is None:
        raise NotFound("The document's live version has no such chunk.")
    boxes = [box for box in found.locator.boxes or () if box.page == page]
    if not boxes:
        pages = ", ".join(map(str, found.locator.pages or ())) or "none that is known"
        raise NotFound(f"The chunk does not stand on this page; its pages: {pages}.")
    return boxes
