"""The system calls a parser child is refused, as a seccomp BPF program.

A list of what is refused, not of what is allowed: parsers are large, and what they may touch is settled by Landlock,
mounts and limits. Refused is what reaches another process, the network, or a file's attributes (which Landlock does
not see). Calls newer than this list do not exist for the child. Numbers are those of the kernel's tables
(arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ingest import linux_calls

NEWEST_CALL = 469  # file_setattr, Linux 6.17: anything above answers ENOSYS, as on an older kernel

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}

# (x86_64, aarch64); None where the architecture has no such call.
_REFUSED: Mapping[str, tuple[int | None, int | None]] = {
    # the network: even a pair of datagram sockets could send to another's address
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242),
    # new processes and programs; clone is looked at below
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "process_mrelease": (448, 448),
    "kcmp": (312, 272), "migrate_pages": (256, 238), "move_pages": (279, 239), "setpriority": (141, 140),
    "ioprio_set": (251, 30), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    # shared memory and queues of System V and POSIX
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193),
    "semctl": (66, 191), "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188),
    "msgctl": (71, 187), "mq_open": (240, 180), "mq_unlink": (241, 181),
    # mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "setns": (308, 268),
    "unshare": (272, 97), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    # wide doors into the kernel
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "personality": (135, 92), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "fanotify_init": (300, 262),
    # a file's attributes, links and nodes: Landlock has no right for most of these
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "setxattrat": (463, 463), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "fremovexattr": (199, 16), "removexattrat": (466, 466), "file_setattr": (469, 469), "utime": (132, None),
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88), "symlink": (88, None),
    "symlinkat": (266, 36), "mknod": (133, None), "mknodat": (259, 33), "truncate": (76, 45),
}  # fmt: skip

# Where nothing else guards the files, nothing may be written or locked at all.
_REFUSED_READ_ONLY: Mapping[str, tuple[int | None, int | None]] = {
    "creat": (85, None), "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276), "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None), "link": (86, None),
    "linkat": (265, 37), "flock": (73, 32),
}  # fmt: skip

_CLONE3 = (435, 435)  # its flags lie in memory, where a filter cannot look; libc falls back to clone
_OPENAT2 = (437, 437)  # the same
_OPEN, _OPENAT = (2, None), (257, 56)
_CLONE, _KILL, _TGKILL = (56, 220), (62, 129), (234, 131)
_PRCTL, _FCNTL, _IOCTL, _PRLIMIT64, _SCHED_SETAFFINITY = (157, 167), (72, 25), (16, 29), (302, 261), (203, 122)

_CLONE_THREAD = 0x00010000
_F_SETLK, _F_SETLKW, _F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_OFD_SETLK, _F_OFD_SETLKW = 6, 7, 8, 10, 15, 37, 38
_OWNER_IOCTLS = (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP: make the kernel send signals for us
_OTHER_IOCTLS = (0x5412, 0x40086602)  # TIOCSTI types into a terminal; FS_IOC_SETFLAGS changes a file's attributes
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_LOAD, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


@dataclass(frozen=True, slots=True)
class _Rule:
    """On one call, look at the low half of one argument; `equal` tests values, otherwise any bit of the one value."""

    call: tuple[int | None, int | None]
    argument: int
    values: tuple[int, ...]
    equal: bool
    then_allow: bool
    error: int = errno.EPERM

    def program(self, number: int) -> bytes:
        matched, missed = (_ALLOW, _ERRNO | self.error) if self.then_allow else (_ERRNO | self.error, _ALLOW)
        test = _JUMP_EQUAL if self.equal else _JUMP_BITS
        body = _instruction(_LOAD, 16 + 8 * self.argument)
        for value in self.values:
            body += _instruction(test, value, 0, 1) + _instruction(_RETURN, matched)
        body += _instruction(_RETURN, missed)
        return _instruction(_JUMP_EQUAL, number, 0, len(body) // 8) + body


def build(*, pid: int, read_only: bool) -> bytes:
    """The program for a child of this pid. `read_only` also refuses to open, make or remove any file for writing."""
    machine = platform.machine()
    column = _COLUMN[machine]
    refused = {**_REFUSED, **_REFUSED_READ_ONLY} if read_only else _REFUSED
    program = _instruction(_LOAD, 4)
    program += _instruction(_JUMP_EQUAL, _AUDIT_ARCH[machine], 1, 0) + _instruction(_RETURN, _KILL_PROCESS)
    program += _instruction(_LOAD, 0)
    program += _instruction(_JUMP_GREATER, NEWEST_CALL, 0, 1) + _instruction(_RETURN, _ERRNO | errno.ENOSYS)
    for number in _present([_CLONE3, *([_OPENAT2] if read_only else [])], column):
        program += _instruction(_JUMP_EQUAL, number, 0, 1) + _instruction(_RETURN, _ERRNO | errno.ENOSYS)
    for number in _present(refused.values(), column):
        program += _instruction(_JUMP_EQUAL, number, 0, 1) + _instruction(_RETURN, _ERRNO | errno.EPERM)
    for rule in _rules(pid=pid, read_only=read_only):
        for number in _present([rule.call], column):
            program += rule.program(number)
    return program + _instruction(_RETURN, _ALLOW)


def install(*, read_only: bool) -> None:
    """Puts this process, and whatever it becomes, under the filter. Needs no privilege; cannot be undone."""
    program = build(pid=os.getpid(), read_only=read_only)
    filters = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(filters))
    linux_calls.prctl(
        linux_calls.PR_SET_SECCOMP, linux_calls.SECCOMP_MODE_FILTER, ctypes.create_string_buffer(header, len(header))
    )


def is_known_machine() -> bool:
    return platform.machine() in _COLUMN


def _rules(*, pid: int, read_only: bool) -> Iterable[_Rule]:
    yield _Rule(_CLONE, 0, (_CLONE_THREAD,), equal=False, then_allow=True)
    yield _Rule(_KILL, 0, (pid,), equal=True, then_allow=True)
    yield _Rule(_TGKILL, 0, (pid,), equal=True, then_allow=True)
    yield _Rule(_PRLIMIT64, 0, (0, pid), equal=True, then_allow=True)
    yield _Rule(_SCHED_SETAFFINITY, 0, (0, pid), equal=True, then_allow=True)
    yield _Rule(_PRCTL, 0, (linux_calls.PR_SET_PDEATHSIG,), equal=True, then_allow=False)
    yield _Rule(_IOCTL, 1, (*_OWNER_IOCTLS, *_OTHER_IOCTLS), equal=True, then_allow=False)
    signals = (_F_SETOWN, _F_SETSIG, _F_SETOWN_EX)
    locks = (_F_SETLK, _F_SETLKW, _F_OFD_SETLK, _F_OFD_SETLKW) if read_only else ()
    yield _Rule(_FCNTL, 1, signals + locks, equal=True, then_allow=False)
    if read_only:
        yield _Rule(_OPEN, 1, (_WRITE_FLAGS,), equal=False, then_allow=False, error=errno.EACCES)
        yield _Rule(_OPENAT, 2, (_WRITE_FLAGS,), equal=False, then_allow=False, error=errno.EACCES)


def _present(calls: Iterable[tuple[int | None, int | None]], column: int) -> Iterable[int]:
    return (number for call in calls if (number := call[column]) is not None)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
