"""Namespaces: a world of our own without network, without other processes, and with one writable folder.

Entered in two steps. The zygote leaves the machine's world once; each child then makes its scratch folder writable
for itself alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from ingest import linux_calls
from ingest.linux_calls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
)

DEVICES = (Path("/dev/null"), Path("/dev/zero"), Path("/dev/random"), Path("/dev/urandom"))


def enter(*, writable: Path, in_outer: Callable[[], None]) -> None:
    """Moves the caller into new namespaces, where it is process 1 and everything it starts dies with it.

    A pid namespace begins with a child, so the process that called stays outside, does `in_outer` and waits; only its
    child returns. No network interface is up, every mount but `writable` is read-only, /proc shows the namespace's own
    processes where the machine lets us mount one. Must run before any thread is started. Raises OSError.
    """
    user, group = os.geteuid(), os.getegid()
    parent = os.getppid()
    linux_calls.unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWPID)
    linux_calls.die_with_parent(parent)  # the change of credentials cleared it
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    inner = os.fork()
    if inner:
        in_outer()
        _, status = os.waitpid(inner, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    linux_calls.die_with_parent(None)
    _make_everything_read_only()
    _make_writable(writable)


def close_writable(folder: Path) -> None:
    """Makes the folder that `enter` left writable read-only, here and for every process started from now on."""
    linux_calls.mount_setattr(folder, set_flags=MOUNT_ATTR_RDONLY)


def open_scratch(scratch: Path) -> None:
    """Makes `scratch` writable for this process, in a mount namespace of its own."""
    linux_calls.unshare(CLONE_NEWNS)
    _make_writable(scratch)


def _make_writable(folder: Path) -> None:
    linux_calls.mount(str(folder), folder, None, MS_BIND)
    linux_calls.mount_setattr(folder, clear_flags=MOUNT_ATTR_RDONLY)
    if Path.cwd() == folder:
        os.chdir(folder)  # from the mount underneath into the new one


def _make_everything_read_only() -> None:
    linux_calls.mount("none", "/", None, MS_REC | MS_PRIVATE)
    devices = [device for device in DEVICES if device.exists()]
    for device in devices:
        linux_calls.mount(str(device), device, None, MS_BIND)
    with contextlib.suppress(OSError):
        # Refused where a container covers parts of its /proc. The old one then stays: it lists the machine's
        # processes, but a process of another user namespace may not look into them.
        linux_calls.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    everything = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
    linux_calls.mount_setattr("/", set_flags=everything, recursive=True)
    for device in devices:
        linux_calls.mount_setattr(device, clear_flags=MOUNT_ATTR_NODEV)
