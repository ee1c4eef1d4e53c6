"""An install on PostgreSQL: what users do, a server that is restarted under them, and starts that are refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres_server import PostgresServer
from tests.running import ROOT, RunningServer, environment_of, eventually, refused, serving

NOTE = "The otter dam at Brae was opened in May to let the eels through."


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="module")
def on_postgres(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with serving(tmp_path_factory.mktemp("data"), environment={"RAGSTONE_DATABASE__URL": url}) as running:
        yield running


def services(data: Path, command: str, url: str | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services", command],
        cwd=ROOT,
        env=environment_of(data, {"RAGSTONE_DATABASE__URL": url, "RAGSTONE_LOG_LEVEL": "debug"}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_document_lives_its_whole_life_on_postgresql(on_postgres: RunningServer, postgres: PostgresServer) -> None:
    server = on_postgres
    server.collection("notes")
    document = server.finished(server.send_file("notes", "otters.txt", NOTE.encode(), metadata='{"year": 2024}'))
    assert document["state"] == "searchable", document
    where = {"metadata.year": {"$gte": 2024}}
    assert [hit["document_id"] for hit in server.hits("eels at the dam", filter=where)] == [document["id"]]
    assert [shown["id"] for shown in server.documents(collection="notes")] == [document["id"]]
    patched = server.http.patch(f"/v1/documents/{document['id']}", json={"metadata": {"year": 1999}})
    assert patched.is_success, patched.text
    assert eventually(lambda: server.hits("eels at the dam", filter=where) == [])
    (server.drop / "fallen").mkdir(parents=True)
    (server.drop / "fallen" / "heron.txt").write_text("A heron stood at the weir the whole morning.")
    assert eventually(lambda: server.hits("heron at the weir"))
    assert server.http.delete(f"/v1/documents/{document['id']}").is_success
    assert [hit for hit in server.hits("eels at the dam") if hit["document_id"] == document["id"]] == []
    assert server.finished(document)["state"] == "deleted"
    assert not (server.data / "catalogue.db").exists()
    assert postgres.password not in server.printed


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_of_postgresql_is_survived(on_postgres: RunningServer, postgres: PostgresServer, how: str) -> None:
    server = on_postgres
    name = server.collection(f"restart-{how}")
    kept = server.searchable(name, NOTE)
    getattr(postgres, how)()
    try:
        for reply in (
            server.http.post("/v1/search", json={"query": "eels", "collections": [name]}),
            server.http.get(f"/v1/documents/{kept['id']}"),
            server.http.post(f"/v1/collections/{name}/documents", json={"text": "Nothing of this is kept."}),
        ):
            assert (reply.status_code, reply.json()["code"]) == (503, "catalogue_unavailable"), reply.text
            assert "Retry-After" in reply.headers
        assert server.http.get("/healthz").status_code == 200
    finally:
        postgres.start()
    assert server.hits("eels", collections=[name])[0]["document_id"] == kept["id"]
    later = server.searchable(name, "The heron came back to the weir in June.")
    assert len(server.documents(collection=name)) == 2
    assert server.hits("heron", collections=[name])[0]["document_id"] == later["id"]


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ann:s3cret@db/x",
        "postgresql://ann:s3cret@db",
        "postgresql://ann:s3cret@more@db/x",
        "sqlite://",
        "s3cret",
    ],
)
def test_a_wrong_address_is_refused_in_one_line_that_does_not_show_the_password(tmp_path: Path, url: str) -> None:
    status, said = refused(tmp_path, {"RAGSTONE_DATABASE__URL": url})
    assert (status, len(said.splitlines())) == (78, 1), said
    assert said.startswith("ragstone: RAGSTONE_DATABASE__URL ")
    assert "s3cret" not in said


def test_a_password_is_not_shown_in_debug_logs_either(tmp_path: Path) -> None:
    done = services(tmp_path, "migrate", "postgresql://ann:s3cret@127.0.0.1:1/x")
    assert done.returncode == 78
    assert "Connection refused" in done.stderr
    assert "s3cret" not in done.stderr + done.stdout


def test_a_database_without_the_schema_is_refused_until_migrate_was_run(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with postgres.bare_database() as url:
        status, said = refused(tmp_path, {"RAGSTONE_DATABASE__URL": url})
        assert (status, len(said.splitlines())) == (78, 1), said
        assert "python -m services migrate" in said
        for _ in range(2):
            done = services(tmp_path, "migrate", url)
            assert (done.returncode, done.stdout) == (0, "The catalogue's database has this version's schema.\n")
            assert postgres.password not in done.stderr
