"""Starts ragstone's processes in a tenth of the time: `python -m tests.faults.process_forge`, and lines of JSON.

It has imported everything and forks. What a forked process then runs is `python -m services` as it is, but for the
`fault_points`. Each line names one to start: {"name", "argv", "environment", "output"}; it answers {"started", "pid"}
and, when one has ended, {"ended", "status"}. All of them die with it, and it with its standard input.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from services.__main__ import main as serve
from tests.faults.fault_points import FaultPoints

_PR_SET_PDEATHSIG = 1
_LOOK_S = 0.02
# What the processes would import after the fork, each for itself; not OpenVINO, whose runtime should see no fork.
_WARM = (
    "ingest.kafka_queue.task_queue",
    "ingest.parser_pool",
    "retrieval.edge_bm25",
    "retrieval.index_server",
    "retrieval.sql_catalogue.catalogue",
    "retrieval.sql_catalogue.postgres_doorbell",
    "services.api_process",
    "services.work_process",
)


def main() -> None:
    for module in _WARM:
        importlib.import_module(module)
    names: dict[int, str] = {}
    buffer = b""
    while True:
        ready, _, _ = select.select([0], [], [], _LOOK_S)
        if ready:
            data = os.read(0, 1 << 16)
            if not data:
                return
            buffer += data
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = _started(order)
                names[pid] = order["name"]
                _say(started=order["name"], pid=pid)
        _reap(names)


def _reap(names: dict[int, str]) -> None:
    while names:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        _say(ended=names.pop(pid), status=os.waitstatus_to_exitcode(status))


def _say(**words: Any) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


def _started(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        _become(order)
        status = serve()
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _become(order: dict[str, Any]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    silence = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silence, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    faulthandler.register(signal.SIGUSR1)  # what its threads are at, for a test that waits in vain
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["services", *order["argv"]]
    faults = order["environment"].get("FAULT_POINTS")
    if faults:
        FaultPoints(Path(faults)).install()


if __name__ == "__main__":
    main()
