"""Errors on the wire, each in the one form."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator

import httpx2
import pytest

from retrieval.documents import Attributes, Content, Lane, Submission
from retrieval.identity import IdentityKind
from retrieval.principal import Principal, Scope
from retrieval.sql_catalogue.catalogue import SqlCatalogue
from services.layout import Layout
from tests.made_files import endless_page, pdf, truncated_word, word
from tests.running import RunningServer, serving
from tests.summarize.scripted_openai import Mode, ScriptedOpenAI, scripted_openai
from tests.wire_checks import assert_problem, pointers

JSON = {"content-type": "application/json"}
FILE_BYTES = 3 << 20
JSON_BYTES = 200_000
MULTIPART_SLACK = 1 << 20


@pytest.fixture(scope="module")
def home(server: RunningServer) -> str:
    return server.collection("problems")


# --- what the framework says no to ---


def test_an_unknown_path_is_a_problem(server: RunningServer) -> None:
    for path in ("/v1/nowhere", "/", "/v2/search", "/v1/collections/", "/v1/documents/a/b/c", "/%00", "/v1//search"):
        assert_problem(server.http.get(path), 404, "not_found")


def test_a_wrong_method_is_a_problem_that_says_which_are_right(server: RunningServer) -> None:
    for method, path, allowed in (
        ("GET", "/v1/search", "POST"),
        ("PUT", "/v1/collections", "GET, POST"),
        ("POST", "/v1/documents", "GET"),
        ("PUT", "/v1/documents/some-id", "GET, PATCH, DELETE"),
        ("DELETE", "/healthz", "GET"),
        ("POST", "/openapi.json", "GET"),
        ("POST", "/docs-assets/swagger-ui.css", "GET, HEAD"),
    ):
        reply = server.http.request(method, path)
        assert allowed in assert_problem(reply, 405, "method_not_allowed")["detail"]
        assert reply.headers["allow"] == allowed


def test_malformed_json_is_a_422(server: RunningServer, home: str) -> None:
    for path in ("/v1/search", "/v1/collections", f"/v1/collections/{home}/documents", "/v1/answers"):
        for body in (b"{", b"null", b"[]", b'"text"', b"{'a': 1}", b'{"query": ' + b"[" * 100_000, b"\x00"):
            assert_problem(server.http.post(path, content=body, headers=JSON), 422, "invalid_request")


def test_a_body_that_is_not_utf_8_is_a_422(server: RunningServer, home: str) -> None:
    assert_problem(server.http.post("/v1/search", content=b'{"query": "\xff"}', headers=JSON), 422, "invalid_request")
    path = f"/v1/collections/{home}/documents"
    assert_problem(server.http.post(path, content=b'{"text": "\xff\xfe"}', headers=JSON), 422, "invalid_request")


def test_every_unknown_field_is_named(server: RunningServer) -> None:
    reply = server.http.post("/v1/search", json={"query": "x", "topk": 3, "a/b": 1})
    assert pointers(assert_problem(reply, 422, "invalid_request")) == ["/topk", "/a~1b"]


def test_a_forged_cursor_is_a_422(server: RunningServer) -> None:
    for path in ("/v1/collections", "/v1/documents", "/v1/dead-letters"):
        for cursor in ("x", "A" * 60, "%%%", "ÄÖÜ", ""):
            reply = server.http.get(path, params={"cursor": cursor})
            assert pointers(assert_problem(reply, 422, "invalid_request")) == ["/cursor"]


def test_a_cursor_is_taken_letter_for_letter(server: RunningServer) -> None:
    for name in ("letters-a", "letters-b"):
        server.collection(name)
    cursor = server.http.get("/v1/collections", params={"limit": 1}).json()["next_cursor"]
    assert server.http.get("/v1/collections", params={"limit": 1, "cursor": cursor}).status_code == 200
    for changed in (
        f"{cursor}=",
        f"{cursor}%%%",
        f"{cursor[:10]}.{cursor[10:]}",
        f" {cursor}",
        cursor[:-1],
        f"{cursor}A",
    ):
        reply = server.http.get("/v1/collections", params={"cursor": changed})
        assert pointers(assert_problem(reply, 422, "invalid_request")) == ["/cursor"], changed


# --- what intake says no to ---


def test_an_empty_file_is_refused(server: RunningServer, home: str) -> None:
    problem = assert_problem(server.post_file(home, "empty.txt", b""), 422, "empty_file")
    assert "empty" in problem["detail"]
    for text in ("", "  \n\t "):
        reply = server.http.post(f"/v1/collections/{home}/documents", json={"text": text})
        assert pointers(assert_problem(reply, 422, "empty_file")) == ["/text"]


def test_a_name_with_folders_in_it_is_refused_and_nothing_is_written(server: RunningServer, home: str) -> None:
    for name in ("../../escape.txt", "a/b.txt", "..\\..\\escape.txt", "..", ".", "/etc/escape.txt", "x" * 300 + ".txt"):
        problem = assert_problem(_raw_upload(server, home, name), 422, "invalid_name")
        assert pointers(problem) == ["/file"]
        assert "name" in problem["detail"]
    assert not [path for path in server.data.parent.rglob("*escape*") if path.is_file()]


def _raw_upload(server: RunningServer, collection: str, name: str) -> httpx2.Response:
    """A multipart body written by hand: clients mend such names before they send them."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    body = (
        f'--cut\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
        "Content-Type: text/plain\r\n\r\nSome text.\r\n--cut--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=cut"}
    return server.http.post(f"/v1/collections/{collection}/documents", content=body.encode(), headers=headers)


