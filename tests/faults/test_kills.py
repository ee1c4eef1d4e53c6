"""Killed with -9, nothing is lost or doubled."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.campaign import Campaign, reference_run
from tests.faults.cluster import PLANTED
from tests.faults.conftest import SEED, SHORT
from tests.running import ROOT, RunningServer, eventually

DOCUMENTS = 200
TROUBLE = f"{Path(__file__).parent / 'troublesome_parsers.py'}:parse_file"


def _ended(campaign: Campaign) -> None:
    assert campaign.server.stop() == 0, campaign.server.printed


def test_group_kills_lose_and_double_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kills: int = request.config.getoption("--kills", default=SHORT)
    seed: int = request.config.getoption("--seed", default=SEED)
    print(f"\nseed {seed}, {kills} kills")
    order, reference = reference_run(tmp_path / "reference", seed, max(DOCUMENTS, kills * 2))
    kinds = {operation.kind for operation in order}
    assert kinds >= {"new", "change", "patch", "reprocess", "redrive", "break", "delete", "delete_collection"}
    campaign = Campaign(tmp_path / "data")
    try:
        campaign.run(order, kills=kills, seed=seed)
        assert campaign.kills >= kills
        assert campaign.look(order, reference) == [], f"seed {seed}"
        _ended(campaign)
    finally:
        campaign.server.end()


@pytest.mark.parametrize("bug", ["old_points_kept", "acknowledged_too_early"])
def test_a_planted_bug_turns_the_suite_red(bug: str, tmp_path: Path) -> None:
    seed = 7
    order, reference = reference_run(tmp_path / "reference", seed, 30)
    # Processes find sitecustomize there before their own modules, so those must be found as well.
    environment = {"PLANTED_BUG": bug, "PYTHONPATH": f"{PLANTED}{os.pathsep}{ROOT}"}
    campaign = Campaign(tmp_path / "data", environment=environment)
    try:
        try:
            campaign.run(order, kills=4, seed=seed)
            found = campaign.look(order, reference)
        except AssertionError as error:
            # An acknowledged document that is gone is noticed as early as the next request about it.
            found = [str(error)]
        assert "Error in sitecustomize" not in campaign.server.printed
        assert found, f"the planted bug {bug} was not noticed"
    finally:
        campaign.server.end()


@pytest.fixture
def troubled(tmp_path: Path) -> Iterator[RunningServer]:
    server = RunningServer(tmp_path / "data", environment={"RAGSTONE_PARSER__ENTRY": TROUBLE})
    try:
        server.start()
        yield server
    finally:
        server.end()


def test_a_document_interrupted_fifteen_times_by_group_kills_still_arrives(troubled: RunningServer) -> None:
    troubled.collection("notes")
    sent = troubled.send_file("notes", "slow.txt", b"The lantern on the quay is lit at dusk.")

    def attempts() -> list[dict[str, Any]]:
        timeline: list[dict[str, Any]] = troubled.http.get(f"/v1/documents/{sent['id']}").json()["timeline"]
        return [entry for entry in timeline if entry["stage"] == "parse"]

    for number in range(15):
        eventually(lambda number=number: len(attempts()) > number and attempts()[-1]["outcome"] is None)
        troubled.kill()
        troubled.start()
    shown = troubled.finished(sent)
    assert shown["state"] == "searchable", shown
    assert sum(entry["outcome"] == "interrupted" for entry in attempts()) >= 15
    assert [hit["document_id"] for hit in troubled.hits("lantern at dusk")] == [sent["id"]]
    assert troubled.stop() == 0


def test_a_document_that_kills_its_worker_ends_as_such_and_holds_up_nobody(troubled: RunningServer) -> None:
    troubled.collection("notes")
    killer = troubled.send_file("notes", "killer.txt", b"Nobody ever reads this to its end.")
    began = time.monotonic()
    others = [troubled.send_text("notes", f"Buoy number {number} was serviced.") for number in range(12)]
    assert {troubled.finished(other)["state"] for other in others} == {"searchable"}
    assert time.monotonic() - began < 30
    shown = troubled.finished(killer)
    assert (shown["state"], shown["code"]) == ("failed", "kills_worker"), shown
    (letter,) = troubled.http.get("/v1/dead-letters", params={"code": "kills_worker"}).json()["data"]
    assert letter["document_id"] == killer["id"]
    assert letter["attempts"] == 10
    again = troubled.post_file("notes", "killer.txt", b"Nobody ever reads this to its end.")
    assert (again.status_code, again.json()["code"]) == (409, "quarantined")
    assert troubled.http.delete(f"/v1/dead-letters/{letter['id']}").status_code == 204
    assert troubled.post_file("notes", "killer.txt", b"Nobody ever reads this to its end.").status_code == 202
    assert troubled.stop() == 0


def test_a_worker_killed_alone_with_its_document_counts_against_the_document(tmp_path: Path) -> None:
    environment = {"RAGSTONE_PARSER__ENTRY": TROUBLE, "RAGSTONE_WORK__KILLS": "2"}
    server = RunningServer(tmp_path / "data", environment=environment)
    try:
        server.start()
        server.collection("notes")
        sent = server.send_file("notes", "slow.txt", b"The pilot boat waits outside.")

        def running() -> bool:
            timeline = server.http.get(f"/v1/documents/{sent['id']}").json()["timeline"]
            return bool(timeline) and timeline[-1]["outcome"] is None

        for _ in range(2):
            eventually(running, within_s=60)
            server.process_of("parse").kill()
            eventually(lambda: not running(), within_s=60)
        shown = server.finished(sent)
        assert (shown["state"], shown["code"]) == ("failed", "kills_worker"), shown
        assert server.searchable("notes", "The next document is served as ever.")
        assert server.stop() == 0
    finally:
        server.end()


def test_no_process_is_left_behind_and_a_restart_needs_no_patience(troubled: RunningServer) -> None:
    troubled.collection("notes")
    troubled.send_file("notes", "slow.txt", b"Something is always under way.")
    before = {process.pid for process in troubled.processes()}
    assert len(before) >= 4
    troubled.kill()
    assert not [pid for pid in before if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
    began = time.monotonic()
    troubled.start()
    assert time.monotonic() - began < 60
    assert troubled.stop() == 0
