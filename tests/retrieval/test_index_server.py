"""The index process: who goes first, what it survives, when it writes to disk."""

from __future__ import annotations

import contextlib
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from retrieval.errors import IndexUnavailable
from retrieval.filters import FilterFields
from retrieval.index import Arm, Candidate, DenseArm, Point, SearchScope, Selection, StoredPoint, Underway
from retrieval.index_server import FLUSH_AFTER_S, OVERTAKEN, serve
from retrieval.index_wire import HELLO, MAX_FRAME, encode, parse_address, receive
from retrieval.socket_index import SocketIndex

SCOPE = SearchScope("t", ("c",), None)
ARMS = [DenseArm(np.zeros(2, np.float32))]


class RecordingIndex:
    """An index that writes down what it is asked, in order, and whose deletes last until told otherwise."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.running = threading.Event()
        self.go_on = threading.Event()

    def delete_some(self, tenant: str, where: Selection) -> bool:
        self.asked.append("delete")
        self.running.set()
        assert self.go_on.wait(10)
        return False

    def search(self, scope: SearchScope, arms: Sequence[Arm], *, limit: int) -> list[list[Candidate]]:
        self.asked.append("search")
        return [[Candidate("p", 0.5, "d", 1, 2)] for _ in arms]

    def set_live_some(self, tenant: str, where: Selection) -> bool:
        self.asked.append("set_live")
        return where.document_id == "long" and len(self.asked) < 4

    def count(self, tenant: str, where: Selection) -> int:
        match where.document_id:
            case "unavailable":
                raise IndexUnavailable("the disk is gone")
            case "invalid":
                raise ValueError("no such thing")
            case "bug":
                raise KeyError("oops")
        return 3

    def page(
        self, tenant: str | None, where: Selection | None, *, vectors: bool, after: str | None
    ) -> tuple[list[StoredPoint], str | None]:
        self.asked.append(f"page {after}")
        return [], {None: "one", "one": "two", "two": None}[after]

    def flush(self) -> None:
        self.asked.append("flush")

    def upsert(self, tenant: str, points: Sequence[Point]) -> None:
        self.asked.append(f"upsert {len(points)}")

    def retrieve(self, tenant: str, ids: Sequence[str], *, vectors: bool = False) -> list[StoredPoint]:
        raise NotImplementedError

    def searching(self, scope: SearchScope, arms: Sequence[Arm], *, limit: int) -> Underway[list[list[Candidate]]]:
        raise NotImplementedError

    def retrieving(self, tenant: str, ids: Sequence[str]) -> Underway[list[StoredPoint]]:
        raise NotImplementedError

    def search_selection(self, tenant: str, where: Selection, arm: Arm, *, limit: int) -> list[Candidate]:
        raise NotImplementedError

    def repaint_some(
        self, tenant: str, document_id: str, *, rev: int, readers: tuple[str, ...], fields: FilterFields
    ) -> bool:
        raise NotImplementedError

    def repaint(
        self, tenant: str, document_id: str, *, rev: int, readers: tuple[str, ...], fields: FilterFields
    ) -> None:
        raise NotImplementedError

    def set_live(self, tenant: str, where: Selection) -> None:
        raise NotImplementedError

    def delete(self, tenant: str, where: Selection) -> None:
        raise NotImplementedError

    def points_of(self, tenant: str, where: Selection, *, vectors: bool = False) -> Iterator[StoredPoint]:
        raise NotImplementedError

    def chunk_points(self, tenant: str, chunk_id: str) -> list[StoredPoint]:
        raise NotImplementedError

    def scroll(self, *, tenant: str | None = None, vectors: bool = False) -> Iterator[StoredPoint]:
        raise NotImplementedError

    def health(self) -> Mapping[str, Any]:
        return {"points": 1}

    def close(self) -> None:
        raise NotImplementedError


class Serving:
    def __init__(self, index: RecordingIndex, address: str) -> None:
        self.index, self.address = index, address
        self._stop = threading.Event()
        ready = threading.Event()
        self._thread = threading.Thread(
            target=serve, args=(index, address), kwargs={"ready": ready.set, "stop": self._stop}, daemon=True
        )
        self._thread.start()
        assert ready.wait(5)

    def stop(self) -> None:
        self._stop.set()

    def ended(self) -> bool:
        self._thread.join(10)
        return not self._thread.is_alive()


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(RecordingIndex(), str(tmp_path / "index.sock"))
    yield made
    made.index.go_on.set()
    made.stop()
    assert made.ended()


@pytest.fixture
def client(serving: Serving) -> Iterator[SocketIndex]:
    made = SocketIndex(serving.address, timeout_s=10)
    yield made
    made.close()


def in_thread(call: Any, *arguments: Any, **named: Any) -> threading.Thread:
    thread = threading.Thread(target=call, args=arguments, kwargs=named)
    thread.start()
    return thread


def raw(address: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(5)
    connection.connect(address)
    return connection


def greeted(address: str) -> socket.socket:
    connection = raw(address)
    connection.sendall(encode(HELLO))
    assert receive(connection) == HELLO
    return connection


def hung_up(connection: socket.socket) -> bool:
    with connection:
        try:
            return connection.recv(1) == b""
        except ConnectionError:
            return True


# --- who goes first


def wait_for_requests(seconds: float = 0.3) -> None:
    time.sleep(seconds)  # for threads to have sent theirs; a shorter wait can only make the test pass less often


def test_a_search_goes_before_writes_that_came_first(serving: Serving, client: SocketIndex) -> None:
    threads = [in_thread(client.delete, "t", Selection("d"))]
    assert serving.index.running.wait(5)
    threads += [in_thread(client.set_live, "t", Selection("d")) for _ in range(5)]
    wait_for_requests()
    threads.append(in_thread(client.search, SCOPE, ARMS, limit=1))
    wait_for_requests()
    serving.index.go_on.set()
    for thread in threads:
        thread.join(5)
    assert serving.index.asked[:7] == ["delete", "search", *["set_live"] * 5]


def test_searches_without_end_do_not_keep_a_write_waiting_for_ever(serving: Serving, client: SocketIndex) -> None:
    threads = [in_thread(client.delete, "t", Selection("d"))]
    assert serving.index.running.wait(5)
    threads.append(in_thread(client.set_live, "t", Selection("d")))
    wait_for_requests()
    threads += [in_thread(client.search, SCOPE, ARMS, limit=1) for _ in range(OVERTAKEN + 10)]
    wait_for_requests(0.6)
    serving.index.go_on.set()
    for thread in threads:
        thread.join(5)
    assert serving.index.asked.index("set_live") == 1 + OVERTAKEN


def test_a_large_upsert_travels_in_calls_of_64(serving: Serving, client: SocketIndex) -> None:
    client.upsert("t", [Selection("d")] * 150)  # type: ignore[list-item]  # the wire does not look
    assert serving.index.asked == ["upsert 64", "upsert 64", "upsert 22"]


def test_a_long_document_is_set_live_in_portions(serving: Serving, client: SocketIndex) -> None:
    client.set_live("t", Selection("long"))
    assert serving.index.asked == ["set_live"] * 4


def test_pages_follow_each_other_until_there_is_no_more(serving: Serving, client: SocketIndex) -> None:
    assert list(client.scroll()) == []
    assert serving.index.asked == ["page None", "page one", "page two"]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_search_runs_while_its_caller_does_something_else(serving: Serving, client: SocketIndex) -> None:
    with client.searching(SCOPE, ARMS, limit=1) as answer:
        until(lambda: serving.index.asked == ["search"])
        assert client.count("t", Selection("fine")) == 3
        assert answer() == [[Candidate("p", 0.5, "d", 1, 2)]]


def test_the_answer_of_a_search_that_was_let_go_is_nobody_elses(serving: Serving, client: SocketIndex) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), client.searching(SCOPE, ARMS, limit=1):
            raise ZeroDivisionError
        assert client.count("t", Selection("fine")) == 3
        assert client.search(SCOPE, ARMS * 2, limit=1) == [[Candidate("p", 0.5, "d", 1, 2)]] * 2


def test_a_search_under_way_outlives_the_end_of_a_kept_connection(tmp_path: Path) -> None:
    address = str(tmp_path / "index.sock")
    first = Serving(RecordingIndex(), address)
    client = SocketIndex(address)
    assert client.health() == {"points": 1}
    first.stop()
    assert first.ended()
    second = Serving(RecordingIndex(), address)
    with client.searching(SCOPE, ARMS, limit=1) as answer:
        assert answer() == [[Candidate("p", 0.5, "d", 1, 2)]]
    client.close()
    second.stop()
    assert second.ended()


# --- when it writes to disk


def test_writes_are_flushed_once_nobody_asks_for_a_while(serving: Serving, client: SocketIndex) -> None:
    client.set_live("t", Selection("d"))
    client.set_live("t", Selection("d"))
    assert "flush" not in serving.index.asked
    time.sleep(FLUSH_AFTER_S * 4)
    assert serving.index.asked == ["set_live", "set_live", "flush"]


def test_reading_needs_no_flush(serving: Serving, client: SocketIndex) -> None:
    client.search(SCOPE, ARMS, limit=1)
    time.sleep(FLUSH_AFTER_S * 3)
    assert serving.index.asked == ["search"]


def test_a_stop_finishes_what_was_received_and_flushes(serving: Serving, client: SocketIndex) -> None:
    thread = in_thread(client.delete, "t", Selection("d"))
    assert serving.index.running.wait(5)
    second = in_thread(client.set_live, "t", Selection("d"))
    wait_for_requests()
    serving.stop()
    serving.index.go_on.set()
    thread.join(5)
    second.join(5)
    assert serving.ended()
    assert serving.index.asked == ["delete", "set_live", "flush"]
    assert not Path(serving.address).exists()


# --- what goes wrong


def test_errors_cross_the_wire_as_what_they_are(client: SocketIndex) -> None:
    with pytest.raises(IndexUnavailable, match="the disk is gone"):
        client.count("t", Selection("unavailable"))
    with pytest.raises(ValueError, match="no such thing"):
        client.count("t", Selection("invalid"))
    with pytest.raises(IndexUnavailable, match="KeyError in count"):
        client.count("t", Selection("bug"))
    assert client.count("t", Selection("fine")) == 3


GARBAGE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    struct.pack(">I", MAX_FRAME + 1),
    struct.pack(">I", 3) + b"\xc1\xc1\xc1",
    struct.pack(">I", 5) + b"\xdd\xff\xff\xff\xff",
    struct.pack(">I", 0),
    encode(["delete_some"]),
    encode(["close", {}]),
    encode(["__class__", {}]),
    encode([["count"], {"tenant": "t"}]),
    struct.pack(">I", 4) + msgpack.packb(msgpack.ExtType(77, b"")),
    struct.pack(">I", 4) + msgpack.packb(msgpack.ExtType(0, b"\xc0")),
]


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("begin", [raw, greeted])
def test_garbage_ends_its_connection_and_nothing_else(
    serving: Serving, client: SocketIndex, begin: Any, garbage: bytes
) -> None:
    with begin(serving.address) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    assert client.count("t", Selection("fine")) == 3


def test_arguments_a_method_does_not_take_are_said_to_be_a_bug(serving: Serving) -> None:
    with greeted(serving.address) as connection:
        connection.sendall(encode(["count", {"nonsense": 1}]))
        assert receive(connection) == ("bug", "TypeError in count")
        connection.sendall(encode(["count", {"tenant": "t", "where": Selection("d")}]))
        assert receive(connection) == ("ok", 3)


def test_a_client_of_another_version_is_told_ours_and_hung_up_on(serving: Serving) -> None:
    connection = raw(serving.address)
    connection.sendall(encode(["ragstone-index", 0]))
    assert receive(connection) == HELLO
    assert hung_up(connection)


def test_a_server_of_another_version_is_unavailable(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "other.sock"))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                receive(connection)
                connection.sendall(encode(["ragstone-index", 99]))

        thread = in_thread(answer)
        with pytest.raises(IndexUnavailable, match="another version"):
            SocketIndex(str(tmp_path / "other.sock")).health()
        thread.join(5)


def test_a_server_that_does_not_answer_is_unavailable_in_time(serving: Serving) -> None:
    client = SocketIndex(serving.address, timeout_s=0.3)
    began = time.monotonic()
    with pytest.raises(IndexUnavailable, match="in time"):
        client.delete("t", Selection("d"))
    assert time.monotonic() - began < 3
    serving.index.go_on.set()
    assert client.count("t", Selection("fine")) == 3  # and not the late reply of the delete
    client.close()


def test_nobody_there_is_unavailable_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    for address in (str(tmp_path / "nothing.sock"), "127.0.0.1:1"):
        with pytest.raises(IndexUnavailable, match="cannot be reached"):
            SocketIndex(address).health()
    assert time.monotonic() - began < 1


def test_a_closed_client_is_unavailable(client: SocketIndex) -> None:
    client.close()
    with pytest.raises(IndexUnavailable):
        client.health()


# --- addresses


def test_a_unix_socket_is_for_its_user_alone(serving: Serving) -> None:
    assert stat.S_IMODE(Path(serving.address).stat().st_mode) == 0o600


def test_a_stale_socket_is_replaced_and_a_living_one_is_not(serving: Serving, tmp_path: Path) -> None:
    stale = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(stale))
    second = Serving(RecordingIndex(), str(stale))
    second.stop()
    assert second.ended()
    with pytest.raises(IndexUnavailable, match="Another index process"):
        serve(RecordingIndex(), serving.address, stop=threading.Event())


def test_it_serves_a_port_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    serving = Serving(RecordingIndex(), address)
    client = SocketIndex(address)
    assert client.search(SCOPE, ARMS, limit=1) == [[Candidate("p", 0.5, "d", 1, 2)]]
    client.close()
    serving.stop()
    assert serving.ended()


def test_an_address_is_a_port_or_a_path() -> None:
    assert parse_address("127.0.0.1:7000") == ("127.0.0.1", 7000)
    assert parse_address("[::1]:7000") == ("::1", 7000)
    assert parse_address("index:7000") == ("index", 7000)
    assert parse_address("/run/index.sock") == Path("/run/index.sock")
    assert parse_address("/run/odd:7000") == Path("/run/odd:7000")
    assert parse_address("index.sock") == Path("index.sock")