def test_a_broken_multipart_body_is_a_422(server: RunningServer, home: str) -> None:
    path = f"/v1/collections/{home}/documents"
    for content_type, body in (
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=cut", b"--cut\r\nbroken"),
        ("multipart/form-data; boundary=cut", b"--cut\r\n\r\nno disposition\r\n--cut--\r\n"),
        ("multipart/form-data; boundary=cut", b""),
    ):
        reply = server.http.post(path, content=body, headers={"content-type": content_type})
        assert_problem(reply, 422, "invalid_request")


def test_form_fields_are_checked_by_name(server: RunningServer, home: str) -> None:
    for field, value, code in (
        ("metadata", "{", "invalid_metadata"),
        ("metadata", "[1]", "invalid_metadata"),
        ("metadata", "[" * 20_000, "invalid_metadata"),
        ("metadata", '{"a": {"b": 1}}', "invalid_metadata"),
        ("readers", '"group:a"', "invalid_request"),
        ("readers", "[7]", "invalid_request"),
        ("readers", "null,", "invalid_request"),
        ("lane", "fast", "invalid_request"),
        ("title", "", "invalid_request"),
        ("external_id", "x" * 501, "invalid_request"),
        ("colour", "red", "invalid_request"),
    ):
        problem = assert_problem(server.post_file(home, "a.txt", b"text", **{field: value}), 422, code)
        assert pointers(problem)[0].split("/")[1] == field
    reply = server.http.post(f"/v1/collections/{home}/documents", files={"other": ("a.txt", b"x")})
    assert pointers(assert_problem(reply, 422, "invalid_request")) == ["/other"]
    both = [("file", ("a.txt", b"x")), ("file", ("b.txt", b"y"))]
    assert_problem(server.http.post(f"/v1/collections/{home}/documents", files=both), 422, "invalid_request")


def test_metadata_that_cannot_be_stored_is_refused_with_a_pointer(server: RunningServer, home: str) -> None:
    path = f"/v1/collections/{home}/documents"
    for raw, pointer in (
        (b"[]", "/metadata"),
        (b'"x"', "/metadata"),
        (b'{"a": {"b": 1}}', "/metadata/a"),
        (b'{"a": [[1]]}', "/metadata/a"),
        (b'{"a": [null]}', "/metadata/a"),
        (b'{"a b": 1}', "/metadata/a b"),
        (b'{"a": 1e999}', "/metadata/a"),
        (b'{"a": "\\u0000"}', "/metadata/a"),
    ):
        reply = server.http.post(path, content=b'{"text": "x", "metadata": ' + raw + b"}", headers=JSON)
        assert pointers(assert_problem(reply, 422, "invalid_metadata")) == [pointer], raw


