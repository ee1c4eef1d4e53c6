"""What a call is told before anything of its body is read."""

from __future__ import annotations

from typing import Any

from fastapi.routing import APIRoute

from services.http.app import ROUTERS
from services.http.door import Door
from tests.running import RunningServer
from tests.wire_checks import assert_problem, pointers

JSON = {"content-type": "application/json"}
JSON_CALLS = (
    ("POST", "/v1/search"),
    ("POST", "/v1/answers"),
    ("POST", "/v1/summaries"),
    ("POST", "/v1/collections"),
    ("PATCH", "/v1/collections/x"),
    ("POST", "/v1/collections/x/documents:batch"),
    ("PATCH", "/v1/documents/x"),
    ("POST", "/v1/documents:delete"),
    ("POST", "/v1/documents:reprocess"),
    ("POST", "/v1/dead-letters:redrive"),
    ("POST", "/v1/dead-letters:drop"),
    ("POST", "/v1/keys"),
)
NO_JSON = (None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", "*/*")


def test_every_call_of_the_api_comes_in_by_the_door() -> None:
    routes = [route for routers in ROUTERS.values() for router in routers for route in router.routes]
    assert len(routes) > 20
    assert [route for route in routes if not isinstance(route, Door)] == []


def test_every_call_with_a_json_body_is_checked_here() -> None:
    routes = [route for routers in ROUTERS.values() for router in routers for route in router.routes]
    with_body = [route for route in routes if isinstance(route, APIRoute) and route.body_field is not None]
    assert len(with_body) == len(JSON_CALLS)


def test_a_body_that_is_not_announced_as_json_is_a_415_with_the_remedy(server: RunningServer) -> None:
    for method, path in JSON_CALLS:
        for sent in NO_JSON:
            headers = {} if sent is None else {"content-type": sent}
            reply = server.http.request(method, path, content=b'{"query": "x"}', headers=headers)
            assert "Content-Type: application/json" in assert_problem(reply, 415, "unsupported_type")["detail"]
        assert_problem(server.http.request(method, path), 415, "unsupported_type")
        packed = {**JSON, "content-encoding": "gzip"}
        assert_problem(server.http.request(method, path, content=b"\x1f\x8b", headers=packed), 415, "unsupported_type")


def test_an_upload_may_be_a_form_or_json_and_nothing_else(server: RunningServer) -> None:
    path = f"/v1/collections/{server.collection('door')}/documents"
    for sent in (
        None,
        "text/plain",
        "application/pdf",
        "multipart/mixed; boundary=x",
        "application/x-www-form-urlencoded",
    ):
        headers = {} if sent is None else {"content-type": sent}
        detail = assert_problem(server.http.post(path, content=b"x", headers=headers), 415, "unsupported_type")[
            "detail"
        ]
        assert "multipart/form-data" in detail
        assert "application/json" in detail
    assert server.http.post(path, json={"text": "A text."}).status_code == 202
    assert server.http.post(path, files={"file": ("a.txt", b"A file.")}).status_code == 202


def test_calls_without_a_body_take_whatever_is_sent_along(server: RunningServer) -> None:
    reply = server.http.post("/v1/drop-folder:discard", content=b"junk", headers={"content-type": "text/plain"})
    assert reply.status_code == 200


def test_a_body_that_is_no_json_is_told_why_in_the_same_words_everywhere(server: RunningServer) -> None:
    calls = [*JSON_CALLS, ("POST", f"/v1/collections/{server.collection('door-words')}/documents")]
    for body, words in (
        (b'{"text": "\xff"}', "not in UTF-8"),
        (b'{"text": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested too deeply"),
        (b'{"text": ' + b"9" * 5_000 + b"}", "too many digits"),
        (b'{"text": "x"} and more', "Extra data"),
        ('{"text": "x"}'.encode("utf-16"), "not in UTF-8"),
        (b"", "JSON"),
    ):
        for method, path in calls:
            problem = assert_problem(
                server.http.request(method, path, content=body, headers=JSON), 422, "invalid_request"
            )
            assert words in problem["detail"], (path, problem)


def test_a_byte_order_mark_is_let_pass_everywhere(server: RunningServer) -> None:
    collection = server.collection("door-mark")
    mark = b"\xef\xbb\xbf"
    path = f"/v1/collections/{collection}/documents"
    assert server.http.post(path, content=mark + b'{"text": "Marked."}', headers=JSON).status_code == 202
    assert server.http.post("/v1/search", content=mark + b'{"query": "x"}', headers=JSON).status_code == 200


def test_half_of_a_surrogate_pair_is_never_stored_and_never_a_500(server: RunningServer) -> None:
    """Such a string is JSON, and nothing that could ever be shown again."""
    collection = server.collection("door-halves")
    half = b'"\\ud800"'
    uploads: list[bytes] = [b'"title": ' + half, b'"external_id": ' + half, b'"readers": [' + half + b"]"]
    uploads += [b'"metadata": {"a": ' + half + b"}", b'"metadata": {' + half + b": 1}", half + b": 1"]
    documents = f"/v1/collections/{collection}/documents"
    calls: list[tuple[str, bytes]] = [(documents, b'{"text": "x", ' + field + b"}") for field in uploads]
    calls += [(documents, b'{"text": ' + half + b"}")]
    calls += [
        ("/v1/search", b'{"query": ' + half + b"}"),
        ("/v1/search", b'{"query": "x", "filter": {' + half + b": 1}}"),
    ]
    calls += [("/v1/summaries", b'{"documents": [' + half + b"]}"), ("/v1/answers", b'{"question": ' + half + b"}")]
    schemas = (b'{"pattern": ' + half + b"}", b'{"properties": {' + half + b": {}}}", b'{"enum": [[' + half + b"]]}")
    calls += [("/v1/collections", b'{"name": "door-never", "metadata_schema": ' + schema + b"}") for schema in schemas]
    for path, body in calls:
        reply = server.http.post(path, content=body, headers=JSON)
        assert reply.status_code == 422, (path, body, reply.text)
        assert reply.json()["code"].startswith("invalid_")
    batch = b'{"documents": [' + b", ".join(b'{"text": "x", ' + field + b"}" for field in uploads) + b"]}"
    answers: list[dict[str, Any]] = server.http.post(f"{documents}:batch", content=batch, headers=JSON).json()["data"]
    assert [answer.get("status") for answer in answers] == [422] * len(uploads)
    assert server.http.get("/v1/collections?limit=200").status_code == 200
    assert server.documents(collection=collection) == []


def test_a_schema_with_a_number_that_no_answer_could_show_is_refused(server: RunningServer) -> None:
    for number in (b"NaN", b"-Infinity", b"1e999"):
        body = b'{"name": "door-number", "metadata_schema": {"properties": {"a": {"const": ' + number + b"}}}}"
        problem = assert_problem(
            server.http.post("/v1/collections", content=body, headers=JSON), 422, "invalid_request"
        )
        assert pointers(problem) == ["/metadata_schema"]


def test_one_form_field_named_twice_is_refused(server: RunningServer) -> None:
    body = (
        b'--cut\r\nContent-Disposition: form-data; name="file"\r\n\r\nnot a file\r\n'
        b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nA file.\r\n--cut--\r\n'
    )
    headers = {"content-type": "multipart/form-data; boundary=cut"}
    path = f"/v1/collections/{server.collection('door-twice')}/documents"
    problem = assert_problem(server.http.post(path, content=body, headers=headers), 422, "invalid_request")
    assert pointers(problem) == ["/file"]
