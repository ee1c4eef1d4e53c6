"""Landlock: what a process, by its own wish, can no longer open (Documentation/userspace-api/landlock.rst)."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path

from ingest import linux_calls

# Version 3 (Linux 6.2) is the first that sees truncation; with less, a file outside could be emptied.
NEEDED_VERSION = 3

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REG, _REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 7, 1 << 8, 1 << 13, 1 << 14, 1 << 15
_EVERY_RIGHT = (1 << 15) - 1  # of version 3
_IOCTL_VERSION, _NETWORK_VERSION, _SCOPE_VERSION = 5, 4, 6
_BIND_AND_CONNECT, _ABSTRACT_SOCKETS_AND_SIGNALS = 3, 3

READ = _READ_FILE | _READ_DIR
WRITE = READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_FILE_RIGHTS = _READ_FILE | _WRITE_FILE | _TRUNCATE


def version() -> int:
    """The kernel's Landlock version, 0 without Landlock."""
    if not linux_calls.IS_LINUX:
        return 0
    try:
        return linux_calls.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def restrict(*, read: Iterable[Path], write: Iterable[Path]) -> None:
    """From now on this process reads only beneath `read` and `write`, and writes only beneath `write`.

    Where the kernel can, it also connects nowhere and signals nobody outside. A path that does not exist is passed
    over. Needs PR_SET_NO_NEW_PRIVS. Raises OSError without `NEEDED_VERSION`.
    """
    known = version()
    if known < NEEDED_VERSION:
        raise OSError(f"Landlock version {known} is older than {NEEDED_VERSION}")
    files = _EVERY_RIGHT | (_IOCTL_DEVICE if known >= _IOCTL_VERSION else 0)
    network = _BIND_AND_CONNECT if known >= _NETWORK_VERSION else 0
    scoped = _ABSTRACT_SOCKETS_AND_SIGNALS if known >= _SCOPE_VERSION else 0
    attributes = struct.pack("QQQ", files, network, scoped)
    size = 24 if scoped else 16 if network else 8  # older kernels know a shorter struct
    ruleset = linux_calls.syscall(_CREATE_RULESET, attributes, size, 0)
    try:
        for path in read:
            _allow(ruleset, path, READ)
        for path in write:
            _allow(ruleset, path, WRITE)
        linux_calls.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights &= ~0 if path.is_dir() else _FILE_RIGHTS
        linux_calls.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, beneath), 0)
    finally:
        os.close(beneath)