def test_what_is_no_document_is_a_415(server: RunningServer, home: str) -> None:
    for name, data in (
        ("program.exe", b"MZ" + bytes(range(256)) * 8),
        ("noise.bin", bytes(range(256)) * 8),
        ("noise.txt", bytes(range(256)) * 8),
        ("archive.zip", _zip_of_two()),
    ):
        assert_problem(server.post_file(home, name, data), 415, "unsupported_type")


def _zip_of_two() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a.txt", "a")
        archive.writestr("b.txt", "b")
    return data.getvalue()


def test_a_wrong_extension_is_overruled_by_the_content(server: RunningServer, home: str) -> None:
    for name, data, media_type in (
        ("really-a-pdf.txt", pdf("Disguised as a text."), "application/pdf"),
        ("really-a-docx.pdf", word("Disguised", "As a PDF."), "application/vnd.openxmlformats"),
        ("really-a-text.pdf", b"Plain words in a file that is called PDF.", "text/plain"),
        ("no-extension", pdf("No extension at all."), "application/pdf"),
    ):
        shown = server.finished(server.send_file(home, name, data))
        assert shown["media_type"].startswith(media_type)
        assert shown["state"] == "searchable", shown


def test_a_text_file_that_is_not_utf_8_is_read_all_the_same(server: RunningServer, home: str) -> None:
    for name, data in (
        ("latin.txt", "Der Müller mahlt Käsekörner.".encode("cp1252")),
        ("wide.txt", "Der Müller schläft.".encode("utf-16")),
        ("broken.txt", "Der Müller träumt".encode() + b"\xff\xfe\x81 weiter."),
    ):
        shown = server.finished(server.send_file(home, name, data))
        assert shown["state"] == "searchable", shown
        assert "M" in server.http.get(f"/v1/documents/{shown['id']}/text").text
    assert "Müller" in server.hits("Müller Käsekörner", collections=[home])[0]["text"]


# --- another tenant's ---


def test_another_tenants_things_are_a_404_as_if_they_were_absent(server: RunningServer) -> None:
    catalogue = SqlCatalogue(Layout(server.data).catalogue_url)
    try:
        theirs = catalogue.collections.create("somebody-else", "theirs")
        (document,) = catalogue.documents.accept(
            [
                Submission(
                    submitter=Principal("somebody-else", frozenset(), frozenset(Scope)),
                    collection_id=theirs.id,
                    identity_kind=IdentityKind.EXTERNAL_ID,
                    identity_value="secret",
                    content=Content("0" * 64, 0, "text/plain", "secret.txt"),
                    attributes=Attributes(title="Secret", external_id="secret"),
                    default_title="Secret",
                    source="secret.txt",
                    lane=Lane.INTERACTIVE,
                    fingerprint="f" * 64,
                    refusal=("empty_file", "The file is empty."),
                )
            ]
        )
    finally:
        catalogue.close()
    assert not isinstance(document, Exception)
    path = f"/v1/documents/{document.id}"
    for method, where, body in (
        ("GET", "/v1/collections/theirs", None),
        ("PATCH", "/v1/collections/theirs", {}),
        ("DELETE", "/v1/collections/theirs", None),
        ("POST", "/v1/collections/theirs/documents", {"text": "x"}),
        ("GET", path, None),
        ("GET", f"{path}?wait=1", None),
        ("GET", f"{path}/content", None),
        ("GET", f"{path}/text", None),
        ("PATCH", path, {"title": "mine"}),
        ("POST", f"{path}:reprocess", None),
        ("DELETE", path, None),
        ("POST", "/v1/search", {"query": "x", "collections": ["theirs"]}),
        ("POST", "/v1/summaries", {"documents": [document.id]}),
        ("GET", "/v1/documents?collection=theirs", None),
    ):
        absent = assert_problem(server.http.request(method, where, json=body), 404, "not_found")
        assert "Secret" not in str(absent)
    assert server.documents(external_id="secret") == []
    assert "theirs" not in {one["name"] for one in server.http.get("/v1/collections?limit=200").json()["data"]}
    letters = server.http.get("/v1/dead-letters?limit=200").json()["data"]
    assert document.id not in {letter["document_id"] for letter in letters}


