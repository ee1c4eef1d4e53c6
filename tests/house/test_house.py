"""The rules of the house that import-linter cannot see, and that the documentation says what the code does.

What a rule lets pass is named here with its reason; a new exception is a decision, not an edit.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.http.app import ROUTERS, create_app
from services.http.door import Door
from services.settings import setting_names
from tools.make_reference import REFERENCE, settings_page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PACKAGES = ("retrieval", "ingest", "summarize", "services", "sdk/src/ragstone")
OWN = {"retrieval", "ingest", "summarize", "services", "ragstone"}
LONGEST = 450  # lines: what a reader at night can hold; beyond it a second noun is hiding in the file

# Where an import inside a function keeps an engine unloaded: what chooses between engines.
CHOOSERS = {"services/__main__.py", "services/wiring.py", "services/api_wiring.py", "services/work_wiring.py"}
HOMELESS = {"utils", "util", "common", "core", "base", "helpers", "helper", "shared", "misc"}
# Written by somebody else, or words that stand for themselves.
NOT_OURS = {"LICENSE", "requirements.lock", "requirements-dev.lock"}
# What the command `ragstone` reads, by click: its server, its key, and what a shell asks it for completion.
OF_THE_COMMAND = {"RAGSTONE_URL", "RAGSTONE_API_KEY", "RAGSTONE_COMPLETE"}
TEXT_SUFFIXES = {".py", ".md", ".toml", ".cfg", ".ini", ".mako", ".svg", ".yaml", ".yml", ".json", ".jsonl", ".txt", ""}


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that is or is about to be in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(path for line in listed.splitlines() if (path := ROOT / line).is_file())


@cache
def modules() -> tuple[Path, ...]:
    """The Python files of the product."""
    return tuple(sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- the code ---


def environment_reads(module: ast.Module) -> Iterator[int]:
    """Lines that read the environment. Writing it (`os.environ["X"] = …`, `.update(…)`) is how engines are quieted."""
    written = set()
    for node in ast.walk(module):
        match node:
            case ast.Subscript(value=ast.Attribute(attr="environ") as environ, ctx=ast.Store() | ast.Del()):
                written.add(environ)
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="environ") as environ, attr="update")):
                written.add(environ)
    for node in ast.walk(module):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb") if node not in written:
                yield node.lineno
            case ast.Attribute(value=ast.Name(id="os"), attr="getenv" | "getenvb"):
                yield node.lineno
            case ast.ImportFrom(module="os", names=names) if {"environ", "getenv"} & {name.name for name in names}:
                yield node.lineno


def test_only_the_settings_read_the_environment() -> None:
    found = [f"{name_of(path)}:{line}" for path in modules() for line in environment_reads(tree(path))]
    assert [place for place in found if not place.startswith("services/settings.py:")] == []


def test_reading_the_environment_is_told_from_writing_it() -> None:
    reading = "import os\na = os.environ\nb = os.environ['A']\nc = os.getenv('A')\nfrom os import environ"
    writing = "import os\nos.environ['A'] = 'x'\nos.environ.update(A='x')\ndel os.environ['A']"
    assert sorted(environment_reads(ast.parse(reading))) == [2, 3, 4, 5]
    assert list(environment_reads(ast.parse(writing))) == []


def inner_imports(module: ast.Module) -> Iterator[tuple[int, str]]:
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for node in ast.walk(function):
                match node:
                    case ast.ImportFrom(module=str(name)):
                        yield node.lineno, name
                    case ast.Import(names=names):
                        yield from ((node.lineno, alias.name) for alias in names)


def test_our_own_modules_are_imported_at_the_top() -> None:
    found = [
        f"{name_of(path)}:{line} {name}"
        for path in modules()
        if name_of(path) not in CHOOSERS
        for line, name in inner_imports(tree(path))
        if name.partition(".")[0] in OWN
    ]
    assert found == []


def test_every_file_has_a_noun_for_a_name() -> None:
    assert [name_of(path) for path in modules() if path.stem in HOMELESS or path.parent.name in HOMELESS] == []


def test_no_file_shadows_a_module_of_python_or_of_a_dependency() -> None:
    """Top-level names are what `import x` finds first when a process starts from the root; a file inside a package is
    only in danger when that folder itself is on the path, which `python path/to/file.py` would do."""
    taken = set(sys.stdlib_module_names) | set(packages_distributions()) - OWN - {"tests", "tools", "benchmarks"}
    top = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert top & taken == set()
    # What the SDK's users import is named after what they use it with, and nobody runs that folder's files by path.
    adapters = {ROOT / "sdk/src/ragstone/langchain.py"}
    engines = {"qdrant_edge", "openvino", "torch", "unstructured", "kafka", "langchain", "sqlalchemy", "qdrant"}
    inside = {path.stem for path in set(modules()) - adapters if path.stem not in {"__init__", "__main__"}}
    assert inside & engines == set()
    assert inside & {"queue", "types", "typing", "socket", "logging", "email", "json", "time", "enum"} == set()


def test_every_package_begins_with_its_map() -> None:
    for path in modules():
        if path.name == "__init__.py":
            docstring = ast.get_docstring(tree(path)) or ""
            assert len(docstring) > 60, f"{name_of(path)} does not say what flows through"


def test_a_map_names_only_modules_that_exist() -> None:
    for package in ("retrieval", "ingest", "summarize", "services"):
        here = {path.stem for path in (ROOT / package).iterdir()}
        words = re.findall(r"`([a-z_]+)`", ast.get_docstring(tree(ROOT / package / "__init__.py")) or "")
        assert [word for word in words if word not in here] == [], package


def test_no_file_is_too_long_to_read() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def texts() -> Iterator[tuple[str, str]]:
    for path in tracked():
        name = name_of(path)
        if path.suffix in TEXT_SUFFIXES and path.name not in NOT_OURS and not name.startswith("samples/"):
            yield name, path.read_text(encoding="utf-8")


def test_nothing_is_left_for_later_in_the_files() -> None:
    later = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    assert [name for name, text in texts() if later.search(text)] == []


def test_no_file_names_a_machine_or_a_registry() -> None:
    # Pieces are joined here so that this file does not name them either.
    places = ["/ro" + "ot/", "/wo" + "rk/", "/ho" + "me/", "/Us" + "ers/"]
    hosts = ["pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "index.crates" + ".io"]
    hosts += ["proxy.golang" + ".org", "deb.debian" + ".org", "repo1.maven" + ".org", "download.pytorch" + ".org"]
    found = [(name, place) for name, text in texts() for place in places + hosts if place in text]
    assert found == []


# --- the documentation ---


def pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def test_the_glossary_names_classes_that_exist() -> None:
    defined = {node.name for path in modules() for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)}
    words = re.findall(r"`([A-Z]\w+)`", (DOCS / "glossary.md").read_text(encoding="utf-8"))
    assert len(words) > 30
    assert [word for word in words if word not in defined] == []


def test_links_lead_somewhere() -> None:
    broken = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            there = (page.parent / file).resolve() if file else page
            if not there.exists() or (anchor and anchor not in anchors(there)):
                broken.append(f"{name_of(page)}: {target}")
    assert broken == []


def anchors(page: Path) -> set[str]:
    """What a heading is called in an address, as forges make it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_index() -> None:
    seen, waiting = set(), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        waiting += [(page.parent / link).resolve() for link in links if not re.match(r"[a-z]+:", link)]
    assert sorted(set(DOCS.rglob("*.md")) - seen) == []


