"""What each process loads: torch costs 500 MB and seconds, and a parser's library runs in parser children only."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.running import ROOT, RunningServer, environment_of

HEAVY = {
    *("torch", "sentence_transformers", "transformers"),
    *("unstructured", "docx", "pptx", "spacy", "pypdfium2", "python_calamine"),
    *("langchain", "langchain_core", "langchain_openai"),
}
# The processes' own wiring, with OpenVINO as on any machine without a GPU that torch could use.
APP = """
import json, sys
import services.__main__
from retrieval.embedder_choice import Engine
from services import api_wiring, wiring
from services.layout import Layout
from services.settings import read_settings
settings = read_settings()
layout = Layout(settings.data)
layout.prepare()
wiring.open_catalogue(settings, layout, migrate=True).close()
wiring.engine_of = lambda model: Engine("openvino", "cpu", "f32")
app = api_wiring.make_app(wiring.share(settings), roles=(sys.argv[1],), supervised=True)
print(json.dumps(sorted({name.partition(".")[0] for name, module in sys.modules.items() if module})))
"""


@pytest.mark.parametrize("role", ["search", "documents", "summary"])
def test_a_process_that_answers_http_loads_neither_torch_nor_a_parser(role: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", APP, role],
        cwd=ROOT,
        env=environment_of(tmp_path / "data", {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "fastapi" in loaded
    assert ("openvino" in loaded) == (role != "documents")
    assert loaded & HEAVY == set()


def test_no_process_of_an_install_maps_torch_or_a_parsers_library(server: RunningServer) -> None:
    engine = server.http.get("/readyz").json()["dependencies"]["embedder"]["engine"]
    if engine == "torch":
        pytest.skip("torch embeds faster on this machine")
    for role in ("index", "search", "parse"):
        maps = Path(f"/proc/{server.process_of(role).pid}/maps").read_text(encoding="utf-8")
        assert "/site-packages/" in maps
        assert [name for name in sorted(HEAVY) if f"/site-packages/{name}/" in maps] == [], role


def test_the_supervisor_sleeps_until_something_happens(server: RunningServer) -> None:
    assert server.process is not None

    def woken() -> int:
        status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")  # type: ignore[union-attr]
        lines = dict(line.split(":", 1) for line in status.splitlines())
        return int(lines["voluntary_ctxt_switches"])

    before = woken()
    time.sleep(2)
    assert woken() - before <= 3