# --- limits: a server with small ones ---


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedOpenAI]:
    with scripted_openai() as running:
        yield running


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, model: ScriptedOpenAI) -> Iterator[RunningServer]:
    with serving(
        tmp_path_factory.mktemp("small"),
        environment={
            "RAGSTONE_INTAKE__FILE_BYTES": str(FILE_BYTES),
            "RAGSTONE_INTAKE__JSON_BYTES": str(JSON_BYTES),
            "RAGSTONE_PARSER__CPU_S": "1",
            "RAGSTONE_PARSER__WALL_S": "3",
            "RAGSTONE_PARSER__CHILDREN": "2",
            "RAGSTONE_GENERATOR__BASE_URL": model.base_url,
            "RAGSTONE_GENERATOR__MODEL": "scripted",
            "RAGSTONE_GENERATOR__PERMITS": "1",
            "RAGSTONE_GENERATOR__STALL_S": "2",
            "RAGSTONE_SEARCH__QUERY_CHARS": "100",
            "RAGSTONE_WORK__CHUNKS": "20",
        },
    ) as running:
        running.collection("small")
        running.searchable("small", "The warranty is 24 months.", title="Warranty")
        yield running


def _chunked(size: int) -> Iterator[bytes]:
    """A body of `size` bytes that nobody announced."""
    for _ in range(0, size, 1 << 16):
        yield b"x" * (1 << 16)


def test_a_body_over_the_limit_is_a_413_announced_or_not(small: RunningServer) -> None:
    path = "/v1/collections/small/documents"
    too_much = FILE_BYTES + 2 * MULTIPART_SLACK
    announced = small.http.post(path, files={"file": ("big.txt", b"x" * too_much)})
    assert_problem(announced, 413, "too_large")
    head = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="big.txt"\r\n\r\n'

    def body() -> Iterator[bytes]:
        yield head
        yield from _chunked(too_much)

    headers = {"content-type": "multipart/form-data; boundary=cut"}
    assert_problem(small.http.post(path, content=body(), headers=headers), 413, "too_large")
    assert_problem(small.http.post(path, json={"text": "x" * JSON_BYTES}), 413, "too_large")
    for target in (path, f"{path}:batch", "/v1/search"):
        assert_problem(small.http.post(target, content=_chunked(2 * JSON_BYTES), headers=JSON), 413, "too_large")


def test_a_file_between_the_limits_of_file_and_body_is_a_413_and_leaves_nothing(small: RunningServer) -> None:
    reply = small.post_file("small", "big.txt", b"x" * (FILE_BYTES + 1))
    assert "3145728" in assert_problem(reply, 413, "too_large")["detail"]
    assert list((small.data / "spool").iterdir()) == []
    assert small.post_file("small", "fits.txt", b"word " * 1_000).status_code == 202


def test_of_a_document_of_too_many_chunks_the_first_ones_are_found_and_it_says_so(small: RunningServer) -> None:
    text = "\n\n".join(f"number{n} begins. " + f"word{n} " * 90 for n in range(80))
    shown = small.finished(small.send_text("small", text, external_id="long"))
    assert (shown["state"], shown["code"], shown["live_version"]) == ("partial", "truncated", 1), shown
    assert "more than 20 chunks" in shown["reason"]
    assert shown["chunks"] == 20
    parse = next(entry for entry in shown["timeline"] if entry["stage"] == "parse")
    assert parse["counts"]["chunks"] == 20
    assert 0 < parse["counts"]["left_out_characters"] < len(text)
    assert "number0 begins." in small.hits("number0", filter={"external_id": "long"}, mode="sparse")[0]["text"]
    assert small.hits("number79", filter={"external_id": "long"}, mode="sparse") == []
    assert "number79 begins." in small.http.get(f"/v1/documents/{shown['id']}/text").text


