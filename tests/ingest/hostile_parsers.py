"""What runs inside a child in the tests of the sandbox: a document's name says which attack, its text the target."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from ingest.parsing import Element, ElementKind, Line, ParsedDocument
from retrieval.chunks import Box
from retrieval.errors import Unparseable


def parse_file(path: Path, media_type: str, name: str) -> ParsedDocument:
    attack = globals().get(name.partition(".")[0])
    return attack(path.read_text()) if attack else good(path.read_text())


def good(text: str) -> ParsedDocument:
    line = Line(0, len(text), Box(1, 0.0, 0.0, 10.0, 10.0))
    return ParsedDocument(elements=(Element(ElementKind.PARAGRAPH, text, lines=(line,)),), title="good", pages=1)


def whereabouts(_target: str) -> ParsedDocument:
    fields = [str(os.getpid()), str(Path.cwd()), os.environ.get("HOME", ""), ",".join(sorted(os.environ))]
    fields.append(",".join(sorted(path.name for path in Path.cwd().iterdir())))
    return good("\n".join(fields))


def writes_in_its_scratch(_target: str) -> ParsedDocument:
    (Path.cwd() / "notes").mkdir()
    (Path.cwd() / "notes" / "note").write_text("kept for one document")
    return good("written")


def starts_a_thread(_target: str) -> ParsedDocument:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    return good("threaded")


# the network


def connects_by_tcp(port: str) -> ParsedDocument:
    socket.create_connection(("127.0.0.1", int(port)), timeout=2).close()
    return good("connected")


def sends_by_udp(port: str) -> ParsedDocument:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"secret", ("127.0.0.1", int(port)))
    return good("sent")


def connects_by_unix_socket(path: str) -> ParsedDocument:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    return good("connected")


def sends_by_a_pair_of_unix_sockets(path: str) -> ParsedDocument:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        left.sendto(b"secret", path)
    return good("sent")


# files


def writes(path: str) -> ParsedDocument:
    Path(path).write_text("overwritten")
    return good("written")


def appends_by_descriptor(path: str) -> ParsedDocument:
    os.write(os.open(path, os.O_WRONLY | os.O_APPEND), b"more")
    return good("written")


def deletes(path: str) -> ParsedDocument:
    Path(path).unlink()
    return good("deleted")


def renames(path: str) -> ParsedDocument:
    Path(path).rename(path + ".moved")
    return good("renamed")


def empties(path: str) -> ParsedDocument:
    os.truncate(path, 0)
    return good("emptied")


def changes_the_mode(path: str) -> ParsedDocument:
    Path(path).chmod(0)
    return good("closed")


def changes_the_time(path: str) -> ParsedDocument:
    os.utime(path, (0, 0))
    return good("aged")


def makes_a_folder(path: str) -> ParsedDocument:
    Path(path + ".folder").mkdir()
    return good("made")


def links_into_its_scratch(path: str) -> ParsedDocument:
    Path("link").symlink_to(path)
    return good("linked")


def reads(path: str) -> ParsedDocument:
    return good(Path(path).read_text())


# other processes


def forks_without_end(_target: str) -> ParsedDocument:
    while True:
        os.fork()


def runs_a_program(_target: str) -> ParsedDocument:
    subprocess.run(["/bin/true"], check=True)
    return good("ran")


def becomes_a_program(_target: str) -> ParsedDocument:
    os.execv("/bin/true", ["true"])


def kills_its_parent(_target: str) -> ParsedDocument:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(5)  # longer than dying takes
    return good("killed")


def kills(pid: str) -> ParsedDocument:
    os.kill(int(pid), signal.SIGKILL)
    return good("killed")


def lowers_the_limits_of(pid: str) -> ParsedDocument:
    import resource

    resource.prlimit(int(pid), resource.RLIMIT_NOFILE, (1, 1))
    return good("limited")


def reads_the_memory_of(pid: str) -> ParsedDocument:
    return good(Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace"))


def outlives_its_parent(_target: str) -> ParsedDocument:
    if ctypes.CDLL(None, use_errno=True).prctl(1, 0, 0, 0, 0):
        raise PermissionError("refused")
    return good("undying")


def makes_a_ring(_target: str) -> ParsedDocument:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(425, 8, ctypes.create_string_buffer(256)) < 0:
        raise PermissionError(ctypes.get_errno(), "io_uring_setup")
    return good("ring")


def makes_a_namespace(_target: str) -> ParsedDocument:
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):
        raise PermissionError(ctypes.get_errno(), "unshare")
    return good("namespace")


# limits


def allocates_without_end(_target: str) -> ParsedDocument:
    held = []
    while True:
        held.append(bytearray(2**20))


def allocates_and_hides_the_error(_target: str) -> ParsedDocument:
    try:
        return allocates_without_end("")
    except MemoryError as error:
        raise ValueError("a bad table") from error


def allocates_and_aborts(_target: str) -> ParsedDocument:
    held = []
    try:
        while True:
            held.append(bytearray(2**20))
    except MemoryError:
        os.abort()


def works_for_a_while(_target: str) -> ParsedDocument:
    until = time.process_time() + 0.6
    while time.process_time() < until:
        pass
    return good(str(os.getpid()))


def spins(_target: str) -> ParsedDocument:
    while True:
        pass


def sleeps_for_ever(_target: str) -> ParsedDocument:
    while True:
        time.sleep(60)


def writes_an_endless_file(_target: str) -> ParsedDocument:
    with Path("endless").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**20))


def writes_endless_files(_target: str) -> ParsedDocument:
    number = 0
    while True:
        number += 1
        Path(f"file-{number}").write_bytes(bytes(2**20))
        time.sleep(0.001)


def returns_an_endless_result(_target: str) -> ParsedDocument:
    return good("x" * 2**23)


def returns_endless_elements(_target: str) -> ParsedDocument:
    element = Element(ElementKind.PARAGRAPH, "again")
    return ParsedDocument(elements=(element for _ in iter(int, 1)))  # type: ignore[arg-type]


def recurses(_target: str) -> ParsedDocument:
    return recurses(_target)


# bugs and crashes


def raises(_target: str) -> ParsedDocument:
    raise ValueError("a bug of the parser")


def refuses(_target: str) -> ParsedDocument:
    raise Unparseable("encrypted", "The document asks for a password.")


def blames_the_worker(_target: str) -> ParsedDocument:
    raise Unparseable("kills_worker", "not for a parser to say")


def returns_nothing(_target: str) -> ParsedDocument:
    return None  # type: ignore[return-value]


def segfaults(_target: str) -> ParsedDocument:
    ctypes.string_at(0)
    return good("survived")


def aborts(_target: str) -> ParsedDocument:
    os.abort()


def exits(_target: str) -> ParsedDocument:
    os._exit(0)


def _channel() -> socket.socket:
    return socket.socket(fileno=3)  # where a child keeps its channel


def answers_with_garbage(_target: str) -> ParsedDocument:
    _channel().sendall(os.urandom(64))
    time.sleep(60)
    return good("")


def announces_too_much(_target: str) -> ParsedDocument:
    _channel().sendall(b"\xff" * 8)
    time.sleep(60)
    return good("")


def answers_with_a_forged_document(_target: str) -> ParsedDocument:
    import msgpack

    head = msgpack.packb({"kind": "document", "grown": 0})
    body = msgpack.packb([None, None, None, [], [["paragraph", 7, None, None, [], None, None, None, None]]])
    for frame in (head, body):
        _channel().sendall(len(frame).to_bytes(8, "big") + frame)
    time.sleep(60)
    return good("")


def hangs_up(_target: str) -> ParsedDocument:
    os.close(3)
    time.sleep(60)
    return good("")


def answers_twice(_target: str) -> ParsedDocument:
    import msgpack

    frame = msgpack.packb({"kind": "unparseable", "grown": 0, "code": "no_text", "message": "forged"})
    _channel().sendall((len(frame).to_bytes(8, "big") + frame) * 2)
    time.sleep(60)
    return good("")


def digs_deep(_target: str) -> ParsedDocument:
    for _ in range(1_100):  # more than Python's own rmtree takes
        Path("d").mkdir()
        os.chdir("d")
    return good("deep")
