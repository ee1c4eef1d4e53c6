"""What survives: processes that die, a stop, a full disk. One server of its own, on a small disk if there is one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.made_files import truncated_word, word
from tests.running import STOP_S, RunningServer, eventually
from tests.wire_checks import assert_problem

DISK_MIB = 256
LEASE_S = 60.0  # the setting's default


@dataclass(frozen=True)
class Install:
    """`small_disk` is None where the data lies on a disk of its own, else why it does not."""

    server: RunningServer
    no_small_disk: str | None


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    disk = tmp_path_factory.mktemp("disk")
    why_not = _mount(disk)
    running = RunningServer(disk / "data")
    try:
        running.start()
        running.collection("kept")
        yield Install(running, why_not)
        assert running.stop() == 0, running.printed
    finally:
        running.end()
        if why_not is None:
            subprocess.run(["umount", str(disk)], check=True)


def _mount(disk: Path) -> str | None:
    """A small disk at `disk`, or why there is none."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(disk)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip()


def found(server: RunningServer, query: str, document_id: str) -> bool:
    """Whether it is found; a search that is told to come back is no answer yet."""
    reply = server.http.post("/v1/search", json={"query": query, "collections": ["kept"]})
    if reply.status_code == 503:
        assert_problem(reply, 503, reply.json()["code"])
        return False
    return document_id in {hit["document_id"] for hit in reply.json()["hits"]}


def test_a_killed_api_is_started_again_and_no_caller_is_refused(install: Install) -> None:
    server = install.server
    document = server.searchable("kept", "The aqueduct has forty arches.", external_id="aqueduct")
    before = server.process_of("search")
    before.kill()
    psutil.wait_procs([before], timeout=10)
    # The supervisor holds the listening socket: this waits for the new process instead of failing.
    with httpx2.Client(base_url=server.url, timeout=60) as fresh:
        assert fresh.get("/healthz").status_code == 200
    assert server.process_of("search").pid != before.pid
    server.reconnect()
    assert found(server, "aqueduct arches", document["id"])


def test_a_killed_index_process_means_503_for_a_while_and_then_everything_is_found(install: Install) -> None:
    server = install.server
    document = server.searchable("kept", "The sundial stands in the cloister garden.")
    before = server.process_of("index")
    before.kill()
    psutil.wait_procs([before], timeout=10)
    assert_problem(server.http.post("/v1/search", json={"query": "sundial"}), 503, "index_unavailable")
    not_ready = server.http.get("/readyz")
    assert (not_ready.status_code, not_ready.json()["ready"]) == (503, False)
    assert "retry-after" in not_ready.headers
    assert server.http.get("/healthz").status_code == 200
    meanwhile = server.send_text("kept", "Sent while there was no index process: a gargoyle.")
    eventually(lambda: found(server, "sundial cloister", document["id"]), within_s=60)
    assert server.http.get("/readyz").status_code == 200
    assert server.finished(meanwhile)["state"] == "searchable"
    eventually(lambda: found(server, "gargoyle", meanwhile["id"]))


def test_a_killed_worker_loses_nothing_that_was_acknowledged(install: Install) -> None:
    server = install.server
    sent = [server.send_text("kept", f"Number {i}: a weathercock turned by the north wind.") for i in range(20)]
    started = time.monotonic()
    server.process_of("parse").kill()
    sent += [server.send_text("kept", f"Number {i}: sent while nobody worked.") for i in range(20, 25)]
    assert {server.finished(document)["state"] for document in sent} == {"searchable"}
    # Its death is known, so nothing waits for a lease to run out.
    assert time.monotonic() - started < LEASE_S / 2


