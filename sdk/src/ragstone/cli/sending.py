"""Commands of documents: upload, documents, delete."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click

from ragstone.cli.output import Output, state
from ragstone.cli.session import EXIT_CODES, NOT_ALL, JsonObject, Session, connected
from ragstone.client import Client
from ragstone.errors import Conflict, RagstoneError
from ragstone.models import Document, Lane
from ragstone.sending import Uploads

_STATES = ("received", "parsing", "embedding", "searchable", "partial", "failed", "deleting", "deleted")
_COLUMNS = ("id", "state", "collection", "title", "chunks", "why")


@click.command(epilog=EXIT_CODES)
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-c", "--collection", required=True, help="where to")
@click.option("--create", is_flag=True, help="make the collection if there is none")
@click.option("--metadata", type=JsonObject(), help="for every file given by name, as a JSON object")
@click.option(
    "--reader", "readers", multiple=True, help="a label that may see the files given by name; may be repeated"
)
@click.option("--pattern", default="*", show_default=True, help="of a folder, only files with such names")
@click.option("--lane", type=click.Choice(["interactive", "bulk"]), default="bulk", show_default=True)
@click.option("--at-once", type=click.IntRange(1, 32), default=4, show_default=True, help="how many files at a time")
@click.option("--wait", is_flag=True, help="return when every document is searchable or has failed")
@click.option("--wait-s", type=click.FloatRange(0), default=3600.0, show_default=True, help="how long to wait at most")
@connected
def upload(
    session: Session,
    paths: Sequence[Path],
    collection: str,
    create: bool,
    metadata: Mapping[str, Any] | None,
    readers: Sequence[str],
    pattern: str,
    lane: Lane,
    at_once: int,
    wait: bool,
    wait_s: float,
) -> int:
    """Uploads files, and folders with all below them.

    A file of a folder is known by its path there: uploaded again, a changed one is a new version, and the sidecar
    beside it (report.pdf.metadata.json) says title, metadata and readers.
    """
    out = session.out
    report: Any = "bar" if out.on_terminal else None
    files = [path for path in paths if not path.is_dir()]
    with session.client() as client:
        if create:
            _create(client, collection)
        same: dict[str, Any] = {"metadata": metadata, "readers": list(readers) or None, "lane": lane}
        uploads = Uploads()
        if files:
            uploads = client.documents.upload_many(collection, files, at_once=at_once, report=report, **same)
        for folder in (path for path in paths if path.is_dir()):
            more = client.documents.upload_folder(
                collection, folder, pattern=pattern, at_once=at_once, report=report, lane=lane
            )
            uploads = Uploads(uploads.documents + more.documents, uploads.failed + more.failed)
        documents = uploads.documents
        if wait:
            with click.progressbar(documents, label="Waiting", file=sys.stderr, hidden=not out.on_terminal) as waiting:
                documents = [client.documents.wait(document.id, timeout_s=wait_s) for document in waiting]
    _show(out, documents)
    for sent in uploads.failed:
        out.wrong(f"{sent.name}: {sent.error}")
    if not out.as_json:
        out.text(f"{len(documents)} accepted, {len(uploads.failed)} not accepted", "dim")
    bad = any(document.state in {"failed", "partial"} for document in documents)
    return NOT_ALL if bad or uploads.failed else 0


@click.command(epilog=EXIT_CODES)
@click.argument("document_id", required=False)
@click.option("-c", "--collection", help="only of this one")
@click.option("--state", "wanted", type=click.Choice(_STATES), help="only in this state")
@click.option("-f", "--filter", "condition", type=JsonObject(), help="the API's filter grammar, as JSON")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="how many at most")
@connected
def documents(
    session: Session,
    document_id: str | None,
    collection: str | None,
    wanted: str | None,
    condition: Mapping[str, Any] | None,
    limit: int,
) -> None:
    """Lists documents, newest first, or shows the one of DOCUMENT_ID."""
    out = session.out
    with session.client() as client:
        if document_id is not None:
            _show_one(out, client.documents.get(document_id))
            return
        listing = client.documents.list(collection=collection, state=wanted, filter=condition)
        _show(out, list(islice(listing, limit)))


@click.command(epilog=EXIT_CODES)
@click.argument("document_ids", nargs=-1, metavar="[DOCUMENT_ID]...")
@click.option("-c", "--collection", help="with --filter: of this collection")
@click.option("-f", "--filter", "condition", type=JsonObject(), help="all that match, the API's grammar as JSON")
@click.option("--max", "most", type=click.IntRange(0), help="with --filter: none, if more than this match")
@click.option("--dry-run", is_flag=True, help="with --filter: only say how many match")
@click.option("-y", "--yes", is_flag=True, help="do not ask")
@connected
def delete(
    session: Session,
    document_ids: Sequence[str],
    collection: str | None,
    condition: Mapping[str, Any] | None,
    most: int | None,
    dry_run: bool,
    yes: bool,
) -> int:
    """Deletes documents by their ids, or all of a collection that match a filter. Search stops at once."""
    by_filter = collection is not None and condition is not None
    if by_filter == bool(document_ids):
        raise click.UsageError("Say which: document ids, or --collection with --filter.")
    out = session.out
    with session.client() as client:
        if condition is not None and collection is not None:
            found = client.documents.delete_matching(collection, condition, dry_run=True)
            if not dry_run:
                _confirm(f"Delete {found.matched} documents of {collection}?", yes=yes)
                found = client.documents.delete_matching(collection, condition, most=most)
            if out.as_json:
                out.json(found)
            else:
                out.text(f"{found.matched} matched, {found.accepted} deleted")
            return 0
        _confirm(f"Delete {len(document_ids)} documents?", yes=yes)
        gone, status = [], 0
        for document_id in document_ids:
            try:
                gone.append(client.documents.delete(document_id))
            except RagstoneError as error:
                out.wrong(f"{document_id}: {error}")
                status = NOT_ALL
    _show(out, gone)
    return status


def _create(client: Client, collection: str) -> None:
    try:
        client.collections.create(collection)
    except Conflict:
        client.collections.get(collection)  # there already; raises where it is being deleted


def _confirm(question: str, *, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)


def _show(out: Output, found: Sequence[Document]) -> None:
    if out.as_json:
        for document in found:
            out.json(document)
    elif found:
        out.table(
            _COLUMNS,
            ((one.id, state(one.state), one.collection, one.title, one.chunks, one.reason) for one in found),
        )


def _show_one(out: Output, document: Document) -> None:
    if out.as_json:
        out.json(document)
        return
    out.title(document.title)
    shown = document.model_dump(exclude={"title", "timeline"}, exclude_none=True)
    out.table(("", ""), shown.items())
    out.text()
    out.table(
        ("version", "stage", "attempt", "outcome", "started", "error"),
        (
            (one.version, one.stage, one.attempt, one.outcome, f"{one.started_at:%F %T}", one.error)
            for one in document.timeline
        ),
    )
