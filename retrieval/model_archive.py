"""A prepared model as one file, so that processes without the model's package, and without torch, can load it.

The process that prepared the model packs it; the others unpack it into their own cache, once. What is inside: the
tokenizer and the configurations, and either the converted model with its canaries or, for a model that OpenVINO cannot
take, the weights as they were.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from retrieval.canaries import Canary, read_canaries, write_canaries
from retrieval.embedder_choice import Engine, cpu_flags
from retrieval.embedding import EmbeddingSpec
from retrieval.model_folder import ModelFolder
from retrieval.model_preparation import PreparedModel

_FOLDER = "folder"
_CONVERTED = "converted"
_CANARIES = "canaries.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time a zip can say: the same model packs to the same bytes


@dataclass(frozen=True, slots=True)
class FetchedModel:
    """As `PreparedModel`, without a measurement: queries are short, and for them the engine follows from the CPU."""

    folder: ModelFolder
    spec: EmbeddingSpec
    converted: Path | None
    canaries: tuple[Canary, ...]

    @property
    def engine(self) -> Engine:
        if self.converted is None:
            return Engine("torch", "cpu", "f32")
        return Engine("openvino", "cpu", "bf16" if cpu_flags() & {"avx512_bf16", "amx_bf16"} else "f32")


def pack(prepared: PreparedModel, target: Path) -> str:
    """Writes the archive; its sha256 in hex, the same for the same model."""
    with TemporaryDirectory(dir=target.parent) as scratch, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        canaries = Path(scratch) / _CANARIES
        write_canaries(canaries, prepared.canaries)
        for name, path in sorted([(_CANARIES, canaries), *_members(prepared)]):
            entry = zipfile.ZipInfo(name, _EPOCH)
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _members(prepared: PreparedModel) -> Iterator[tuple[str, Path]]:
    folder = prepared.folder
    left_out = set(folder.weights()) if prepared.converted is not None else set()
    for path in folder.path.rglob("*"):
        if path.is_file() and path not in left_out and path.suffix not in {".py", ".pyc", ".onnx", ".md"}:
            yield f"{_FOLDER}/{path.relative_to(folder.path).as_posix()}", path
    if prepared.converted is not None:
        for path in prepared.converted.parent.glob(f"{prepared.converted.stem}.*"):
            yield f"{_CONVERTED}/{path.name}", path


def is_unpacked(cache: Path, spec: EmbeddingSpec, archive: str) -> bool:
    return _home(cache, spec, archive).is_dir()


def unpack(source: Path, cache: Path, spec: EmbeddingSpec, archive: str) -> None:
    """Into the cache, whole or not at all; `archive` is the sha256 of `source`, which the caller has verified."""
    home = _home(cache, spec, archive)
    partial = home.with_name(f"{home.name}.partial-{uuid4().hex[:8]}")
    partial.mkdir(parents=True)
    try:
        with zipfile.ZipFile(source) as found:
            found.extractall(partial)
        if not home.is_dir():
            partial.rename(home)
    except OSError:
        if not home.is_dir():  # another process of this machine was quicker
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def open_unpacked(cache: Path, spec: EmbeddingSpec, archive: str) -> FetchedModel:
    home = _home(cache, spec, archive)
    converted = home / _CONVERTED / "model.xml"
    return FetchedModel(
        folder=ModelFolder(home / _FOLDER, spec.model),
        spec=spec,
        converted=converted if converted.is_file() else None,
        canaries=read_canaries(home / _CANARIES),
    )


def _home(cache: Path, spec: EmbeddingSpec, archive: str) -> Path:
    return cache / f"fetched-{spec.model}-{archive[:16]}"
