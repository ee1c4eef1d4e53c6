"""Which engine, device and precision embeds fastest on this machine at equal quality. Measured, because it cannot be
derived: bf16 is six times slower than fp32 without hardware for it, and twice as fast with it.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

EngineName = Literal["openvino", "torch"]
Device = Literal["cpu", "cuda"]
Precision = Literal["f32", "bf16", "f16"]

# Vectors of one index may come from machines that chose differently: a mean cosine of 0.9999 to fp32 moves no ranking.
MIN_COSINE = 0.9999
# OpenVINO starts in a third of the time and memory of torch and answers a query in a third.
TORCH_MUST_GAIN = 1.15
_PACKAGES = ("openvino", "torch", "tokenizers", "transformers", "sentence-transformers")


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to compute vectors."""

    name: EngineName
    device: Device
    precision: Precision


@dataclass(frozen=True, slots=True)
class Measured:
    """`tokens_per_s` counts real tokens, without padding; `cosine` is the mean to the fp32 reference.

    `at_once` is how many batches the engine computes side by side.
    """

    engine: Engine
    tokens_per_s: float
    cosine: float
    at_once: int

    def tokens_within(self, seconds: float) -> int:
        """The token budget of a passage batch that takes about this long on this machine."""
        return max(1, int(self.tokens_per_s / self.at_once * seconds))


def candidates(*, flags: frozenset[str], gpu: bool, converted: bool) -> list[Engine]:
    """What is worth measuring here. A GPU that torch can use is always faster than the CPU beside it."""
    if gpu:
        return [Engine("torch", "cuda", "f16"), Engine("torch", "cuda", "bf16"), Engine("torch", "cuda", "f32")]
    precisions: list[Precision] = ["f32"]
    if flags & {"avx512_bf16", "amx_bf16"}:
        precisions.append("bf16")
    names: list[EngineName] = ["openvino", "torch"] if converted else ["torch"]
    return [Engine(name, "cpu", precision) for name in names for precision in precisions]


def fastest(measured: Sequence[Measured]) -> Measured:
    """The fastest of those with fp32's quality; fp32 itself always has it."""
    good = [one for one in measured if one.cosine >= MIN_COSINE]
    return max(good, key=lambda one: one.tokens_per_s * (TORCH_MUST_GAIN if one.engine.name == "openvino" else 1.0))


def cpu_flags() -> frozenset[str]:
    """The instruction sets of the first core, by Linux's names; empty where the system does not say."""
    return frozenset(_cpu_info("flags").split())


def machine_key(*, threads: int) -> str:
    """What a measurement holds for: CPU, its instruction sets, threads, a GPU driver, versions of the engines."""
    facts = [
        _cpu_info("model name") or platform.processor() or platform.machine(),
        sorted(cpu_flags()),
        threads,
        Path("/proc/driver/nvidia/version").exists(),
        [_version(package) for package in _PACKAGES],
        [field.name for field in fields(Measured)],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def write_measured(path: Path, measured: Sequence[Measured]) -> None:
    path.write_text(json.dumps([asdict(one) for one in measured], indent=1), encoding="ascii")


def read_measured(path: Path) -> list[Measured]:
    stored = json.loads(path.read_text(encoding="ascii"))
    return [Measured(**(item | {"engine": Engine(**item["engine"])})) for item in stored]


def _cpu_info(name: str) -> str:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
