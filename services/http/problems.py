"""Errors on the wire: RFC 9457 for every one of them, and never more about a bug than its request id."""

from __future__ import annotations

import errno
import json
import logging
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from ragstone.models import Problem, ProblemDetail
from retrieval import errors

log = logging.getLogger(__name__)

_STATUS: Final[dict[type[errors.RagstoneError], int]] = {
    errors.InvalidRequest: 422,
    errors.Unparseable: 422,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Quarantined: 409,
    errors.TooLarge: 413,
    errors.UnsupportedType: 415,
    errors.StorageFull: 507,
    errors.RequestRunning: 409,
    errors.Unavailable: 503,
}
# What the framework itself says no to, in our codes.
_HTTP_CODES: Final = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    431: "too_large",
}
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


def problem_of(error: Exception, request_id: str) -> Problem:
    """What the caller learns of an error."""
    match error:
        case errors.RagstoneError():
            details = None
            if isinstance(error, errors.InvalidRequest) and error.pointer:
                details = [ProblemDetail(pointer=error.pointer, detail=str(error))]
            retryable = isinstance(error, errors.Unavailable)
            return _problem(status_of(error), error.code, str(error), request_id, details, retryable=retryable)
        case RequestValidationError():
            details = [_detail(entry) for entry in error.errors()]
            code = "invalid_metadata" if details[0].pointer == "/metadata" else "invalid_request"
            return _problem(422, code, _first(details), request_id, details)
        case HTTPException():
            # A body that is no JSON or no multipart is malformed like any other.
            status = 422 if error.status_code == 400 else error.status_code
            code = _HTTP_CODES.get(error.status_code, "error")
            return _problem(status, code, str(error.detail), request_id)
        case OSError() if error.errno in _DISK_FULL:
            return problem_of(errors.StorageFull(), request_id)
        case _:
            sentence = "Something went wrong here. Report it with the request id."
            return _problem(500, "internal", sentence, request_id, retryable=True)


def protocol_problem(status: int, sentence: str, request_id: str) -> Problem:
    """Of what never became a request."""
    return _problem(status, _HTTP_CODES[status], sentence, request_id)


def status_of(error: errors.RagstoneError) -> int:
    return next(status for kind in type(error).__mro__ if (status := _STATUS.get(kind)))


def respond(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    body = problem.model_dump(exclude_none=True)
    return Response(
        json.dumps(body), status_code=problem.status, media_type="application/problem+json", headers=headers
    )


def install(app: FastAPI) -> None:
    async def handle(request: Request, error: Exception) -> Response:
        problem = problem_of(error, request.state.request_id)
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        if problem.status == 405:
            headers["Allow"] = ", ".join(_methods(request))
            problem.detail = f"This address takes {headers['Allow']}, not {request.method}."
        elif isinstance(error, HTTPException) and problem.status == 404:
            problem.detail = "There is nothing at this address; /openapi.json says what there is."
        if isinstance(error, errors.Unauthorized):
            headers["WWW-Authenticate"] = "Bearer"
        if problem.status in {503, 507} or isinstance(error, errors.RequestRunning):
            wait = error.retry_after_s if isinstance(error, errors.Unavailable) else errors.StorageFull.retry_after_s
            headers["Retry-After"] = str(max(1, round(wait)))
        if problem.status == 500:
            log.error("request %s failed", problem.request_id, exc_info=error)
        return respond(problem, headers)

    for kind in (errors.RagstoneError, RequestValidationError, HTTPException, OSError):
        app.add_exception_handler(kind, handle)


def _methods(request: Request) -> list[str]:
    """What may be asked of this path; the framework itself names only its first route's. The files of /docs, which
    are no routes, can be read."""
    scopes = {method: {**request.scope, "method": method} for method in ("GET", "POST", "PATCH", "DELETE")}
    routes = request.app.router.routes
    found = [method for method, scope in scopes.items() if any(r.matches(scope)[0] is Match.FULL for r in routes)]
    return found or ["GET", "HEAD"]


def _problem(
    status: int,
    code: str,
    detail: str,
    request_id: str,
    details: list[ProblemDetail] | None = None,
    *,
    retryable: bool = False,
) -> Problem:
    return Problem(
        type=f"https://ragstone.dev/problems/{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=_sendable(detail),
        code=code,
        request_id=request_id,
        retryable=retryable,
        errors=details
        and [ProblemDetail(pointer=_sendable(one.pointer), detail=_sendable(one.detail)) for one in details],
    )


def _sendable(text: str) -> str:
    """A sentence may quote what was sent, half of a surrogate pair too, and that is nothing an answer can carry."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _detail(entry: dict[str, Any]) -> ProblemDetail:
    """pydantic's location without its first word ("body", "query") as a JSON pointer."""
    place = [str(part).replace("~", "~0").replace("/", "~1") for part in entry["loc"][1:]]
    if entry["type"] == "json_invalid":
        return ProblemDetail(pointer="", detail=f"The body is not JSON: {entry['ctx']['error']}.")
    if not place and entry["type"] in {"missing", "model_type", "model_attributes_type"}:
        return ProblemDetail(pointer="", detail="A JSON object is wanted here, sent as application/json.")
    if entry["type"] == "extra_forbidden":
        return ProblemDetail(pointer="".join(f"/{part}" for part in place), detail=f"{place[-1]} is not a field here.")
    return ProblemDetail(pointer="".join(f"/{part}" for part in place), detail=entry["msg"])


def _first(details: list[ProblemDetail]) -> str:
    first = details[0]
    return f"{first.pointer.lstrip('/')}: {first.detail}" if first.pointer else first.detail
