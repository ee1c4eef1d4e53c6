"""The sandbox a parser child lives in: what each level promises, how it is entered, and how we know it holds.

Every level bounds memory, processor time, file size and open files. Beyond that:

| Level       | network | other processes          | writes                 | reads                          |
|-------------|---------|--------------------------|------------------------|--------------------------------|
| `namespace` | none    | unseen, no new ones      | its scratch folder     | code and scratch (*)           |
| `landlock`  | none    | untouchable, no new ones | its scratch folder     | code and scratch               |
| `seccomp`   | none    | untouchable, no new ones | nothing at all         | whatever the user may read     |
| `none`      | open    | open                     | whatever the user may  | whatever the user may          |

(*) where the kernel has Landlock, which the level adds when it can; otherwise reads are open, all else holds.
Capabilities are dropped and no new privileges can be gained at every level but `none`.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from ingest import landlock, linux_calls, namespaces, seccomp_filter
from ingest.parser_limits import MIB, ParserLimits
from retrieval.errors import Refused

ALLOW_SETTING = "RAGSTONE_PARSER__ALLOW_UNSANDBOXED"

# What libraries open while they work, beside code: shared objects, time zones, fonts, the processor's properties.
_SYSTEM_FOLDERS = ("/usr", "/lib", "/lib64", "/etc/fonts", "/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types",
                   "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu")  # fmt: skip
_OPEN_FILES = 256
# Lifted when the limit was hit, so that the child can still say so.
MEMORY_RESERVE_BYTES = 64 * MIB


class SandboxLevel(StrEnum):
    """From the strongest to none at all."""

    NAMESPACE = "namespace"
    LANDLOCK = "landlock"
    SECCOMP = "seccomp"
    NONE = "none"


class SandboxUnavailable(Refused):
    """No sandbox level that may be used works on this machine."""


def candidates(wanted: SandboxLevel | None, *, allow_none: bool) -> list[SandboxLevel]:
    """The levels to try, strongest first. Raises `SandboxUnavailable` when only `none` is left and not allowed."""
    if wanted is not None and wanted is not SandboxLevel.NONE:
        return [wanted]
    levels: list[SandboxLevel] = []
    if wanted is None and linux_calls.IS_LINUX:
        levels += [level for level in SandboxLevel if level is not SandboxLevel.NONE]
    if allow_none:
        levels.append(SandboxLevel.NONE)
    if not levels:
        raise SandboxUnavailable(no_sandbox_sentence("this machine is not Linux" if wanted is None else "it was asked"))
    return levels


def no_sandbox_sentence(why: str) -> str:
    return (
        f"Parsers would run without a sandbox ({why}): a hostile document could then read, change and send whatever "
        f"this user may. Set {ALLOW_SETTING}=true only where every document is trusted."
    )


def confine(level: SandboxLevel, *, scratch: Path, readable: Iterable[Path], limits: ParserLimits) -> None:
    """Puts this process, for the rest of its life, under `level`; `scratch` becomes its home and working folder.

    At `namespace` the process already stands in the namespaces. Raises OSError when a part cannot be applied; the
    process must then end. Call it single-threaded, with no file open that the parser should not have.
    """
    readable = [*readable, *map(Path, _SYSTEM_FOLDERS)]
    if level is SandboxLevel.NAMESPACE:
        namespaces.open_scratch(scratch)
    os.chdir(scratch)
    # Set for the libraries that look there; nothing of ours reads them.
    os.environ.update(HOME=str(scratch), TMPDIR=str(scratch))
    tempfile.tempdir = str(scratch)
    _limit_resources(limits, forbid_processes=level is SandboxLevel.NONE)
    if level is SandboxLevel.NONE:
        return
    linux_calls.drop_capabilities()
    linux_calls.prctl(linux_calls.PR_SET_NO_NEW_PRIVS, 1)
    linux_calls.prctl(linux_calls.PR_SET_DUMPABLE, 0)  # what it holds of a document is nobody else's to look into
    if level is SandboxLevel.LANDLOCK or (
        level is SandboxLevel.NAMESPACE and landlock.version() >= landlock.NEEDED_VERSION
    ):
        landlock.restrict(read=[*readable, *namespaces.DEVICES], write=[scratch, Path("/dev/null")])
    seccomp_filter.install(read_only=level is SandboxLevel.SECCOMP)


def code_folders() -> list[Path]:
    """Where the code that is loaded, and that it may still load, lies: the interpreter and each package imported.

    Not the folders of sys.path: a checkout's root may hold the data folder.
    """
    folders = {Path(folder) for folder in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)}
    for name, module in list(sys.modules.items()):
        if "." not in name:
            folders.update(Path(folder) for folder in getattr(module, "__path__", ()))
            file = getattr(module, "__file__", None)
            folders.update([Path(file)] if isinstance(file, str) and not hasattr(module, "__path__") else [])
    return sorted(folder.resolve() for folder in folders)


def allow_cpu(seconds: int) -> None:
    """`seconds` more of processor time for this process from now, up to one more; then SIGXCPU."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + seconds), hard))


def lift_memory_limit() -> None:
    """Gives back the reserve, so that a child out of memory can answer."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def breaches(*, port: int, outside: Path) -> list[str]:
    """Tries what a level must refuse, and tells what was not refused: "network", "write", "fork"."""
    attempts = {"network": lambda: _connect(port), "write": outside.touch, "fork": _fork}
    done = []
    for name, attempt in attempts.items():
        with contextlib.suppress(OSError):
            attempt()
            done.append(name)
    return done


def _connect(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        pass


def _fork() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


def _limit_resources(limits: ParserLimits, *, forbid_processes: bool) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    if forbid_processes:  # nor, on Linux, threads. It does not bind root; seccomp does
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    if linux_calls.IS_LINUX:  # macOS does not keep to it
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = mapped + limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most + MEMORY_RESERVE_BYTES))
