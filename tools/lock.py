"""`python -m tools.lock`: writes the lock files from what is installed.

The lock is the closure of pyproject.toml's dependencies at the versions of this environment. torch and what only it
needs are left out: `make` installs torch itself, from the index its user names.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
HEAD = "# Written by `python -m tools.lock` from pyproject.toml and the versions installed then.\n"


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runtime = _closure(project["dependencies"])
    development = _closure(project["optional-dependencies"]["dev"]) - runtime
    (ROOT / "requirements.lock").write_text(HEAD + _pins(runtime), encoding="utf-8")
    (ROOT / "requirements-dev.lock").write_text(HEAD + _pins(development), encoding="utf-8")
    return 0


def _closure(requirements: Iterable[str]) -> set[str]:
    """Names of all distributions that the requirements need here, torch's own apart."""
    waiting = [Requirement(text) for text in requirements]
    seen: set[tuple[str, str]] = set()
    names: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = _canonical(requirement.name)
        if name == "torch":
            continue
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            names.add(name)
            for text in distribution(name).requires or ():
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append(needed)
    return names


def _pins(names: set[str]) -> str:
    return "".join(f"{name}=={distribution(name).version}\n" for name in sorted(names))


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