def test_a_full_disk_is_a_507_and_nothing_is_acknowledged_that_is_not_durable(install: Install) -> None:
    if install.no_small_disk is not None:
        pytest.skip(f"no small disk can be mounted here: {install.no_small_disk}")
    server = install.server
    before = server.searchable("kept", "Written while there was space: the granary.")
    ballast = server.data.parent / "ballast"
    acknowledged = []
    try:
        _fill(ballast)
        # The database's log may have room of its own, which is used up first.
        for i in range(400):
            text = f"Number {i} on a full disk. " * 200
            reply = server.http.post("/v1/collections/kept/documents", json={"text": text})
            if reply.status_code != 202:
                break
            acknowledged.append(reply.json())
        assert_problem(reply, 507, "storage_full")
        big = server.post_file("kept", "big.txt", os.urandom(1 << 19).hex().encode())
        assert_problem(big, 507, "storage_full")
        texts = [{"text": "x " * 20_000}] * 20
        batch = server.http.post("/v1/collections/kept/documents:batch", json={"documents": texts})
        assert_problem(batch, 507, "storage_full")
        assert server.http.get("/healthz").status_code == 200
        assert server.http.get(f"/v1/documents/{before['id']}").json()["state"] == "searchable"
        assert list((server.data / "spool").iterdir()) == []
    finally:
        ballast.unlink(missing_ok=True)
    after = eventually(lambda: _accepted(server, "There is space again: the cooper's workshop."), within_s=30)
    assert server.finished(after)["state"] == "searchable"
    for document in acknowledged:
        shown = server.finished(document)
        assert shown["state"] == "searchable", shown
    eventually(lambda: found(server, "granary", before["id"]))
    big_again = server.finished(server.send_file("kept", "granary.docx", word("Granary", "It is made of oak.")))
    assert big_again["state"] == "searchable"


def _fill(ballast: Path) -> None:
    """To the last byte."""
    with ballast.open("wb", buffering=0) as file:
        for block in (1 << 20, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(block))


def _accepted(server: RunningServer, text: str) -> dict[str, object] | None:
    reply = server.http.post("/v1/collections/kept/documents", json={"text": text})
    return reply.json() if reply.status_code == 202 else None


def test_two_requests_to_stop_are_one_and_a_restart_keeps_everything(install: Install) -> None:
    server = install.server
    document = server.searchable("kept", "The belfry has seven bells.", external_id="belfry", metadata={"bells": 7})
    failed = server.finished(server.send_file("kept", "half.docx", truncated_word()))
    listed = server.http.get("/v1/documents", params={"collection": "kept", "limit": 1}).json()
    # What the switch owes comes a moment after it, and is in the timeline too.
    path = f"/v1/documents/{document['id']}"
    eventually(
        lambda: [(e["stage"], e["outcome"]) for e in server.http.get(path).json()["timeline"]][-1] == ("erase", "done")
    )
    before = {name: server.http.get(path).content for name, path in _paths(document).items()}
    letters = server.http.get("/v1/dead-letters").json()

    process = server.process
    assert process is not None
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    assert process.wait(STOP_S) == 0, server.printed
    assert server.left() == []
    server.start()

    assert {name: server.http.get(path).content for name, path in _paths(document).items()} == before
    assert found(server, "belfry bells", document["id"])
    assert server.http.get(f"/v1/documents/{failed['id']}").json() == failed
    assert server.http.get("/v1/dead-letters").json() == letters
    parameters = {"collection": "kept", "limit": 1, "cursor": listed["next_cursor"]}
    assert server.http.get("/v1/documents", params=parameters).status_code == 200


def _paths(document: dict[str, object]) -> dict[str, str]:
    path = f"/v1/documents/{document['id']}"
    parts = ("", "/content", "/text", "/chunks", "/elements")
    return {part: path + part for part in parts} | {"collection": "/v1/collections/kept"}


def test_a_stop_while_it_starts_is_a_stop(tmp_path: Path) -> None:
    running = RunningServer(tmp_path / "data")
    process = running.launch()
    try:
        eventually((running.data / "run" / "lock").exists)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0, running.printed
        assert running.left() == []
        assert "not ready" not in running.printed
    finally:
        running.end()
