"""Uploads: what is sent as a file, and which files of a folder are."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_SIDECAR = ".metadata.json"
_LEFT_ALONE = ("*.partial", "*.tmp", "~$*", ".*")  # as the drop folder does
_SIDECAR_FIELDS = ("title", "metadata", "readers", "external_id")
_BEDROCK = "metadataAttributes"

Source = str | Path | bytes | BinaryIO
"""A path, bytes, or an open file, which is sent from its beginning if it can seek."""


@dataclass(frozen=True, slots=True)
class Upload:
    name: str
    source: Path | bytes | BinaryIO
    form: Mapping[str, str]

    @property
    def repeatable(self) -> bool:
        """Whether the bytes can be had a second time."""
        return isinstance(self.source, Path | bytes) or self.source.seekable()

    @contextmanager
    def opened(self) -> Iterator[bytes | BinaryIO]:
        if isinstance(self.source, Path):
            with self.source.open("rb") as file:
                yield file
        else:
            yield self.source


def upload_of(source: Source, name: str | None, attributes: Mapping[str, Any]) -> Upload:
    """Raises ValueError where there is no name to be had, OSError for a path that is no file."""
    form = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in attributes.items()
        if value is not None
    }
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}. To send a text, use upload_text.")
        return Upload(name or path.name, path, form)
    if name is None and not isinstance(source, bytes):
        named = getattr(source, "name", None)
        name = Path(named).name if isinstance(named, str) else None
    if name is None:
        raise ValueError("Bytes have no name: say name='report.pdf', for its ending tells what they are.")
    return Upload(name, source, form)


@dataclass(frozen=True, slots=True)
class FolderFile:
    """A file of a folder, and its path within it."""

    path: Path
    within: str

    def attributes(self) -> dict[str, Any]:
        """What the sidecar beside it says, and the path within the folder as external id unless that says another.

        Raises ValueError for a sidecar that cannot be understood: it may say who must not read the file.
        """
        sidecar = self.path.with_name(self.path.name + _SIDECAR)
        if not (sidecar.is_symlink() or sidecar.exists()):
            return {"external_id": self.within}
        try:
            said = json.loads(sidecar.read_bytes(), object_pairs_hook=_once_each)
        except (OSError, ValueError) as error:
            raise ValueError(f"The sidecar {sidecar} cannot be read: {error}.") from error
        if not isinstance(said, dict):
            raise ValueError(f"The sidecar {sidecar} must be a JSON object.")
        if _BEDROCK in said and "metadata" not in said:
            said["metadata"] = said.pop(_BEDROCK)
        if unknown := said.keys() - set(_SIDECAR_FIELDS):
            raise ValueError(f"The sidecar {sidecar} names {min(unknown)}; it may name {', '.join(_SIDECAR_FIELDS)}.")
        return {"external_id": self.within, **said}


def files_of(folder: Path, pattern: str) -> list[FolderFile]:
    """The files below a folder whose name matches, in order of their paths. What the drop folder leaves alone (hidden
    files and folders, `*.partial`, `*.tmp`, `~$*`, links) is left alone, and a sidecar is no file of its own.

    Raises NotADirectoryError.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"There is no folder {folder}.")
    return [
        FolderFile(path, path.relative_to(folder).as_posix())
        for path in sorted(_below(folder))
        if fnmatch.fnmatch(path.name, pattern) and not _is_sidecar(path)
    ]


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_symlink() or any(fnmatch.fnmatch(path.name, pattern) for pattern in _LEFT_ALONE):
            continue
        if path.is_dir():
            yield from _below(path)
        elif path.is_file():
            yield path


def _is_sidecar(path: Path) -> bool:
    return path.name.endswith(_SIDECAR) and path.with_name(path.name.removesuffix(_SIDECAR)).is_file()


def _once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{min(twice)} is in it twice")
    return dict(pairs)
