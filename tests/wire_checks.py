"""What is checked of many replies alike."""

from __future__ import annotations

from typing import Any

import httpx2

PROBLEM_FIELDS = {"type", "title", "status", "detail", "code", "request_id", "retryable"}


def assert_problem(reply: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """RFC 9457 with our fields, the request id of the header, and `Retry-After` where a retry makes sense."""
    assert reply.status_code == status, f"{reply.status_code}: {reply.text[:1000]}"
    assert reply.headers["content-type"].partition(";")[0] == "application/problem+json", reply.headers
    body: dict[str, Any] = reply.json()
    assert set(body) - {"errors"} == PROBLEM_FIELDS, body
    assert body["status"] == status
    assert body["code"] == code, body
    assert body["type"].startswith("https://")
    assert body["type"].endswith(code)
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == reply.headers["x-request-id"]
    again = status in {429, 500, 503, 507} or code == "request_running"
    assert body["retryable"] is again
    assert ("retry-after" in reply.headers) is (again and status != 500)
    for error in body.get("errors", ()):
        assert set(error) == {"pointer", "detail"}
        assert error["pointer"] == "" or error["pointer"].startswith("/")
    return body


def pointers(problem: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in problem.get("errors", ())]
