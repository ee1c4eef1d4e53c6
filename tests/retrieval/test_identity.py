"""Identities that survive restarts, replays and edits; another answer here would orphan every index."""

from __future__ import annotations

from retrieval.identity import IdentityKind, chunk_ids, document_id, point_id, text_digest


def test_ids_are_the_same_in_every_process_for_ever() -> None:
    document = document_id("acme", "c1", IdentityKind.EXTERNAL_ID, "a")
    assert document == document_id("acme", "c1", IdentityKind.EXTERNAL_ID, "a")
    assert document == "ab757b1d-1529-5098-bedc-8e1bba072251"
    [chunk] = chunk_ids(document, ["text"])
    assert chunk == "3d6359c6-3ea5-59bc-abd8-fb016748073c"
    assert point_id(chunk, 7) == "c8ed6fb5-e8b8-55f6-9768-2380e0e2603a"


def test_documents_of_other_tenants_collections_kinds_and_names_have_other_ids() -> None:
    kinds = IdentityKind
    ids = {
        document_id("acme", "c1", kinds.EXTERNAL_ID, "a"),
        document_id("other", "c1", kinds.EXTERNAL_ID, "a"),
        document_id("acme", "c2", kinds.EXTERNAL_ID, "a"),
        document_id("acme", "c1", kinds.DROP_PATH, "a"),
        document_id("acme", "c1", kinds.CONTENT, "a"),
        document_id("acme", "c1", kinds.EXTERNAL_ID, "b"),
        document_id("acme", 'c1","external_id', kinds.EXTERNAL_ID, "a"),
    }
    assert len(ids) == 7


def test_a_chunk_keeps_its_id_when_others_come_and_go_before_it() -> None:
    first = list(chunk_ids("d", ["one", "two", "two"]))
    second = list(chunk_ids("d", ["zero", "two", "one", "two"]))
    assert second[1:] == [first[1], first[0], first[2]]
    assert len({*first, *second}) == 4


def test_equal_texts_of_another_document_are_other_chunks() -> None:
    assert list(chunk_ids("d", ["one"])) != list(chunk_ids("e", ["one"]))


def test_no_two_attempts_share_a_point() -> None:
    assert point_id("c", 1) != point_id("c", 2)


def test_a_digest_is_the_sha256_of_the_text_also_with_half_a_surrogate_pair() -> None:
    assert text_digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert text_digest("\ud800") != text_digest("\udfff")
