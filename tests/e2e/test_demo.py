"""The demo is what a stranger sees first: it must do the whole job, and end."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.running import ROOT, environment_of

LIMIT_MB = 1_500


def test_the_demo_does_the_whole_job_within_its_memory(tmp_path: Path) -> None:
    """Also what `make demo` promises: it ends by itself with 0, and leaves nothing running."""
    environment = environment_of(tmp_path / "data", {"RAGSTONE_DROP": str(tmp_path / "drop")})
    ran = subprocess.run(
        [sys.executable, "-m", "tools.demo"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    shown = ran.stdout
    assert len(re.findall(r"^  \[ *\d+/20\] .* searchable ", shown, re.MULTILINE)) == 20
    assert shown.count("  » ") == 4  # three searches and a question
    assert "page " in shown
    assert "slide " in shown or "sheet " in shown
    assert re.search(r"before: .*at the old anchor", shown)
    assert re.search(r"after:  .*under the lighthouse", shown)
    memory = re.search(r"Memory: (\d+) MB", shown)
    assert memory is not None
    assert int(memory[1]) <= LIMIT_MB
