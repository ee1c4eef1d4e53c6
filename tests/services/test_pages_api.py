"""A document's pages as pictures."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.made_files import pdf, pdf_with_a_bad_page
from tests.running import RunningServer
from tests.wire_checks import assert_problem, pointers

Json = dict[str, Any]

FIRST = "The heron stands at the weir.\nIt waits for eels the whole morning."
SECOND = "The bittern hides in the reeds.\nNobody has seen it this year."


@pytest.fixture(scope="module")
def birds(server: RunningServer) -> Json:
    """A PDF of two pages."""
    server.collection("birds")
    shown = server.finished(server.send_file("birds", "birds.pdf", pdf(FIRST, SECOND)))
    assert (shown["state"], shown["pages"]) == ("searchable", 2)
    return shown


def page_of(server: RunningServer, document: Json, page: Any, **parameters: str) -> httpx2.Response:
    return server.http.get(f"/v1/documents/{document['id']}/pages/{page}", params=parameters)


def pixels(reply: httpx2.Response) -> NDArray[np.uint8]:
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["x-content-type-options"] == "nosniff"
    image = Image.open(io.BytesIO(reply.content))
    assert (image.format, image.mode) == ("PNG", "RGB")
    return np.asarray(image)


def chunks_of(server: RunningServer, document: Json) -> list[Json]:
    found: list[Json] = server.http.get(f"/v1/documents/{document['id']}/chunks").json()["data"]
    return found


def test_each_page_is_a_picture_of_its_own(server: RunningServer, birds: Json) -> None:
    first, second = (pixels(page_of(server, birds, page)) for page in (1, 2))
    assert first.shape == second.shape
    assert (first != second).any()
    for page in (first, second):
        inked = (page < 128).any(axis=2)
        assert 0 < inked.mean() < 0.05
        assert np.nonzero(inked)[0].max() < inked.shape[0] / 3  # two lines at the top


def test_a_chunks_boxes_are_drawn_on_its_print(server: RunningServer, birds: Json) -> None:
    for chunk in chunks_of(server, birds):
        for page in chunk["locator"]["pages"]:
            plain, drawn = (
                pixels(page_of(server, birds, page)),
                pixels(page_of(server, birds, page, chunk=chunk["id"])),
            )
            inked, tinted = (plain < 128).any(axis=2), (plain != drawn).any(axis=2)
            rows, columns = np.nonzero(inked)
            boxes = [box for box in chunk["locator"]["boxes"] if box["page"] == page]
            scale = plain.shape[1] / 595.28
            assert boxes
            for box in boxes:
                inside = tinted[
                    round(box["y0"] * scale) + 1 : round(box["y1"] * scale) - 1,
                    round(box["x0"] * scale) + 1 : round(box["x1"] * scale) - 1,
                ]
                assert inside.mean() > 0.5
            around = np.zeros_like(inked)
            around[rows.min() - 12 : rows.max() + 12, columns.min() - 12 : columns.max() + 12] = True
            assert not (tinted & ~around).any()
            assert (drawn <= plain).all()


def test_a_chunk_of_another_document_or_page_is_a_404(server: RunningServer, birds: Json) -> None:
    other = server.finished(server.send_file("birds", "more.pdf", pdf("An otter swims by.")))
    [chunk] = chunks_of(server, other)
    assert page_of(server, other, 1, chunk=chunk["id"]).status_code == 200
    assert "no such chunk" in assert_problem(page_of(server, birds, 1, chunk=chunk["id"]), 404, "not_found")["detail"]
    assert_problem(page_of(server, birds, 1, chunk="nothing"), 404, "not_found")
    elsewhere = server.finished(
        server.send_file("birds", "long.pdf", pdf(*[f"Page {n}. {FIRST}" * 9 for n in range(9)]))
    )
    by_pages = {tuple(one["locator"]["pages"]): one for one in chunks_of(server, elsewhere)}
    pages, chunk = next((pages, one) for pages, one in by_pages.items() if 9 not in pages)
    problem = assert_problem(page_of(server, elsewhere, 9, chunk=chunk["id"]), 404, "not_found")
    assert ", ".join(map(str, pages)) in problem["detail"]


@pytest.mark.parametrize("page", [0, -1, 3, 10**30])
def test_a_page_that_the_document_does_not_have_is_a_404_that_says_which_it_has(
    server: RunningServer, birds: Json, page: int
) -> None:
    assert "pages 1 to 2" in assert_problem(page_of(server, birds, page), 404, "not_found")["detail"]


def test_a_page_that_is_no_number_is_refused(server: RunningServer, birds: Json) -> None:
    assert pointers(assert_problem(page_of(server, birds, "one"), 422, "invalid_request")) == ["/page"]


def test_what_has_no_pages_to_be_drawn_says_where_its_text_is(server: RunningServer, birds: Json) -> None:
    text = server.searchable(birds["collection"], "A note without pages.")
    problem = assert_problem(page_of(server, text, 1), 404, "not_found")
    assert "text/plain" in problem["detail"]
    assert "/text" in problem["detail"]


def test_a_document_that_one_does_not_see_has_no_pages(server: RunningServer, birds: Json) -> None:
    assert_problem(page_of(server, {"id": "nobody"}, 1), 404, "not_found")
    gone = server.finished(server.send_file("birds", "gone.pdf", pdf("Soon gone.")))
    server.http.delete(f"/v1/documents/{gone['id']}")
    problem = assert_problem(page_of(server, gone, 1), 404, "not_found")
    assert (
        problem["detail"]
        == assert_problem(server.http.get(f"/v1/documents/{gone['id']}/content"), 404, "not_found")["detail"]
    )


def test_a_document_that_never_became_live_has_no_pages(server: RunningServer, birds: Json) -> None:
    secret = pdf("Nobody reads this.", password="open sesame")
    failed = server.finished(server.send_file(birds["collection"], "secret.pdf", secret))
    assert (failed["state"], failed["code"]) == ("failed", "encrypted")
    assert "live" in assert_problem(page_of(server, failed, 1), 404, "not_found")["detail"]


def test_the_live_versions_page_is_drawn_while_a_newer_one_has_failed(server: RunningServer, birds: Json) -> None:
    sent = {"external_id": "versions"}
    first = server.finished(server.send_file(birds["collection"], "v.pdf", pdf("Good."), **sent))
    before = page_of(server, first, 1).content
    secret = pdf("Not to be read.", password="open sesame")
    second = server.finished(server.send_file(birds["collection"], "v.pdf", secret, **sent))
    assert (second["id"], second["state"], second["live_version"]) == (first["id"], "failed", 1)
    assert page_of(server, second, 1).content == before
    third = server.finished(server.send_file(birds["collection"], "v.pdf", pdf("Mended."), **sent))
    assert (third["state"], third["live_version"]) == ("searchable", 3)
    assert page_of(server, third, 1).content != before


def test_a_page_that_cannot_be_drawn_is_a_422_and_the_others_are_drawn(server: RunningServer, birds: Json) -> None:
    partial = server.finished(server.send_file(birds["collection"], "bad.pdf", pdf_with_a_bad_page()))
    assert (partial["state"], partial["pages"]) == ("partial", 2)
    assert "page 2" in assert_problem(page_of(server, partial, 2), 422, "unparseable")["detail"]
    assert (pixels(page_of(server, partial, 1)) < 128).any()


def test_many_pages_at_once_are_drawn_or_told_to_come_back(server: RunningServer, birds: Json) -> None:
    with ThreadPoolExecutor(24) as threads:
        replies = list(threads.map(lambda n: page_of(server, birds, 1 + n % 2), range(48)))
    drawn = [reply for reply in replies if reply.status_code == 200]
    assert len({reply.content for reply in drawn}) == 2
    for reply in replies:
        if reply.status_code != 200:
            assert_problem(reply, 503, "overloaded")
    assert page_of(server, birds, 1).status_code == 200
