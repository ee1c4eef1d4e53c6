"""Errors: what a call may raise.

RagstoneError
├── ApiError            the server said no; `problem` is what it said
│   ├── BadRequest 400    Unauthorized 401   Forbidden 403   NotFound 404   Conflict 409
│   ├── TooLarge 413, 431 UnsupportedType 415   Invalid 422   RateLimited 429
│   └── ServerError 5xx
│       └── Unavailable 503, 507
├── NotConnected        there is no server, or the connection broke before the reply was whole
├── TimedOut            the server took longer than the client's time-out
└── UnexpectedReply     what answered is not this API
"""

from __future__ import annotations

from typing import Final

import httpx2

from ragstone.models import Problem


class RagstoneError(Exception):
    """Every error of this package that a server or the network is the cause of."""


class ApiError(RagstoneError):
    """The server said no; `problem` is what it said, `retry_after_s` when it wants to be asked again."""

    def __init__(self, problem: Problem, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{problem.detail} ({problem.status} {problem.code}, request {problem.request_id})")
        self.problem = problem
        self.retry_after_s = retry_after_s


class BadRequest(ApiError):
    """What was sent is no request."""


class Unauthorized(ApiError):
    """The key is missing or unknown."""


class Forbidden(ApiError):
    """The key does not hold the scope."""


class NotFound(ApiError):
    """There is no such thing, or it is not the caller's to see."""


class Conflict(ApiError):
    """The thing is in a state that does not allow this."""


class TooLarge(ApiError):
    """Over a limit of the server."""


class UnsupportedType(ApiError):
    """A type of file that no parser takes."""


class Invalid(ApiError):
    """A field or the filter is wrong; `problem.errors` points at it."""


class RateLimited(ApiError):
    """Too many requests of this key."""


class ServerError(ApiError):
    """The server failed; its log tells why, under the request id."""


class Unavailable(ServerError):
    """Something the server needs is not there, or it is busy: it may work later."""


class NotConnected(RagstoneError):
    """There is no server at the address, or the connection broke before the reply was whole."""


class TimedOut(RagstoneError):
    """The server took longer than the client's time-out."""


class UnexpectedReply(RagstoneError):
    """What answered is not this API: check the address."""


_KINDS: Final[dict[int, type[ApiError]]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    415: UnsupportedType,
    422: Invalid,
    429: RateLimited,
    431: TooLarge,
    503: Unavailable,
    507: Unavailable,
}


def error_of(problem: Problem, *, retry_after_s: float | None = None) -> ApiError:
    """The error of a problem, by its status."""
    kind = _KINDS.get(problem.status, ServerError if problem.status >= 500 else ApiError)
    return kind(problem, retry_after_s=retry_after_s)


def refusal(response: httpx2.Response) -> ApiError:
    """The error that a response of status 4xx or 5xx stands for, also where a proxy wrote it."""
    try:
        problem = Problem.model_validate_json(response.content)
    except ValueError:
        problem = Problem(
            type="about:blank",
            title=response.reason_phrase,
            status=response.status_code,
            detail=response.text[:200] or response.reason_phrase,
            code="unknown",
            request_id=response.headers.get("x-request-id", ""),
            retryable=False,
        )
    return error_of(problem, retry_after_s=_seconds(response.headers.get("retry-after")))


def _seconds(said: str | None) -> float | None:
    """Retry-After in seconds; the form with a date, which this server does not use, is passed over."""
    return float(said) if said is not None and said.isascii() and said.isdigit() else None
