"""Which sandbox level is taken, and that a level is believed only when a probe finds it working."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

from ingest import landlock, linux_calls, sandbox, seccomp_filter
from ingest.parser_limits import ParserLimits
from ingest.parser_pool import ParserPool
from ingest.sandbox import SandboxLevel, SandboxUnavailable, candidates

PARSERS = f"{Path(__file__).with_name('hostile_parsers.py')}:parse_file"
linux_only = pytest.mark.skipif(not linux_calls.IS_LINUX, reason="the sandbox is Linux's")


@linux_only
def test_the_strongest_level_is_tried_first_and_none_only_where_allowed() -> None:
    guarded = [SandboxLevel.NAMESPACE, SandboxLevel.LANDLOCK, SandboxLevel.SECCOMP]
    assert candidates(None, allow_none=False) == guarded
    assert candidates(None, allow_none=True) == [*guarded, SandboxLevel.NONE]
    assert candidates(SandboxLevel.SECCOMP, allow_none=True) == [SandboxLevel.SECCOMP]


def test_no_sandbox_is_refused_by_a_sentence_that_names_the_setting() -> None:
    with pytest.raises(SandboxUnavailable, match="RAGSTONE_PARSER__ALLOW_UNSANDBOXED=true"):
        candidates(SandboxLevel.NONE, allow_none=False)
    assert candidates(SandboxLevel.NONE, allow_none=True) == [SandboxLevel.NONE]


@linux_only
def test_this_machine_reaches_a_sandbox_by_itself(tmp_path: Path) -> None:
    pool = ParserPool(parsers=PARSERS, limits=ParserLimits(), size=1, scratch=tmp_path)
    try:
        assert pool.level in (SandboxLevel.NAMESPACE, SandboxLevel.LANDLOCK, SandboxLevel.SECCOMP)
    finally:
        pool.close()


def test_parsers_that_cannot_be_imported_say_why(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="No module named 'no_such_parsers'"):
        ParserPool(parsers="no_such_parsers:parse_file", limits=ParserLimits(), size=1, scratch=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_probe_finds_out_a_process_without_a_sandbox(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = sandbox.breaches(port=listener.getsockname()[1], outside=tmp_path / "outside")
    assert found == ["network", "write", "fork"]


@linux_only
@pytest.mark.skipif(not seccomp_filter.is_known_machine(), reason="no filter for this machine")
@pytest.mark.parametrize("read_only", [False, True])
def test_every_jump_of_the_filter_stays_inside_it(read_only: bool) -> None:
    program = seccomp_filter.build(pid=7, read_only=read_only)
    steps = [struct.unpack_from("HBBI", program, offset) for offset in range(0, len(program), 8)]
    assert len(steps) <= 4096  # BPF_MAXINSNS
    for place, (code, if_true, if_false, _) in enumerate(steps):
        if code in (0x15, 0x25, 0x45):
            assert place + 1 + max(if_true, if_false) < len(steps)
    assert steps[-1] == (0x06, 0, 0, 0x7FFF0000)


@linux_only
def test_the_probe_finds_nothing_under_the_filter(tmp_path: Path) -> None:
    if not seccomp_filter.is_known_machine():
        pytest.skip("no filter for this machine")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        pid = os.fork()
        if not pid:
            os._exit(_breaches_when_confined(port, tmp_path))
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@linux_only
def test_landlock_tells_its_version_or_none() -> None:
    assert landlock.version() >= 0


def _breaches_when_confined(port: int, folder: Path) -> int:
    scratch = folder / "scratch"
    scratch.mkdir()
    try:
        sandbox.confine(SandboxLevel.SECCOMP, scratch=scratch, readable=[], limits=ParserLimits())
        return len(sandbox.breaches(port=port, outside=folder / "outside"))
    except BaseException:
        return 99
