"""A server of the benchmarks' own, on a data folder of theirs."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.settings import child_environment

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def served(data: Path, **settings: str) -> Iterator[str]:
    """Its address while it runs. `settings` are environment names and values."""
    with subprocess.Popen(
        [sys.executable, "-m", "services", "all"],
        cwd=ROOT,
        env=child_environment(RAGSTONE_DATA=str(data), RAGSTONE_PORT="0", RAGSTONE_LOG_LEVEL="warning", **settings),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        found = next((re.search(r"http://\S+", line) for line in process.stdout if "is ready" in line), None)
        if found is None:
            raise SystemExit("The server did not start.")
        try:
            yield found[0]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
