"""From a model's name to something a process opens in half a second. Done once a machine, then read from the cache.

find the folder → digest its weights → convert for OpenVINO, with canaries → measure the candidates → `PreparedModel`
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from retrieval.canaries import Canary, read_canaries
from retrieval.embedder_choice import Measured, fastest, machine_key, read_measured
from retrieval.embedding import EmbeddingSpec
from retrieval.errors import Refused
from retrieval.model_folder import ModelFolder, find_model_folder, weights_digest

# Part of the folder's name: raise it when the conversion changes, and every machine converts anew.
CONVERSION = 1
# Converting takes 10 s and measuring 20 s on two idle cores; ten minutes is a machine that will not do.
CHILD_TIMEOUT_S = 600.0
# Set for the child whatever this process was started with: it opens no connection.
_OFFLINE = ("HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1", "HF_HUB_DISABLE_TELEMETRY=1", "DO_NOT_TRACK=1")


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """`converted` is None for a model that OpenVINO cannot take; `measured` is the choice for this machine."""

    folder: ModelFolder
    spec: EmbeddingSpec
    converted: Path | None
    canaries: tuple[Canary, ...]
    measured: Measured


def prepare(model: str, cache: Path, *, threads: int | None = None) -> PreparedModel:
    """Converts and measures what the cache does not have yet; a second process meanwhile waits and does nothing again.

    `model` is a folder or an installed package's name. `threads` defaults to the cores this process may use. Raises
    `NotFound` for an unknown model and `Refused`, with the child's last words, for one that cannot be loaded.
    """
    folder = find_model_folder(model)
    cache.mkdir(parents=True, exist_ok=True)
    spec = folder.spec(weights_digest(folder, cache))
    threads = threads or len(os.sched_getaffinity(0))
    home = cache / f"{folder.name}-{spec.digest[:16]}-{CONVERSION}"
    choice = home / f"measured-{machine_key(threads=threads)}.json"
    if not choice.is_file():
        with _locked(cache / "preparation.lock"):
            _convert(folder, home)
            _measure(folder, _converted(home), choice, threads)
    return PreparedModel(
        folder=folder,
        spec=spec,
        converted=_converted(home),
        canaries=read_canaries(home / "canaries.json"),
        measured=fastest(read_measured(choice)),
    )


def _converted(home: Path) -> Path | None:
    converted = home / "model.xml"
    return converted if converted.is_file() else None


def _convert(folder: ModelFolder, home: Path) -> None:
    """Under the lock. The folder appears whole or not at all."""
    if home.is_dir():
        return
    for left in home.parent.glob(f"{home.name}.partial-*"):
        shutil.rmtree(left, ignore_errors=True)
    partial = home.with_name(f"{home.name}.partial-{os.getpid()}")
    partial.mkdir()
    _run("retrieval.model_conversion", str(folder.path), str(partial))
    for path in partial.iterdir():
        _sync(path)
    partial.rename(home)
    _sync(home.parent)


def _measure(folder: ModelFolder, converted: Path | None, choice: Path, threads: int) -> None:
    """Under the lock."""
    if choice.is_file():
        return
    partial = choice.with_suffix(f".partial-{os.getpid()}")
    _run("retrieval.embedder_measurement", str(folder.path), str(converted or "-"), str(threads), str(partial))
    partial.replace(choice)


def _run(module: str, *arguments: str) -> None:
    """In a child, so that what it loads never stays. `env` adds to the environment this process was given."""
    command = ["/usr/bin/env", *_OFFLINE, sys.executable, "-m", module, *arguments]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=CHILD_TIMEOUT_S
    )
    if done.returncode != 0:
        words = done.stderr.decode("utf-8", "replace")[-2000:]
        raise Refused(f"Preparing the model failed in {module} (exit {done.returncode}):\n{words}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time on this machine; the system lets go when the holder dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync(path: Path) -> None:
    """A rename may reach the disk before the contents; after this it cannot."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
