"""The wheel needs what it says it needs, and nothing of the server."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from tests.running import ROOT

SDK = ROOT / "sdk"
EXTRAS_ALONE = {"pandas", "langchain_core"}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=str(name), level=0):
                yield name.partition(".")[0]


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    project = tomllib.loads((SDK / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    declared = {Requirement(text).name.replace("-", "_") for text in texts}
    used = {name for path in (SDK / "src").rglob("*.py") for name in imported(path)}
    assert used - set(sys.stdlib_module_names) - {"ragstone"} == declared
    assert {Requirement(text).name.replace("-", "_") for text in project["dependencies"]} == declared - EXTRAS_ALONE


def test_only_what_is_an_extra_is_loaded_late() -> None:
    """pandas where a table is asked for, LangChain by its own module, rich and click by the command and the bar."""
    late = {
        path.relative_to(SDK / "src" / "ragstone").as_posix()
        for path in (SDK / "src").rglob("*.py")
        if {"pandas", "langchain_core", "rich", "click"} & set(imported(path))
    }
    command = {name for name in late if name.startswith("cli/")}
    assert late - command == {"tables.py", "langchain.py", "sending.py"}
