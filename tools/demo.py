"""`make demo`: real documents go from a folder to cited answers, on this machine, and it ends.

Starts the server, drops `samples/` into its drop folder, waits until every document is searchable, searches, asks,
summarises, changes one document and deletes another, and shows that search follows.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ragstone import Client
from ragstone.models import Citation, Document
from ragstone.places import place_of
from services.settings import Settings, child_environment, is_given, read_settings
from tools.process_memory import below, proportional_set_size

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "samples"
COLLECTIONS = ("engineering", "finance", "handbook")
PATIENCE_S = 600.0

SEARCHES: tuple[tuple[str, dict[str, object] | None], ...] = (
    ("how do I keep barnacles off the sensor", None),
    ("K2-1187", None),
    ("what happens when spray ice builds up on the lens", {"metadata.tags": {"$contains": "kittiwake"}}),
)
QUESTION = "How long did the ferry wait at Skarrow, and what has been changed since?"
ONE_DOCUMENT = "engineering/skarrow-incident-report.docx"
SUMMARY_QUESTION = "What do we know about the battery packs of lot BX-2291?"
CHANGED = ("handbook/workshop-safety.md", "at the old anchor", "under the lighthouse")
CHANGED_SEARCH = "where do we gather when the alarm sounds"
DELETED = "engineering/battery-recall.eml"
DELETED_SEARCH = "which battery lot has to be returned"


def main() -> int:
    settings = read_settings()
    data = settings.data if is_given("data") else ROOT / "var" / "demo"
    if not is_given("data"):
        shutil.rmtree(data, ignore_errors=True)
    drop = settings.drop_folder if is_given("drop") else data / "drop"
    began = time.monotonic()
    with _server(settings, data, drop) as (base_url, process), Client(base_url) as client:
        _say(f"The server is ready after {time.monotonic() - began:.1f} s: {base_url}")
        _drop_samples(drop)
        documents = _follow(client, _dropped_sources())
        _search(client)
        _ask(client)
        _summarise(client, documents)
        _change_and_delete(client, drop, documents)
        memory = proportional_set_size([process.pid, *below(process.pid)]) / 1_000_000
        _say(f"Memory: {memory:.0f} MB (proportional set size of all processes)")
    _say(f"Done in {time.monotonic() - began:.0f} s. `make run` keeps serving; README.md says what to try next.")
    return 0


@contextmanager
def _server(settings: Settings, data: Path, drop: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    environment = child_environment(
        RAGSTONE_DATA=str(data),
        RAGSTONE_DROP=str(drop),
        RAGSTONE_PORT=str(settings.port if is_given("port") else 0),
        RAGSTONE_LOG_LEVEL="warning",
    )
    _say("Starting the server (the first start prepares the embedding model) …")
    process = subprocess.Popen(
        [sys.executable, "-m", "services", "all"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = next((text for text in process.stdout if text.startswith("ragstone is ready")), "")
        found = re.search(r"http://\S+", line)
        if found is None:
            raise SystemExit("The server did not start; its own line above says why.")
        yield found[0], process
    finally:
        process.send_signal(signal.SIGTERM)
        if process.wait(60):
            raise SystemExit(f"The server ended with status {process.returncode}.")


def _dropped_sources() -> list[str]:
    files = (path for name in COLLECTIONS for path in sorted((SAMPLES / name).iterdir()))
    return [path.relative_to(SAMPLES).as_posix() for path in files if not path.name.endswith(".metadata.json")]


def _drop_samples(drop: Path) -> None:
    _title(f"Dropping the documents of samples/ into {_shown(drop)}")
    for name in COLLECTIONS:
        shutil.copytree(SAMPLES / name, drop / name, dirs_exist_ok=True)


def _follow(client: Client, sources: list[str]) -> dict[str, Document]:
    """A line for each document when its state is final."""
    began = time.monotonic()
    finished: dict[str, Document] = {}
    while len(finished) < len(sources):
        for document in client.documents.list():
            source = document.source or ""
            if source in sources and source not in finished and document.state in {"searchable", "partial", "failed"}:
                finished[source] = document
                pages = f"{document.pages} pages, " if document.pages else ""
                _say(
                    f"  [{len(finished):2}/{len(sources)}] {time.monotonic() - began:5.1f} s  {document.state:10}"
                    f"  {source}  ({pages}{document.chunks} chunks)"
                )
        if time.monotonic() - began > PATIENCE_S:
            raise SystemExit("Not every document became searchable in time.")
        time.sleep(0.1)
    bad = [source for source, document in finished.items() if document.state != "searchable"]
    if bad:
        raise SystemExit(f"Not searchable: {', '.join(bad)}.")
    return finished


def _search(client: Client) -> None:
    _title("Searching")
    for query, condition in SEARCHES:
        _say(f"  » {query}" + (f"   filter {condition}" if condition else ""))
        reply = client.search(query, filter=condition, top_k=3)
        for hit in reply.hits:
            _say(f"    {hit.rank}. {hit.title} ({place_of(hit.locator)})  score {hit.score:.2f}")
            _quote(hit.text)
        if not reply.hits:
            raise SystemExit("A search of the demo found nothing.")
        _say(f"    {reply.took_ms:.0f} ms")


def _ask(client: Client) -> None:
    _title("Asking")
    _say(f"  » {QUESTION}")
    answer = client.answer(QUESTION)
    _cited(answer.answer, answer.citations)
    if answer.abstained:
        raise SystemExit("The question of the demo was not answered.")


def _summarise(client: Client, documents: dict[str, Document]) -> None:
    _title(f"Summarising one document: {ONE_DOCUMENT}")
    summary = client.summarize(documents=[documents[ONE_DOCUMENT].id])
    _cited(summary.summary, summary.citations)
    _title(f"Summarising several documents on a question: {SUMMARY_QUESTION}")
    summary = client.summarize(collection="engineering", query=SUMMARY_QUESTION)
    _cited(summary.summary, summary.citations)
    coverage = summary.coverage
    _say(f"    read {coverage.chunks_used} of {coverage.chunks_total} chunks of {coverage.documents} documents")


def _change_and_delete(client: Client, drop: Path, documents: dict[str, Document]) -> None:
    source, old, new = CHANGED
    _title(f"Changing {source}: “{old}” becomes “{new}”")
    before = client.search(CHANGED_SEARCH, top_k=1).hits[0]
    _say(f"  before: {_around(before.text, old)}")
    path = drop / source
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    _until(lambda: client.documents.get(documents[source].id).live_version != documents[source].live_version)
    after = client.search(CHANGED_SEARCH, top_k=1).hits[0]
    _say(f"  after:  {_around(after.text, new)}")
    if new not in after.text or old in after.text:
        raise SystemExit("Search did not follow the change.")
    _title(f"Deleting {DELETED}")
    _say(f"  before: {client.search(DELETED_SEARCH, top_k=1).hits[0].title}")
    (drop / DELETED).unlink()
    _until(lambda: client.documents.get(documents[DELETED].id).state == "deleted")
    hits = client.search(DELETED_SEARCH, top_k=10).hits
    _say(f"  after:  {hits[0].title}")
    if any(hit.document_id == documents[DELETED].id for hit in hits):
        raise SystemExit("A deleted document was found.")


def _until(done: object) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise SystemExit("The drop folder's change did not arrive in time.")
        time.sleep(0.1)


# --- showing ---


def _cited(text: str, citations: list[Citation]) -> None:
    for line in text.splitlines():
        _say(textwrap.fill(line, 110, initial_indent="    ", subsequent_indent="    "))
    for citation in citations:
        _say(f"    [{citation.marker}] {citation.title} ({place_of(citation.locator)})")
        _quote(citation.quote)


def _quote(text: str) -> None:
    short = textwrap.shorten(text, 200, placeholder=" …")
    _say(textwrap.fill(f"“{short}”", 110, initial_indent="       ", subsequent_indent="       "))


def _around(text: str, phrase: str) -> str:
    start = text.find(phrase)
    return f"“… {textwrap.shorten(text[max(0, start - 40) : start + len(phrase) + 40], 120)} …”"


def _shown(path: Path) -> str:
    return os.path.relpath(path)


def _title(text: str) -> None:
    _say(f"\n{text}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