def test_a_query_over_the_limit_is_a_422_that_says_the_limit(small: RunningServer) -> None:
    for path, field in (("/v1/search", "query"), ("/v1/answers", "question")):
        problem = assert_problem(small.http.post(path, json={field: "x" * 101}), 422, "invalid_request")
        assert pointers(problem) == [f"/{field}"]
        assert "100" in problem["detail"]


def test_an_endless_page_ends_at_the_parsers_limit_and_the_rest_of_the_work_goes_on(small: RunningServer) -> None:
    endless = small.send_file("small", "endless.html", endless_page(FILE_BYTES - 100))
    broken = small.send_file("small", "broken.docx", truncated_word())
    started = time.monotonic()
    small.searchable("small", "A short text overtakes the page that never ends.")
    assert time.monotonic() - started < 30
    assert small.finished(broken)["code"] == "damaged"
    shown = small.finished(endless)
    assert (shown["state"], shown["code"]) == ("failed", "parse_limit"), shown
    assert "limit" in shown["reason"]
    again = small.post_file("small", "endless.html", endless_page(FILE_BYTES - 100))
    assert_problem(again, 409, "quarantined")


def test_without_a_permit_the_answer_is_an_immediate_503_and_searches_go_on(
    small: RunningServer, model: ScriptedOpenAI
) -> None:
    model.script.mode = Mode.KEEP_ALIVES
    model.script.released.clear()
    body = {"question": "How long is the warranty?", "stream": True}
    try:
        with small.http.stream("POST", "/v1/answers", json=body) as stream:
            assert stream.status_code == 200
            assert next(stream.iter_lines()) == "event: search"
            started = time.monotonic()
            overloaded = small.http.post("/v1/answers", json={"question": "And this one?"})
            assert time.monotonic() - started < 1
            assert_problem(overloaded, 503, "overloaded")
            assert small.hits("warranty")
            assert small.http.get("/healthz").status_code == 200
    finally:
        model.script.mode = Mode.OK
        model.script.released.set()
    _answers_again(small)


def test_a_client_that_goes_away_mid_stream_gives_its_permit_back(small: RunningServer, model: ScriptedOpenAI) -> None:
    model.script.mode = Mode.NEVER_ENDING
    model.script.released.clear()
    model.script.hung_up.clear()
    try:
        with small.http.stream("POST", "/v1/answers", json={"question": "Warranty?", "stream": True}) as stream:
            lines = stream.iter_lines()
            while next(lines) != "event: delta":
                pass
        assert model.script.hung_up.wait(10), "the model still writes for somebody who left"
    finally:
        model.script.mode = Mode.OK
        model.script.released.set()
    _answers_again(small)


def _answers_again(small: RunningServer) -> None:
    deadline = time.monotonic() + 10
    while True:
        reply = small.http.post("/v1/answers", json={"question": "How long is the warranty?"})
        if reply.status_code == 200 or time.monotonic() > deadline:
            break
        assert_problem(reply, 503, "overloaded")
        time.sleep(0.05)
    assert reply.json()["answer"] == "The warranty is 24 months [1]."


def test_a_model_that_is_not_there_is_a_503_or_an_error_event(small: RunningServer, model: ScriptedOpenAI) -> None:
    model.script.mode, model.script.status = Mode.STATUS, 500
    try:
        body = {"question": "How long is the warranty?"}
        assert_problem(small.http.post("/v1/answers", json=body), 503, "generator_unavailable")
        reply = small.http.post("/v1/answers", json={**body, "stream": True})
        assert reply.status_code == 200
        last = reply.text.strip().split("\n\n")[-1]
        assert last.startswith("event: error\n")
        assert '"code": "generator_unavailable"' in last
        assert reply.headers["x-request-id"] in last
    finally:
        model.script.mode = Mode.OK
