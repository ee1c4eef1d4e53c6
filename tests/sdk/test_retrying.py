"""What is tried again, how often, after how long, and what is not: against a server that fails as it is told."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
import time

import pytest

from ragstone import AsyncClient, Client, Retrying
from ragstone.errors import (
    ApiError,
    Conflict,
    NotConnected,
    ServerError,
    TimedOut,
    Unavailable,
    UnexpectedReply,
)
from ragstone.models import Problem
from tests.sdk.scripted_server import DOCUMENT, HITS, Reply, ScriptedServer, problem

QUICK = Retrying(attempts=4, first_s=0.01, longest_s=2.0)
BUSY = Reply(503, problem(503, "overloaded", retryable=True), {"Retry-After": "0"})
FOUND = Reply(200, HITS)


def searched(scripted: ScriptedServer, retrying: Retrying = QUICK) -> int:
    """How often it was asked until a search was answered."""
    with Client(scripted.url, retrying=retrying) as client:
        assert client.search("anything").hits == []
    return len(scripted.asked)


def test_a_busy_server_is_asked_again(scripted: ScriptedServer) -> None:
    scripted.replies = [BUSY, BUSY, FOUND]
    assert searched(scripted) == 3


def test_an_event_loop_asks_again_too(scripted: ScriptedServer) -> None:
    scripted.replies = [BUSY, Reply(hang_up=True), FOUND]

    async def search() -> None:
        async with AsyncClient(scripted.url, retrying=QUICK) as client:
            assert (await client.search("anything")).hits == []

    asyncio.run(search())
    assert len(scripted.asked) == 3


def test_it_gives_up_with_what_the_server_said(scripted: ScriptedServer) -> None:
    scripted.replies = [BUSY]
    with Client(scripted.url, retrying=QUICK) as client, pytest.raises(Unavailable, match="overloaded") as raised:
        client.search("anything")
    assert len(scripted.asked) == QUICK.attempts
    assert (raised.value.problem.request_id, raised.value.retry_after_s) == ("r-1", 0.0)


def test_one_attempt_means_never_again(scripted: ScriptedServer) -> None:
    scripted.replies = [BUSY, FOUND]
    with Client(scripted.url, retrying=Retrying(attempts=1)) as client, pytest.raises(Unavailable):
        client.search("anything")
    assert len(scripted.asked) == 1


def test_retry_after_is_waited_for(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(429, problem(429, "rate_limited"), {"Retry-After": "1"}), FOUND]
    assert searched(scripted) == 2
    first, second = scripted.asked
    assert 0.9 < second.at - first.at < 5


def test_a_server_that_wants_to_be_left_alone_for_long_is_not_waited_for(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(503, problem(503, "overloaded", retryable=True), {"Retry-After": "3600"}), FOUND]
    with Client(scripted.url, retrying=QUICK) as client, pytest.raises(Unavailable) as raised:
        client.search("anything")
    assert len(scripted.asked) == 1
    assert raised.value.retry_after_s == 3600


def test_what_is_refused_is_not_asked_again(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(409, problem(409, "conflict")), FOUND]
    with Client(scripted.url, retrying=QUICK) as client, pytest.raises(Conflict):
        client.search("anything")
    assert len(scripted.asked) == 1


def test_a_lost_reply_is_asked_for_again_where_that_does_no_harm(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(hang_up=True), FOUND]
    assert searched(scripted) == 2


def test_a_lost_reply_is_not_asked_for_again_where_it_would_be_done_twice(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(hang_up=True)]
    with Client(scripted.url, retrying=QUICK) as client, pytest.raises(NotConnected):
        client.keys.create("laptop", scopes=["search"])
    assert len(scripted.asked) == 1


def test_work_is_sent_again_under_the_name_that_it_had(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(hang_up=True), Reply(202, DOCUMENT)]
    with Client(scripted.url, retrying=QUICK) as client:
        client.documents.upload("notes", b"a text", name="a.txt")
        client.documents.upload("notes", b"a text", name="a.txt")
        client.documents.reprocess("d1")
    names = [asked.headers["Idempotency-Key"] for asked in scripted.asked]
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_what_the_server_is_still_at_is_asked_for_again(scripted: ScriptedServer) -> None:
    running = Reply(409, problem(409, "request_running", retryable=True), {"Retry-After": "0"})
    scripted.replies = [running, Reply(202, DOCUMENT)]
    with Client(scripted.url, retrying=QUICK) as client:
        assert client.documents.reprocess("d1").id == "d1"


def test_a_failure_of_the_server_is_only_tried_again_where_that_does_no_harm(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(500, problem(500, "internal", retryable=True)), FOUND]
    assert searched(scripted) == 2
    scripted.replies = [Reply(500, problem(500, "internal", retryable=True))]
    scripted.asked.clear()
    with Client(scripted.url, retrying=QUICK) as client, pytest.raises(ServerError):
        client.keys.rotate("k1")
    assert len(scripted.asked) == 1


def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    came: list[bytes] = []

    def come_late() -> None:
        time.sleep(0.3)
        with socket.create_server(("127.0.0.1", port)) as late:
            connection, _ = late.accept()
            with connection:
                came.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    late = threading.Thread(target=come_late)
    late.start()
    with Client(f"http://127.0.0.1:{port}", retrying=Retrying(attempts=8, first_s=0.1, longest_s=1.0)) as client:
        client.dead_letters.drop("d1")  # nothing was sent before, so that it may be sent again
    late.join()
    assert came[0].startswith(b"DELETE /v1/dead-letters/d1 ")


def test_a_server_that_is_never_there_is_told_with_its_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Client(url, retrying=QUICK) as client, pytest.raises(NotConnected, match=f"{url} cannot be reached"):
        client.search("anything")


def test_a_slow_answer_is_a_time_out_and_not_asked_for_again(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(200, HITS, after_s=1.0)]
    with Client(scripted.url, timeout_s=0.2, retrying=QUICK) as client, pytest.raises(TimedOut, match=r"0\.2 seconds"):
        client.search("anything")
    assert len(scripted.asked) == 1


def test_waiting_for_a_document_is_not_cut_off_by_the_time_out(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(200, DOCUMENT | {"state": "searchable"}, after_s=0.6)]
    with Client(scripted.url, timeout_s=0.3, retrying=QUICK) as client:
        assert client.documents.wait("d1", timeout_s=5).state == "searchable"


def test_waiting_ends(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(200, DOCUMENT, after_s=0.05)]
    with Client(scripted.url) as client, pytest.raises(TimeoutError, match=r"d1 .* within 0\.3 seconds"):
        client.documents.wait("d1", timeout_s=0.3)


def test_a_file_is_sent_whole_each_time(scripted: ScriptedServer) -> None:
    scripted.replies = [BUSY, Reply(202, DOCUMENT)]
    with Client(scripted.url, retrying=QUICK) as client:
        client.documents.upload("notes", io.BytesIO(b"all of it"), name="a.txt")
    assert [b"all of it" in asked.body for asked in scripted.asked] == [True, True]


class Pipe(io.RawIOBase):
    """What can be read once."""

    def __init__(self, data: bytes) -> None:
        self._left = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)


def test_what_can_be_read_once_is_sent_once(scripted: ScriptedServer) -> None:
    scripted.replies = [BUSY, Reply(202, DOCUMENT)]
    with Client(scripted.url, retrying=QUICK) as client, pytest.raises(Unavailable):
        client.documents.upload("notes", Pipe(b"once"), name="a.txt")
    assert len(scripted.asked) == 1


def test_an_error_that_a_proxy_wrote_is_told_as_it_came(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(403, b"<h1>not through here</h1>")]
    with Client(scripted.url, retrying=QUICK) as client, pytest.raises(ApiError, match="not through here") as raised:
        client.search("anything")
    assert (raised.value.problem.status, raised.value.problem.code) == (403, "unknown")


def test_another_server_at_the_address_is_noticed(scripted: ScriptedServer) -> None:
    scripted.replies = [Reply(200, b"<h1>It works!</h1>")]
    with Client(scripted.url, retrying=QUICK) as client, pytest.raises(UnexpectedReply, match="not this API"):
        client.search("anything")


def test_an_address_and_a_key_that_can_be_none_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="begins with http"):
        Client("127.0.0.1:8080")
    with pytest.raises(ValueError, match="line break"):
        Client(key="abc\n")


def test_rests_grow_are_jittered_and_bounded() -> None:
    retrying = Retrying(attempts=100, first_s=1.0, longest_s=8.0)
    error = Unavailable(Problem.model_validate(problem(503, "overloaded", retryable=True)))
    rests = [[retrying.rest_s(failed, error, repeatable=True) or 0.0 for _ in range(50)] for failed in (1, 2, 3, 9)]
    for longest, some in zip((1.0, 2.0, 4.0, 8.0), rests, strict=True):
        assert all(longest / 2 <= rest <= longest for rest in some)
        assert len(set(some)) > 10
