"""Who may call: without a key file everybody on this machine, with one whoever holds its key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import RunningServer, serving
from tests.wire_checks import assert_problem

KEY = "an-administrative-key-of-forty-characters"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with a key, listening on every address."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "key").write_text(KEY + "\n")
    with serving(
        folder / "data",
        environment={"RAGSTONE_BOOTSTRAP_KEY_FILE": str(folder / "key"), "RAGSTONE_HOST": "0.0.0.0"},
    ) as running:
        running.url = running.url.replace("0.0.0.0", "127.0.0.1")
        yield running


CALLS = (
    ("GET", "/v1/collections"),
    ("POST", "/v1/collections"),
    ("GET", "/v1/collections/x"),
    ("POST", "/v1/collections/x/documents"),
    ("POST", "/v1/collections/x/documents:batch"),
    ("GET", "/v1/documents"),
    ("GET", "/v1/documents/x?wait=5"),
    ("DELETE", "/v1/documents/x"),
    ("GET", "/v1/chunks/x"),
    ("POST", "/v1/search"),
    ("POST", "/v1/answers"),
    ("POST", "/v1/summaries"),
    ("GET", "/v1/dead-letters"),
    ("GET", "/v1/drop-folder"),
    ("POST", "/v1/drop-folder:confirm"),
    ("POST", "/v1/keys"),
)


def test_without_the_key_every_call_is_a_401_before_its_body_is_looked_at(guarded: RunningServer) -> None:
    for authorization in (None, "", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", KEY, "Bearer Ünïcode"):
        headers = {} if authorization is None else {b"authorization": authorization.encode("utf-8")}
        for method, path in CALLS if authorization is None else CALLS[:1]:
            for body_type in ("text/plain", "application/json", "multipart/form-data; boundary=cut"):
                sent = {**headers, b"content-type": body_type.encode()}
                reply = guarded.http.request(method, guarded.url + path, headers=sent, content=b"{not json")
                assert_problem(reply, 401, "unauthorized")
                assert reply.headers["www-authenticate"] == "Bearer"


def test_with_the_key_everything_works(guarded: RunningServer) -> None:
    for scheme in ("Bearer", "bearer"):
        headers = {"authorization": f"{scheme} {KEY}"}
        assert guarded.http.get(f"{guarded.url}/v1/collections", headers=headers).status_code == 200
    made = guarded.http.post(f"{guarded.url}/v1/collections", headers=headers, json={"name": "keyed"})
    assert made.status_code == 201


def test_health_and_the_description_need_no_key(guarded: RunningServer) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs"):
        assert guarded.http.get(guarded.url + path).status_code == 200


def test_the_key_is_never_printed(guarded: RunningServer) -> None:
    assert KEY not in guarded.printed


def test_without_a_key_file_everybody_here_is_the_administrator(server: RunningServer, tmp_path: Path) -> None:
    assert server.http.get("/v1/drop-folder").status_code == 200
    assert server.http.get("/v1/drop-folder", headers={"authorization": "Bearer whatever"}).status_code == 200
    assert server.url.startswith("http://127.0.0.1:")
