"""The data folder: private, of one version, and of one installation at a time."""

from __future__ import annotations

import shutil
import socket
import stat
import threading
import time
from pathlib import Path

import pytest

from retrieval.errors import Conflict
from services.layout import LAYOUT_VERSION, DataLock, Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "deep" / "data")
    made.prepare()
    return made


def test_a_new_folder_is_private_to_its_user(layout: Layout) -> None:
    for folder in (layout.data, layout.run, layout.spool, layout.scratch):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_preparing_again_changes_nothing(layout: Layout) -> None:
    (layout.spool / "file").write_text("x")
    layout.prepare()
    assert (layout.spool / "file").read_text() == "x"
    assert (layout.data / "layout-version").read_text() == f"{LAYOUT_VERSION}\n"


def test_a_folder_of_a_newer_version_is_refused_with_the_remedy(layout: Layout) -> None:
    (layout.data / "layout-version").write_text(f"{LAYOUT_VERSION + 1}\n")
    with pytest.raises(Conflict) as refused:
        layout.prepare()
    assert f"layout {LAYOUT_VERSION + 1}" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert (layout.data / "layout-version").read_text() == f"{LAYOUT_VERSION + 1}\n"


def test_everything_is_inside_the_folder(layout: Layout) -> None:
    places = [layout.index, layout.blobs, layout.doorbell, layout.index_socket, layout.last_query, layout.sandbox_level]
    assert all(place.is_relative_to(layout.data) for place in places)
    assert layout.catalogue_url.startswith("sqlite:////")


def test_a_secret_is_made_once_and_private(layout: Layout) -> None:
    secret = layout.secret(None)
    assert (len(secret), layout.secret(None)) == (64, secret)
    assert stat.S_IMODE((layout.data / "secret").stat().st_mode) == 0o600


def test_a_given_secret_is_used(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("given\n")
    assert layout.secret(tmp_path / "given") == b"given"
    assert not (layout.data / "secret").exists()


def test_a_folder_in_use_is_refused_after_the_wait_and_free_after_its_release(layout: Layout) -> None:
    lock = DataLock(layout, wait_s=0)
    started = time.monotonic()
    with pytest.raises(Conflict, match="RAGSTONE_DATA"):
        DataLock(layout, wait_s=0.2)
    assert time.monotonic() - started >= 0.2
    threading.Timer(0.1, lock.release).start()
    DataLock(layout, wait_s=10).release()


def test_locks_that_are_shared_go_together_and_with_no_other(layout: Layout) -> None:
    first, second = DataLock(layout, wait_s=0, shared=True), DataLock(layout, wait_s=0, shared=True)
    first.release()
    with pytest.raises(Conflict, match="RAGSTONE_DATA"):
        DataLock(layout, wait_s=0)
    second.release()
    alone = DataLock(layout, wait_s=0)
    with pytest.raises(Conflict, match="RAGSTONE_DATA"):
        DataLock(layout, wait_s=0, shared=True)
    alone.release()
    DataLock(layout, wait_s=0, shared=True).release()


def test_whoever_would_be_alone_waits_for_the_last_of_those_who_share(layout: Layout) -> None:
    sharing = [DataLock(layout, wait_s=0, shared=True) for _ in range(2)]
    for n, lock in enumerate(sharing):
        threading.Timer(0.1 * (n + 1), lock.release).start()
    started = time.monotonic()
    DataLock(layout, wait_s=10).release()
    assert time.monotonic() - started >= 0.19


def test_sockets_of_a_data_folder_with_a_long_path_are_where_the_kernel_takes_them(tmp_path: Path) -> None:
    layout = Layout(tmp_path / ("long" * 30) / "data")
    layout.prepare()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(layout.index_socket))
    assert layout.index_socket.parent.stat().st_mode & 0o777 == 0o700
    assert Layout(tmp_path / "data").index_socket.parent == (tmp_path / "data" / "run").resolve()
    shutil.rmtree(layout.index_socket.parent)
