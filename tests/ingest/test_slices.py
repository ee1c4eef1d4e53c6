"""Slices: everybody has some of each, and who asks for little has it soon."""

from __future__ import annotations

import pytest

from ingest.open_document import OpenDocument
from ingest.slices import LARGEST_SLICE, SMALLEST_SLICE, compose, size_for
from retrieval.chunks import Chunk, Locator
from retrieval.documents import Document, DocumentState, Lane, Stage
from retrieval.identity import IdentityKind
from retrieval.tasks import Claim


def opened(name: str, chunks: int, lane: Lane = Lane.INTERACTIVE, tenant: str = "t") -> OpenDocument:
    document = Document(
        id=name,
        tenant=tenant,
        collection_id="c",
        collection="docs",
        identity_kind=IdentityKind.EXTERNAL_ID,
        identity_value=name,
        external_id=name,
        title=name,
        title_given=True,
        source=None,
        media_type="text/plain",
        language=None,
        bytes=1,
        sha256="0",
        version=1,
        live_version=None,
        live_attempt=None,
        state=DocumentState.EMBEDDING,
        code=None,
        reason=None,
        metadata={},
        readers=("*",),
        rev=1,
        lane=lane,
        pages=None,
        chunks=chunks,
        tokens=None,
        created_at=0.0,
        updated_at=0.0,
    )
    claim = Claim(1, 1, "w", Stage.EMBED, 1, "", document, None, "0", True, 0)
    return OpenDocument(claim, lambda: [Chunk(f"{n}", name, n, "x", "x", Locator(0, 1), 1) for n in range(chunks)])


def shares(*documents: OpenDocument, size: int = 64) -> dict[str, int]:
    """In order."""
    return {document.claim.document.id: count for document, count in compose(documents, size)}


def test_a_slice_holds_all_there_is_while_that_is_less() -> None:
    assert shares(opened("a", 10), opened("b", 20, Lane.BULK)) == {"a": 10, "b": 20}
    assert shares() == {}


def test_one_document_has_the_whole_slice() -> None:
    assert shares(opened("a", 1_000)) == {"a": 64}
    assert shares(opened("a", 1_000, Lane.BULK)) == {"a": 64}


def test_interactive_documents_come_first_and_leave_bulk_an_eighth() -> None:
    found = shares(opened("bulk", 1_000, Lane.BULK), opened("a", 1_000))
    assert list(found.items()) == [("a", 56), ("bulk", 8)]


def test_what_interactive_documents_do_not_need_is_for_bulk() -> None:
    assert shares(opened("bulk", 1_000, Lane.BULK), opened("a", 3)) == {"a": 3, "bulk": 61}


def test_small_documents_pass_large_ones() -> None:
    found = shares(opened("large", 2_000), opened("middle", 100), opened("small", 5), opened("smaller", 2))
    assert list(found.items()) == [("smaller", 2), ("small", 5), ("middle", 41), ("large", 16)]


def test_the_eldest_has_a_quarter_however_many_small_ones_there_are() -> None:
    found = shares(opened("large", 2_000), *(opened(f"{n}", 6) for n in range(20)))
    assert found["large"] == 16
    assert sum(found.values()) == 64


def test_the_eldest_has_no_more_than_it_needs() -> None:
    assert shares(opened("eldest", 3), opened("b", 2_000)) == {"eldest": 3, "b": 61}


def test_tenants_share_evenly_whatever_they_send() -> None:
    crowd = [opened(f"{n}", 30, tenant="crowd") for n in range(20)]
    found = shares(*crowd, opened("single", 500, tenant="single"))
    assert found["single"] == 32
    assert sum(found.values()) == 64


def test_what_a_tenant_does_not_need_is_for_the_others() -> None:
    found = shares(opened("a", 500, tenant="a"), opened("b", 4, tenant="b"), opened("c", 500, tenant="c"))
    assert found == {"b": 4, "a": 30, "c": 30}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 17])
def test_everything_ends_in_slices_of_any_size(size: int) -> None:
    lanes = list(Lane)
    waiting = [opened(f"{n}", 1 + 7 * n % 40, lanes[n % 2], tenant=f"{n % 3}") for n in range(12)]
    turns = 0
    while waiting:
        composed = compose(waiting, size)
        assert 0 < sum(count for _, count in composed) <= size
        for document, count in composed:
            assert 0 < count <= document.remaining
            document.written += count
        waiting = [document for document in waiting if document.remaining]
        turns += 1
    assert turns <= 2 * -(-sum(1 + 7 * n % 40 for n in range(12)) // size)


def test_a_slice_takes_half_a_second_within_bounds() -> None:
    assert size_for(1_000) == SMALLEST_SLICE
    assert size_for(100_000) == 312
    assert size_for(10_000_000) == LARGEST_SLICE


def test_a_chunk_file_without_chunks_is_a_bug_that_shows() -> None:
    with pytest.raises(ValueError, match="without chunks"):
        opened("a", 0)
