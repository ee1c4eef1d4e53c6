"""Writes docs/reference/settings.md from the code: `python -m tools.make_reference`. A test compares the two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from services.settings import PREFIX, setting_names

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "settings.md"

_HEAD = """\
# Settings

<!-- Written by `python -m tools.make_reference` (`make docs-reference`) from services/settings.py. Do not edit. -->

Every setting is an environment variable, read once when a process starts. They mean the same to `make run`, to
`make demo` and to every process. A `RAGSTONE_` variable that is not in this list is refused, so that a typing error
never means a default. Durations are in seconds (`_S`), sizes in bytes unless the name says `_MIB`; booleans are `true`
or `false`.

"""

_TITLES = {
    "": "The process",
    "DATABASE": "Catalogue",
    "QDRANT": "Index",
    "KAFKA": "Kafka",
    "BLOBS": "Blob store",
    "EMBEDDER": "Embedding model",
    "PARSER": "Parsers and their sandbox",
    "INTAKE": "Intake",
    "WORK": "Work",
    "WATCH": "Drop folder",
    "JANITOR": "Janitor",
    "SEARCH": "Search",
    "GENERATOR": "Answers and summaries",
}


def settings_page() -> str:
    """The whole page, one table for each group, in the order of the code."""
    groups: dict[str, list[str]] = {}
    for name, field in setting_names().items():
        group = name.removeprefix(PREFIX).partition("__")[0] if "__" in name else ""
        groups.setdefault(group, []).append(_row(name, field))
    return _HEAD + "\n".join(_table(_TITLES[group], rows) for group, rows in groups.items())


def _table(title: str, rows: list[str]) -> str:
    return "\n".join([f"## {title}", "", "| Setting | Default | |", "|---|---|---|", *rows, ""])


def _row(name: str, field: FieldInfo) -> str:
    limits = _limits(field)
    meaning = (field.description or "") + (f" {limits}" if limits else "")
    return f"| `{name}` | {_default(field.default)} | {_cell(meaning)} |"


def _default(value: Any) -> str:
    match value:
        case None:
            return "not set"
        case _ if value is PydanticUndefined:
            return "required"
        case SecretStr():
            return f"`{value.get_secret_value()}`"
        case bool():
            return f"`{str(value).lower()}`"
        case float() if value.is_integer():
            return f"`{int(value)}`"
        case _:
            return f"`{value}`"


def _limits(field: FieldInfo) -> str:
    """The bounds that pydantic checks, in words."""
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    said = [
        f"{word} {getattr(bound, name):g}"
        for bound in field.metadata
        for name, word in words.items()
        if getattr(bound, name, None) is not None
    ]
    return f"({', '.join(said)})" if said else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    REFERENCE.parent.mkdir(parents=True, exist_ok=True)
    REFERENCE.write_text(settings_page(), encoding="utf-8")
