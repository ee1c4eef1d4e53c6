"""The pool of sandboxed parsers, with real processes and real attacks, at every sandbox level this machine reaches."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from ingest.parser_limits import MIB, ParserLimits
from ingest.parser_pool import ParserPool
from ingest.parser_verdicts import ParserClosed
from ingest.parsing import ParserFailed, ParserKilled
from ingest.sandbox import SandboxLevel, SandboxUnavailable
from retrieval.errors import Unparseable

ROOT = Path(__file__).resolve().parents[2]
PARSERS = f"{Path(__file__).with_name('hostile_parsers.py')}:parse_file"
LIMITS = ParserLimits(
    memory_bytes=96 * MIB,
    cpu_s=1,
    wall_s=10.0,
    file_bytes=4 * MIB,
    result_bytes=4 * MIB,
    documents_per_child=20,
)
HASTE = ParserLimits(memory_bytes=96 * MIB, cpu_s=5, wall_s=0.6, file_bytes=4 * MIB, result_bytes=4 * MIB)
GUARDED = [SandboxLevel.NAMESPACE, SandboxLevel.LANDLOCK, SandboxLevel.SECCOMP]
WRITING = [SandboxLevel.NAMESPACE, SandboxLevel.LANDLOCK]


def open_pool(
    folder: Path, level: SandboxLevel | None, *, limits: ParserLimits = LIMITS, size: int = 2, parsers: str = PARSERS
) -> ParserPool:
    try:
        return ParserPool(
            parsers=parsers,
            limits=limits,
            size=size,
            scratch=folder,
            level=level,
            allow_none=level is SandboxLevel.NONE,
        )
    except SandboxUnavailable as error:
        pytest.skip(f"this machine does not reach the level: {str(error)[:200]}")


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[SandboxLevel, ParserLimits], ParserPool]]:
    opened: dict[tuple[SandboxLevel, ParserLimits], ParserPool] = {}
    yield opened
    for pool in opened.values():
        pool.close()


@pytest.fixture
def pool(
    request: pytest.FixtureRequest,
    pools: dict[tuple[SandboxLevel, ParserLimits], ParserPool],
    tmp_path_factory: pytest.TempPathFactory,
) -> ParserPool:
    level, limits = request.param if isinstance(request.param, tuple) else (request.param, LIMITS)
    if (level, limits) not in pools:
        pools[level, limits] = open_pool(tmp_path_factory.mktemp(level), level, limits=limits)
    return pools[level, limits]


at_every_level = pytest.mark.parametrize("pool", list(SandboxLevel), indirect=True)
at_guarded_levels = pytest.mark.parametrize("pool", GUARDED, indirect=True)
in_haste = pytest.mark.parametrize("pool", [(level, HASTE) for level in SandboxLevel], indirect=True, ids=str)


def parse(pool: ParserPool, folder: Path, attack: str, target: str = "text") -> str:
    document = folder / "document.txt"
    document.write_text(target)
    return pool.parse(document, media_type="text/plain", name=attack).text()


def assert_still_works(pool: ParserPool, folder: Path) -> None:
    assert parse(pool, folder, "good", "a good document") == "a good document"


def processes_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def wait_until_gone(processes: list[psutil.Process], patience_s: float = 2.0) -> list[psutil.Process]:
    """Those that still run. A dead one that its new parent has not reaped yet holds nothing and counts as gone."""
    deadline = time.monotonic() + patience_s
    while (left := [process for process in processes if runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# What is parsed


@at_every_level
def test_a_good_document_comes_back_whole(pool: ParserPool, tmp_path: Path) -> None:
    document = tmp_path / "document.txt"
    document.write_text("häßlich, 漢字, 🙂")
    parsed = pool.parse(document, media_type="text/plain", name="good.txt")
    assert parsed.text() == "häßlich, 漢字, 🙂"
    assert (parsed.title, parsed.pages) == ("good", 1)
    assert parsed.elements[0].lines[0].box.x1 == 10.0


@at_guarded_levels
def test_a_parser_may_use_threads(pool: ParserPool, tmp_path: Path) -> None:
    assert parse(pool, tmp_path, "starts_a_thread") == "threaded"


@pytest.mark.parametrize("pool", WRITING, indirect=True)
def test_what_a_parser_writes_in_its_folder_is_gone_for_the_next_document(pool: ParserPool, tmp_path: Path) -> None:
    assert parse(pool, tmp_path, "writes_in_its_scratch") == "written"
    _, folder, home, _, files = parse(pool, tmp_path, "whereabouts.txt").split("\n")
    assert folder == home
    assert files == "document.txt"


def test_a_child_sees_nothing_of_the_environment_of_its_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGSTONE_SECRET", "do not tell")
    pool = open_pool(tmp_path / "scratch", None)
    try:
        environment = parse(pool, tmp_path, "whereabouts").split("\n")[3].split(",")
    finally:
        pool.close()
    assert "RAGSTONE_SECRET" not in environment
    assert {"DO_NOT_TRACK", "HF_HUB_OFFLINE", "SCARF_NO_ANALYTICS", "UNSTRUCTURED_DISABLE_NOTICE"} <= set(environment)


def test_a_child_parses_several_documents_and_is_then_replaced(tmp_path: Path) -> None:
    limits = ParserLimits(memory_bytes=96 * MIB, documents_per_child=2)
    pool = open_pool(tmp_path / "scratch", None, limits=limits, size=1)
    try:
        first, second, third = (parse(pool, tmp_path, "whereabouts").split("\n")[1] for _ in range(3))
    finally:
        pool.close()
    assert first == second != third


def test_more_callers_than_children_wait_for_their_turn(tmp_path: Path) -> None:
    pool = open_pool(tmp_path / "scratch", None, size=2)
    known = len(processes_of(os.getpid()))
    folders = [tmp_path / str(number) for number in range(12)]
    try:
        with ThreadPoolExecutor(6) as callers:
            for folder in folders:
                folder.mkdir()
            texts = list(callers.map(lambda folder: parse(pool, folder, "good", folder.name), folders))
        assert texts == [folder.name for folder in folders]
        assert len(processes_of(os.getpid())) - known <= 2
    finally:
        pool.close()


# What is refused


@pytest.fixture
def bystander(tmp_path: Path) -> Path:
    path = tmp_path / "bystander.txt"
    path.write_text("mine")
    os.utime(path, (1_000_000, 1_000_000))
    return path


@at_guarded_levels
def test_nothing_reaches_a_tcp_listener_of_this_machine(pool: ParserPool, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        with pytest.raises(ParserFailed, match="Error"):
            parse(pool, tmp_path, "connects_by_tcp", str(listener.getsockname()[1]))
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert_still_works(pool, tmp_path)


@at_guarded_levels
def test_nothing_reaches_a_udp_socket_of_this_machine(pool: ParserPool, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        with pytest.raises(ParserFailed, match="PermissionError"):
            parse(pool, tmp_path, "sends_by_udp", str(receiver.getsockname()[1]))
        with pytest.raises(BlockingIOError):
            receiver.recv(10)


@at_guarded_levels
@pytest.mark.parametrize(
    "kind, attack",
    [
        (socket.SOCK_STREAM, "connects_by_unix_socket"),
        (socket.SOCK_DGRAM, "sends_by_a_pair_of_unix_sockets"),
    ],
    ids=["stream", "datagram"],
)
def test_nothing_reaches_a_unix_socket_of_this_machine(
    pool: ParserPool, tmp_path: Path, kind: int, attack: str
) -> None:
    address = f"/tmp/ragstone-test-{os.getpid()}.sock"  # tmp_path may be longer than a socket's path
    try:
        with socket.socket(socket.AF_UNIX, kind) as listener:
            listener.bind(address)
            listener.setblocking(False)
            if kind == socket.SOCK_STREAM:
                listener.listen()
            with pytest.raises(ParserFailed, match="PermissionError"):
                parse(pool, tmp_path, attack, address)
            with pytest.raises(BlockingIOError):
                listener.accept() if kind == socket.SOCK_STREAM else listener.recv(10)
    finally:
        Path(address).unlink()


@at_guarded_levels
@pytest.mark.parametrize("place", ["/tmp", str(Path.home()), str(ROOT), "/dev/shm", "/var/tmp"])
def test_nothing_is_written_outside(pool: ParserPool, tmp_path: Path, place: str) -> None:
    target = Path(place) / f"ragstone-test-{os.getpid()}"
    with pytest.raises(ParserFailed, match=r"PermissionError|Read-only"):
        parse(pool, tmp_path, "writes", str(target))
    assert not target.exists()


@at_guarded_levels
@pytest.mark.parametrize(
    "attack",
    [
        "writes",
        "appends_by_descriptor",
        "deletes",
        "renames",
        "empties",
        "changes_the_mode",
        "changes_the_time",
        "makes_a_folder",
        "links_into_its_scratch",
    ],
)
def test_no_file_outside_is_changed(pool: ParserPool, tmp_path: Path, bystander: Path, attack: str) -> None:
    before = bystander.stat()
    with pytest.raises(ParserFailed, match=r"PermissionError|Read-only"):
        parse(pool, tmp_path, attack, str(bystander))
    after = bystander.stat()
    assert bystander.read_text() == "mine"
    assert (before.st_mode, before.st_mtime) == (after.st_mode, after.st_mtime)
    assert {path.name for path in tmp_path.iterdir()} == {"bystander.txt", "document.txt"}
    assert_still_works(pool, tmp_path)


@pytest.mark.parametrize("pool", WRITING, indirect=True)
def test_no_other_document_can_be_read(pool: ParserPool, tmp_path: Path, bystander: Path) -> None:
    with pytest.raises(ParserFailed, match="PermissionError"):
        parse(pool, tmp_path, "reads", str(bystander))


@pytest.mark.parametrize("pool", WRITING, indirect=True)
def test_nothing_of_the_pools_own_process_can_be_read(pool: ParserPool, tmp_path: Path) -> None:
    with pytest.raises(ParserFailed, match=r"PermissionError|FileNotFoundError"):
        parse(pool, tmp_path, "reads_the_memory_of", str(os.getpid()))


@at_guarded_levels
@pytest.mark.parametrize(
    "attack",
    [
        "forks_without_end",
        "runs_a_program",
        "becomes_a_program",
        "kills_its_parent",
        "outlives_its_parent",
        "makes_a_ring",
        "makes_a_namespace",
    ],
)
def test_a_parser_starts_and_ends_no_process(pool: ParserPool, tmp_path: Path, attack: str) -> None:
    before = {process.pid for process in processes_of(os.getpid())}
    with pytest.raises(ParserFailed, match="PermissionError"):
        parse(pool, tmp_path, attack)
    assert len({process.pid for process in processes_of(os.getpid())} - before) <= 1  # the child itself
    assert_still_works(pool, tmp_path)


@at_guarded_levels
@pytest.mark.parametrize("attack", ["kills", "lowers_the_limits_of"])
def test_a_parser_touches_no_other_process(pool: ParserPool, tmp_path: Path, attack: str) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        try:
            with pytest.raises(ParserFailed, match="PermissionError"):
                parse(pool, tmp_path, attack, str(bystander.pid))
            assert bystander.poll() is None
        finally:
            bystander.kill()


@pytest.mark.parametrize("pool", [SandboxLevel.NONE], indirect=True)
def test_without_a_sandbox_a_killed_zygote_is_replaced(pool: ParserPool, tmp_path: Path) -> None:
    with pytest.raises(ParserKilled):
        parse(pool, tmp_path, "kills_its_parent")
    assert_still_works(pool, tmp_path)


# Limits


@at_every_level
@pytest.mark.parametrize(
    "attack, sentence",
    [
        ("allocates_without_end", "more memory than the limit of 96 MiB"),
        ("allocates_and_hides_the_error", "more memory than the limit of 96 MiB"),
        ("allocates_and_aborts", "more memory than the limit of 96 MiB"),
        ("returns_endless_elements", "more memory than the limit of 96 MiB|more processor time"),
        ("spins", "more processor time than the limit of 1 seconds"),
        ("returns_an_endless_result", "limit of 4 MiB for a result"),
        ("recurses", "nested more deeply"),
    ],
)
def test_a_document_past_a_limit_is_told_which(pool: ParserPool, tmp_path: Path, attack: str, sentence: str) -> None:
    with pytest.raises(Unparseable, match=sentence) as refused:
        parse(pool, tmp_path, attack)
    assert refused.value.reason_code == "parse_limit"
    assert_still_works(pool, tmp_path)


@in_haste
def test_a_document_that_never_ends_is_ended(pool: ParserPool, tmp_path: Path) -> None:
    with pytest.raises(Unparseable, match=r"longer than the limit of 0\.6 seconds") as refused:
        parse(pool, tmp_path, "sleeps_for_ever")
    assert refused.value.reason_code == "parse_limit"
    assert_still_works(pool, tmp_path)


@pytest.mark.parametrize("pool", [*WRITING, SandboxLevel.NONE], indirect=True)
@pytest.mark.parametrize("attack", ["writes_an_endless_file", "writes_endless_files"])
def test_a_parser_fills_no_disk(pool: ParserPool, tmp_path: Path, attack: str) -> None:
    with pytest.raises(Unparseable, match="writes more to disk than the limit of 4 MiB") as refused:
        parse(pool, tmp_path, attack)
    assert refused.value.reason_code == "parse_limit"
    assert_still_works(pool, tmp_path)


@pytest.mark.parametrize("pool", [SandboxLevel.NAMESPACE], indirect=True)
def test_folders_in_folders_without_end_are_removed(pool: ParserPool, tmp_path: Path) -> None:
    assert parse(pool, tmp_path, "digs_deep") == "deep"
    assert parse(pool, tmp_path, "whereabouts").split("\n")[4] == "document"


def test_processor_time_is_counted_for_each_document_alone(tmp_path: Path) -> None:
    pool = open_pool(tmp_path / "scratch", None, size=1)
    try:
        children = {parse(pool, tmp_path, "works_for_a_while") for _ in range(4)}
    finally:
        pool.close()
    assert len(children) == 1  # 2.4 s in one child, whose limit is 1 s for each, rounded up to at most 2 s


# Bugs and crashes


@at_every_level
def test_a_bug_of_a_parser_comes_with_its_traceback(pool: ParserPool, tmp_path: Path) -> None:
    with pytest.raises(ParserFailed, match=r"(?s)Traceback.*in raises.*ValueError: a bug of the parser"):
        parse(pool, tmp_path, "raises")
    with pytest.raises(ParserFailed, match="Traceback"):
        parse(pool, tmp_path, "returns_nothing")
    assert_still_works(pool, tmp_path)


@at_every_level
def test_a_parsers_own_refusal_is_told_as_it_said_it(pool: ParserPool, tmp_path: Path) -> None:
    with pytest.raises(Unparseable, match="The document asks for a password") as refused:
        parse(pool, tmp_path, "refuses")
    assert refused.value.reason_code == "encrypted"
    with pytest.raises(Unparseable) as refused:
        parse(pool, tmp_path, "blames_the_worker")
    assert refused.value.reason_code == "damaged"


@at_every_level
@pytest.mark.parametrize("attack, how", [("segfaults", "SIGSEGV"), ("aborts", "SIGABRT"), ("exits", "its own hand")])
def test_a_crash_is_told_with_its_signal(pool: ParserPool, tmp_path: Path, attack: str, how: str) -> None:
    with pytest.raises(ParserKilled, match=how):
        parse(pool, tmp_path, attack)
    assert_still_works(pool, tmp_path)


@at_every_level
@pytest.mark.parametrize("attack", ["answers_with_garbage", "answers_with_a_forged_document", "hangs_up"])
def test_an_answer_that_no_parser_gives_ends_its_child(pool: ParserPool, tmp_path: Path, attack: str) -> None:
    with pytest.raises((ParserKilled, Unparseable)):
        parse(pool, tmp_path, attack)
    assert_still_works(pool, tmp_path)


@at_every_level
def test_an_answer_larger_than_any_is_not_taken(pool: ParserPool, tmp_path: Path) -> None:
    with pytest.raises(Unparseable, match="for a result"):
        parse(pool, tmp_path, "announces_too_much")
    assert_still_works(pool, tmp_path)


@at_every_level
def test_a_second_answer_is_not_taken_for_the_next_documents(pool: ParserPool, tmp_path: Path) -> None:
    with pytest.raises(Unparseable, match="forged"):
        parse(pool, tmp_path, "answers_twice")
    assert_still_works(pool, tmp_path)


def test_a_child_killed_while_idle_costs_no_document(tmp_path: Path) -> None:
    pool = open_pool(tmp_path / "scratch", None, size=1)
    try:
        known = {process.pid for process in processes_of(os.getpid())}
        assert_still_works(pool, tmp_path)
        (child,) = [process for process in processes_of(os.getpid()) if process.pid not in known]
        child.kill()
        time.sleep(0.1)
        assert_still_works(pool, tmp_path)
    finally:
        pool.close()


# The life of the processes


def test_a_zygote_that_is_killed_is_replaced(tmp_path: Path) -> None:
    known = {process.pid for process in processes_of(os.getpid())}
    pool = open_pool(tmp_path / "scratch", None)
    try:
        assert_still_works(pool, tmp_path)
        family = [process for process in processes_of(os.getpid()) if process.pid not in known]
        next(process for process in family if process.ppid() == os.getpid()).kill()
        time.sleep(0.1)
        assert_still_works(pool, tmp_path)
        assert wait_until_gone(family) == []
    finally:
        pool.close()


def test_a_zygote_started_by_a_thread_outlives_that_thread(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as passing:
        pool = passing.submit(open_pool, tmp_path / "scratch", None).result()
    try:
        known = {process.pid for process in processes_of(os.getpid())}
        assert_still_works(pool, tmp_path)
        time.sleep(0.1)
        assert known <= {process.pid for process in processes_of(os.getpid())}
    finally:
        pool.close()


def test_closing_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    known = {process.pid for process in processes_of(os.getpid())}
    pool = open_pool(tmp_path / "scratch", None)
    with ThreadPoolExecutor(1) as caller:
        hanging = caller.submit(parse, pool, tmp_path, "sleeps_for_ever")
        time.sleep(0.3)
        family = [process for process in processes_of(os.getpid()) if process.pid not in known]
        assert len(family) >= 2
        pool.close()
        with pytest.raises(ParserClosed):
            hanging.result(timeout=5)
    assert wait_until_gone(family) == []
    assert list((tmp_path / "scratch").iterdir()) == []
    with pytest.raises(ParserClosed):
        parse(pool, tmp_path, "good")


@pytest.mark.parametrize("level", list(SandboxLevel))
def test_no_process_is_left_when_the_pools_own_is_killed(tmp_path: Path, level: SandboxLevel) -> None:
    open_pool(tmp_path / "probe", level).close()
    document = tmp_path / "document.txt"
    document.write_text("text")
    program = textwrap.dedent(f"""
        from pathlib import Path
        from ingest.parser_limits import ParserLimits
        from ingest.parser_pool import ParserPool
        from ingest.sandbox import SandboxLevel
        pool = ParserPool(parsers={PARSERS!r}, limits=ParserLimits(), size=1, level=SandboxLevel({level.value!r}),
                          scratch=Path({str(tmp_path)!r}) / "scratch", allow_none=True)
        print("ready", flush=True)
        pool.parse(Path({str(document)!r}), media_type="text/plain", name="spins")
    """)
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        time.sleep(0.3)
        family = processes_of(parent.pid)
        assert len(family) >= 2  # the zygote and the child that hangs
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert wait_until_gone(family, patience_s=2.0) == []
    (abandoned,) = (tmp_path / "scratch").iterdir()
    open_pool(tmp_path / "scratch", level).close()
    assert not abandoned.exists()
