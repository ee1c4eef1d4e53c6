"""The API's own description (OpenAPI 3.1): what the routes say, and the problems that each of them may answer with."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ragstone.models import Problem

_METHODS = ("get", "post", "put", "patch", "delete")
_ALWAYS: Final = (401, 403, 404, 422, 500, 503)
# What only a call that sends something can meet.
_WITH_BODY: Final = (409, 413, 415, 507)
_REF = "#/components/schemas/{model}"


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of this process's routes; every error is problem+json, as it is on the wire."""
    schema = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes, tags=app.openapi_tags
    )
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # the framework's own, which we never send
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template=_REF)
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem
    schema["components"]["responses"] = {_name(status): _response(status) for status in (*_ALWAYS, *_WITH_BODY)}
    schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"key": []}, {}]  # whether keys are required is decided at start
    for method, operation in _operations(schema):
        statuses = _ALWAYS if method == "get" else (*_ALWAYS, *_WITH_BODY)
        problems = {str(status): {"$ref": f"#/components/responses/{_name(status)}"} for status in statuses}
        operation["responses"] = {**operation["responses"], **problems}
    return schema


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those that answer with problems: all but health."""
    for path, item in schema["paths"].items():
        if path.startswith("/v1/"):
            yield from ((method, item[method]) for method in _METHODS if method in item)


def _name(status: int) -> str:
    return HTTPStatus(status).name.title().replace("_", "")


def _response(status: int) -> dict[str, Any]:
    found = HTTPStatus(status)
    response: dict[str, Any] = {
        "description": found.phrase,
        "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}},
    }
    if status in {503, 507}:
        response["headers"] = {
            "Retry-After": {"schema": {"type": "integer"}, "description": "seconds to wait", "required": True}
        }
    return response
