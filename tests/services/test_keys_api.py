"""Keys that one would like to make: this version says what to do instead."""

from __future__ import annotations

from tests.running import RunningServer
from tests.wire_checks import assert_problem


def test_without_a_key_making_one_is_a_409_with_the_remedy(server: RunningServer) -> None:
    for body in ({"name": "ci", "scopes": ["search"]}, None):
        problem = assert_problem(server.http.post("/v1/keys", json=body), 409, "conflict")
        assert "RAGSTONE_BOOTSTRAP_KEY_FILE" in problem["detail"]
        assert "32 to 200" in problem["detail"]
    assert_problem(server.http.post("/v1/keys", content=b"junk"), 409, "conflict")