def test_files_that_the_documentation_names_exist() -> None:
    named = re.compile(r"`((?:retrieval|ingest|summarize|services|sdk|tests|tools|docs|benchmarks|samples)/[\w./-]+)`")
    missing = [
        f"{name_of(page)}: {path}"
        for page in pages()
        for path in named.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / path).exists()
    ]
    assert missing == []


def test_make_targets_that_the_documentation_names_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    call = re.compile(r"(?:`|^)make (?:[A-Z_]+=(?:<[^>]*>|\S+) )*([a-z][a-z-]*)", re.MULTILINE)
    named = {target for page in pages() for target in call.findall(page.read_text(encoding="utf-8"))}
    assert len(named) > 5
    assert named - targets == set()


def test_every_setting_is_documented_as_the_code_has_it() -> None:
    written = REFERENCE.read_text(encoding="utf-8")
    assert [name for name in setting_names() if f"`{name}`" not in written] == []
    assert written == settings_page(), "run python -m tools.make_reference"


def test_settings_that_the_documentation_names_exist() -> None:
    known = set(setting_names()) | OF_THE_COMMAND
    named = {
        (name_of(page), name)
        for page in pages()
        for name in re.findall(r"RAGSTONE_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8"))
    }
    assert {(page, name) for page, name in named if name not in known} == set()


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in setting_names().items() if not field.description] == []


def served_routes() -> set[str]:
    house: Any = SimpleNamespace()
    app = create_app(house, roles=tuple(ROUTERS), file_bytes=1, json_bytes=1, requests=1, generations=1)
    paths = app.openapi()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_every_route_declares_the_scope_it_needs() -> None:
    """By the type of its principal; health is nobody's business and everybody's."""
    routes = [route for routers in ROUTERS.values() for router in routers for route in router.routes]
    assert len(routes) > 30
    for route in routes:
        assert isinstance(route, Door), route
        needed = [one.call.__name__ for one in route.dependant.dependencies if one.call is not None]
        assert [name for name in needed if name.startswith("principal_who_may_")], f"{route.path} declares no scope"


def test_the_api_reference_lists_exactly_the_routes_that_are_served() -> None:
    page = (DOCS / "reference" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^### `((?:GET|POST|PUT|PATCH|DELETE) /\S*)`$", page, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == served_routes()


def error_codes(module: ast.Module) -> Iterator[str]:
    """What classes give as their `code`."""
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                match statement:
                    case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
                        yield code


def test_every_error_code_is_explained() -> None:
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    abstract = {"refused", "unavailable"}  # no error is only that
    codes = {code for path in modules() for code in error_codes(tree(path))} - abstract
    assert len(codes) > 15
    assert [code for code in sorted(codes) if f"`{code}`" not in page] == []


@pytest.fixture(scope="module")
def names_of_tests() -> set[str]:
    files = (path for path in (ROOT / "tests").rglob("test_*.py"))
    return {
        node.name
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_promise_is_kept_by_a_test_that_exists(names_of_tests: set[str]) -> None:
    page = (DOCS / "explanation" / "promises.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) > 20
    assert [name for name in named if name not in names_of_tests] == []
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| Promise", "|--"))]
    assert [row for row in rows if "`test_" not in row] == []
