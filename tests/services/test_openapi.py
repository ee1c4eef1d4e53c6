"""The API's own description, as the running server gives it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.running import RunningServer

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def description(server: RunningServer) -> dict[str, Any]:
    reply = server.http.get("/openapi.json")
    assert reply.status_code == 200
    found: dict[str, Any] = reply.json()
    return found


def operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in description["paths"].items():
        assert set(item) <= METHODS
        for method, operation in item.items():
            yield path, method, operation


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_it_is_openapi_3_1_with_what_it_must_have(description: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d+", description["openapi"])
    assert {"title", "version"} <= set(description["info"])
    for path, method, operation in operations(description):
        assert path.startswith("/")
        assert operation["responses"], (method, path)
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert "$ref" in response or response["description"], (method, path, status)
        placeholders = set(re.findall(r"{(\w+)}", path))
        declared = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
        assert placeholders == declared, (method, path)
        assert all(one["required"] for one in operation.get("parameters", ()) if one["in"] == "path")
        if "requestBody" in operation:
            assert operation["requestBody"]["content"]


def test_every_reference_leads_somewhere_and_every_schema_is_used(description: dict[str, Any]) -> None:
    used = set(references(description))
    for reference in used:
        place: Any = description
        for step in reference.removeprefix("#/").split("/"):
            assert step in place, reference
            place = place[step]
    schemas = {f"#/components/schemas/{name}" for name in description["components"]["schemas"]}
    assert schemas <= used


def test_every_operation_has_an_id_of_its_own_a_tag_and_a_sentence(description: dict[str, Any]) -> None:
    found = list(operations(description))
    ids = [operation["operationId"] for _, _, operation in found]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch("[a-z_]+", one) for one in ids)
    for path, method, operation in found:
        assert operation["tags"], (method, path)
        assert operation["description"].endswith("."), (method, path)


def test_every_error_is_documented_as_a_problem(description: dict[str, Any]) -> None:
    for path, method, operation in operations(description):
        if not path.startswith("/v1/"):
            continue
        statuses = set(operation["responses"])
        assert {"401", "403", "404", "422", "500", "503"} <= statuses, (method, path)
        for status in statuses - {"200", "201", "202", "204"}:
            name = operation["responses"][status]["$ref"].rpartition("/")[2]
            content = description["components"]["responses"][name]["content"]
            assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    fields = set(description["components"]["schemas"]["Problem"]["properties"])
    assert fields == {"type", "title", "status", "detail", "code", "request_id", "retryable", "errors"}


def test_what_a_call_answers_with_when_it_works_is_documented(description: dict[str, Any]) -> None:
    expected = {
        "create_collection": "201",
        "delete_collection": "202",
        "create_document": "202",
        "create_documents": "202",
        "reprocess_document": "202",
        "reprocess_documents": "202",
        "delete_documents": "202",
        "delete_document": "202",
        "redrive_dead_letter": "202",
        "redrive_dead_letters": "202",
        "drop_dead_letter": "204",
        "create_key": "201",
        "rotate_key": "201",
        "revoke_key": "204",
    }
    for path, method, operation in operations(description):
        works = [status for status in operation["responses"] if status.startswith("2")]
        assert works == [expected.get(operation["operationId"], "200")], (method, path)
        if works != ["204"]:
            content = operation["responses"][works[0]]["content"]
            assert all(media["schema"] for media in content.values()), (method, path)


def test_an_upload_is_described_in_both_its_forms(description: dict[str, Any]) -> None:
    body = description["paths"]["/v1/collections/{collection}/documents"]["post"]["requestBody"]
    assert set(body["content"]) == {"multipart/form-data", "application/json"}
    fields = set(body["content"]["multipart/form-data"]["schema"]["properties"])
    assert fields == {"file", "external_id", "title", "metadata", "readers", "lane"}


def test_the_documentation_page_is_there(server: RunningServer) -> None:
    reply = server.http.get("/docs")
    assert reply.status_code == 200
    assert "openapi.json" in reply.text
