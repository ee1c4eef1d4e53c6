"""The Linux calls the sandbox needs and Python 3.11 lacks, by number and by libc. Each raises OSError as os.* does."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import sys
from pathlib import Path

IS_LINUX = sys.platform == "linux"

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4

_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_SYS_MOUNT_SETATTR = 442  # the same on every architecture, as all calls since 424
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def syscall(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """A raw system call; integers travel as C longs, bytes and buffers as pointers."""
    _libc.syscall.restype = ctypes.c_long
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *converted))


def prctl(option: int, value: int | ctypes.Array[ctypes.c_char], extra: int | ctypes.Array[ctypes.c_char] = 0) -> None:
    arguments = [ctypes.c_ulong(item) if isinstance(item, int) else item for item in (value, extra)]
    _checked(_libc.prctl(ctypes.c_int(option), *arguments, ctypes.c_ulong(0), ctypes.c_ulong(0)))


def unshare(flags: int) -> None:
    _checked(_libc.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str | Path, kind: str | None, flags: int) -> None:
    name = kind.encode() if kind else None
    _checked(_libc.mount(source.encode(), os.fsencode(target), name, ctypes.c_ulong(flags), None))


def mount_setattr(target: str | Path, *, set_flags: int = 0, clear_flags: int = 0, recursive: bool = False) -> None:
    """Linux 5.12. Unlike a remount it keeps the flags of each mount that it does not name."""
    attributes = struct.pack("QQQQ", set_flags, clear_flags, 0, 0)
    syscall(
        _SYS_MOUNT_SETATTR,
        _AT_FDCWD,
        os.fsencode(target),
        _AT_RECURSIVE if recursive else 0,
        attributes,
        len(attributes),
    )


def drop_capabilities() -> None:
    """Whatever root could do beyond what its files' modes allow, it can no longer."""
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    syscall(_SYS_CAPSET[platform.machine()], header, struct.pack("6I", 0, 0, 0, 0, 0, 0))


def die_with_parent(parent: int | None) -> None:
    """SIGKILL for this process when the thread that started it ends; at once when that happened already.

    `parent` is the pid to expect, None where it is outside our pid namespace. Elsewhere than on Linux nothing is
    done: there the closed channel is the only sign.
    """
    if IS_LINUX:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
