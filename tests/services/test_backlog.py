"""An install whose workers are away: intake takes up to the backlog's bound, then says 503, and loses nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from retrieval.documents import Stage
from retrieval.sql_catalogue.catalogue import SqlCatalogue
from retrieval.tasks import Failure
from services.layout import Layout
from tests.distributed import Process
from tests.running import ROOT, environment_of, eventually
from tests.wire_checks import assert_problem

BOUND = 3
ENVIRONMENT: dict[str, str | None] = {"RAGSTONE_INTAKE__BACKLOG": str(BOUND)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backlog") / "data"
    environment = environment_of(folder, ENVIRONMENT)
    subprocess.run([sys.executable, "-m", "services", "migrate"], cwd=ROOT, env=environment, check=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def documents(data: Path) -> Iterator[httpx2.Client]:
    """The API and the watcher, and nobody who parses or embeds."""
    running = [Process(role, data, ENVIRONMENT, ()) for role in ("documents", "watch")]
    try:
        urls = [one.await_ready().url for one in running]
        with httpx2.Client(base_url=urls[0], timeout=60) as client:
            assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
            yield client
        assert [one.stop() for one in running] == [0, 0]
    finally:
        for one in running:
            one.end()


def listed(documents: httpx2.Client) -> int:
    return len(documents.get("/v1/documents").json()["data"])


def upload(documents: httpx2.Client, content: bytes) -> httpx2.Response:
    return documents.post("/v1/collections/docs/documents", files={"file": ("a.txt", content)})


def test_beyond_the_bound_every_way_in_is_a_503_that_says_when_to_come_back(documents: httpx2.Client) -> None:
    taken = [upload(documents, f"Otter {n}.".encode()).status_code for n in range(BOUND)]
    assert taken == [202] * BOUND
    for refused in (
        upload(documents, b"One otter too many."),
        upload(documents, b"x" * 5_000_000),
        documents.post("/v1/collections/docs/documents", json={"text": "One otter too many."}),
        documents.post("/v1/collections/docs/documents:batch", json={"documents": [{"text": "One otter too many."}]}),
    ):
        problem = assert_problem(refused, 503, "backlog_full")
        assert f"{BOUND} tasks" in problem["detail"]
        assert int(refused.headers["retry-after"]) >= 1
    assert listed(documents) == BOUND


def test_what_needs_no_work_goes_on(documents: httpx2.Client) -> None:
    [one, *_] = documents.get("/v1/documents").json()["data"]
    changed = documents.patch(f"/v1/documents/{one['id']}", json={"metadata": {"year": 2026}})
    assert changed.json()["metadata"] == {"year": 2026}
    assert documents.get("/healthz").status_code == 200
    assert list(documents.get("/readyz").json()["dependencies"]) == ["index_unavailable"]  # the backlog is none


def test_the_drop_folder_waits_and_says_so(documents: httpx2.Client, data: Path) -> None:
    (data / "drop" / "docs").mkdir(parents=True, exist_ok=True)
    (data / "drop" / "docs" / "dropped.txt").write_text("A dropped otter.")
    waiting = eventually(lambda: documents.get("/v1/drop-folder").json()["waiting"])
    assert f"{BOUND} tasks" in waiting
    report = documents.get("/v1/drop-folder").json()
    assert (report["refused"], report["held"], listed(documents)) == ([], [], BOUND)


def test_once_there_is_room_every_way_in_is_open_again(documents: httpx2.Client, data: Path) -> None:
    catalogue = SqlCatalogue(Layout(data).catalogue_url)
    try:
        for pointer in catalogue.tasks.due([Stage.PARSE], excluding=[], limit=BOUND):
            claim = catalogue.tasks.claim(pointer.task_id, worker="w", lease_s=60)
            assert claim is not None
            catalogue.tasks.failed(claim, Failure("damaged", "it is damaged", permanent=True))
    finally:
        catalogue.close()
    eventually(lambda: listed(documents) == BOUND + 1)
    eventually(lambda: documents.get("/v1/drop-folder").json()["waiting"] is None)
    eventually(lambda: upload(documents, b"Another otter.").status_code == 202)
