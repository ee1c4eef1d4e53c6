"""Accepting submissions: from what intake made durable to versions and owed tasks, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, Table, and_, insert, select, update

from retrieval import identity
from retrieval.documents import Attributes, DocumentState, Stage, Submission
from retrieval.errors import Conflict, NotFound, Quarantined
from retrieval.principal import EVERYBODY
from retrieval.sql_catalogue import ledger
from retrieval.sql_catalogue.shown_version import encoded_fields, showing
from retrieval.sql_catalogue.tables import collections, dead_letters, documents, tasks, versions


class Acceptance:
    """One transaction's worth of submissions. New documents are gathered and written together at the end."""

    def __init__(self, connection: Connection, submissions: Sequence[Submission], *, now: float) -> None:
        self._connection = connection
        self._now = now
        self._collections = self._rows(collections, {s.collection_id for s in submissions}, shared=True)
        self._documents = {
            key: dict(row._mapping)
            for key, row in self._rows(documents, {document_id_of(s) for s in submissions}).items()
        }
        self._newest = self._newest_versions()
        self._quarantined = self._offences(submissions)
        self._new: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def accept(self, submission: Submission) -> str | Exception:
        """The document's id, or why not."""
        collection = self._collections.get(submission.collection_id)
        if collection is None or collection.tenant != submission.tenant or collection.deleting:
            return NotFound("There is no such collection.")
        offence = self._quarantined.get((submission.tenant, submission.content.sha256, submission.fingerprint))
        if submission.refusal is None and offence is not None:
            return Quarantined(
                f"The same content killed or exhausted its parser before: dead letter {offence}. Dropping that letter "
                "releases the content, and so does redriving it."
            )
        key = document_id_of(submission)
        if key in self._new:  # the same document twice in one batch: the first must be a row before the second
            self.flush()
        known = self._documents.get(key)
        if known is None:
            self._accept_new(key, submission, collection)
        elif key in self._newest and not _may_change(submission, known):
            return Conflict(
                "A document with this external id, or with this content, is here that you may not see: give another "
                "external id, or use a key that holds one of its labels."
            )
        else:
            self._accept_known(known, submission, collection)
        return key

    def flush(self) -> None:
        """Writes what is gathered."""
        if not self._new:
            return
        rows = [document for document, _ in self._new.values()]
        self._connection.execute(insert(documents), rows)
        self._connection.execute(insert(versions), [version for _, version in self._new.values()])
        owed = [ledger.task_row(row, Stage.PARSE, now=self._now) for row in rows if row["state"] != "failed"]
        if owed:
            self._connection.execute(insert(tasks), owed)
        self._documents |= {row["id"]: row for row in rows}
        self._newest |= {key: version for key, (_, version) in self._new.items()}
        self._new.clear()

    def _accept_new(self, key: str, submission: Submission, collection: Row[Any]) -> None:
        attributes = {
            "id": key,
            "tenant": submission.tenant,
            "collection_id": submission.collection_id,
            "identity_kind": submission.identity_kind.value,
            "identity_value": submission.identity_value,
            "created_at": self._now,
            **_fresh(submission, collection),
            **_progress(submission, version=1, now=self._now),
            "rev": 1,
        }
        version = _version_row(attributes, submission, source=submission.source)
        document = showing(attributes, version)
        self._new[key] = (document, version)
        if submission.refusal is not None:
            self.flush()
            self._refuse(document, submission)

    def _accept_known(self, known: dict[str, Any], submission: Submission, collection: Row[Any]) -> None:
        newest = self._newest.get(known["id"])  # a tombstone's version has no row
        if newest is not None and _is_same(known, newest, submission):
            unsaid = _unsaid(newest, collection)
            change_attributes(self._connection, known, submission.attributes, unsaid=unsaid, now=self._now)
            return
        if newest is None:
            known.update(_fresh(submission, collection))
            changed, source = True, submission.source
        else:
            changed = apply_attributes(known, submission.attributes, _unsaid(newest, collection))
            source = submission.source or newest["source"]
        known.update(_progress(submission, version=known["version"] + 1, now=self._now))
        version = _version_row(known, submission, source=source)
        before = known["fields"]
        if known["live_version"] is None:
            known.update(showing(known, version))
        else:
            known["fields"] = encoded_fields(known)
        moved = changed or known["fields"] != before
        known["rev"] += moved
        if submission.refusal is None:
            ledger.new_version(self._connection, known, version, now=self._now)
        else:
            self._connection.execute(update(documents).where(documents.c.id == known["id"]).values(**known))
            self._connection.execute(insert(versions).values(**version))
            ledger.owe_title(self._connection, known, now=self._now)
            ledger.close_letters(self._connection, known["id"], by="superseded", now=self._now)
            self._refuse(known, submission)
        self._newest[known["id"]] = version
        if moved and known["live_version"] is not None:
            ledger.owe_repaint(self._connection, known, now=self._now)

    def _refuse(self, document: Mapping[str, Any], submission: Submission) -> None:
        code, reason = submission.refusal or ("", "")
        self._connection.execute(
            insert(dead_letters).values(
                id=str(uuid4()),
                tenant=document["tenant"],
                document_id=document["id"],
                version=document["version"],
                stage=Stage.PARSE.value,
                code=code,
                reason=reason,
                sha256=submission.content.sha256,
                fingerprint=submission.fingerprint,
                attempts=0,
                evidence={"refused_at": "intake"},
                created_at=self._now,
            )
        )

    def _rows(self, table: Table, ids: set[str], *, shared: bool = False) -> dict[str, Row[Any]]:
        """Those that exist; nobody else changes them before this transaction ends."""
        rows: dict[str, Row[Any]] = {}
        wanted = sorted(ids)
        for start in range(0, len(wanted), 500):  # below SQLite's limit of bound parameters
            here = table.c.id.in_(wanted[start : start + 500])
            query = select(table).where(here).order_by(table.c.id).with_for_update(read=shared)
            rows |= {row.id: row for row in self._connection.execute(query)}
        return rows

    def _newest_versions(self) -> dict[str, dict[str, Any]]:
        """The rows of the newest versions, by document; a tombstone's version has none."""
        rows: dict[str, dict[str, Any]] = {}
        newest = and_(versions.c.document_id == documents.c.id, versions.c.version == documents.c.version)
        wanted = sorted(self._documents)
        for start in range(0, len(wanted), 500):
            here = documents.c.id.in_(wanted[start : start + 500])
            for row in self._connection.execute(select(versions).join(documents, newest).where(here)):
                rows[row.document_id] = dict(row._mapping)
        return rows

    def _offences(self, submissions: Sequence[Submission]) -> dict[tuple[str, str, str], str]:
        """The dead letters for which content is refused, by tenant, content and what it was parsed with."""
        letters: dict[tuple[str, str, str], str] = {}
        tenants = {s.tenant for s in submissions}
        wanted = sorted({s.content.sha256 for s in submissions})
        for start in range(0, len(wanted), 500):
            here = dead_letters.c.sha256.in_(wanted[start : start + 500])
            query = select(dead_letters).where(dead_letters.c.tenant.in_(tenants), here, ledger.quarantines())
            letters |= {(row.tenant, row.sha256, row.fingerprint): row.id for row in self._connection.execute(query)}
        return letters


def document_id_of(submission: Submission) -> str:
    return identity.document_id(
        submission.tenant, submission.collection_id, submission.identity_kind, submission.identity_value
    )


def apply_attributes(document: dict[str, Any], attributes: Attributes, unsaid: Mapping[str, Any]) -> bool:
    """Applies what was given to a document row, and `unsaid` where it was withdrawn; whether anything changed."""
    given: dict[str, Any] = {
        "title": attributes.title,
        "external_id": attributes.external_id,
        "metadata": None if attributes.metadata is None else dict(attributes.metadata),
        "readers": None if attributes.readers is None else list(attributes.readers),
    }
    if attributes.title is not None:
        given["title_given"] = True  # also of the same title: from now on no parsed one replaces it
    values = {key: value for key, value in given.items() if value is not None}
    values |= {key: unsaid[key] for key in attributes.withdrawn}
    if "title" in attributes.withdrawn:
        values["title_given"] = False
    changed = {key: value for key, value in values.items() if value != document[key]}
    document.update(changed)
    return bool(changed)


def change_attributes(
    connection: Connection,
    document: dict[str, Any],
    attributes: Attributes,
    *,
    unsaid: Mapping[str, Any] | None = None,
    now: float,
) -> None:
    """Attributes on a document whose content stays: shown at once, repainted, and a new title embedded again."""
    of_content = _newest(connection, document).title
    embedded = document["title"] if document["title_given"] else of_content
    if not apply_attributes(document, attributes, unsaid or {}):
        return
    document.update(rev=document["rev"] + 1, updated_at=now)
    document["fields"] = encoded_fields(document)
    title = document["title"] if document["title_given"] else of_content
    if title != embedded and document["state"] != DocumentState.FAILED.value:
        again(connection, document, reuse_vectors=True, now=now)
    else:
        connection.execute(update(documents).where(documents.c.id == document["id"]).values(**document))
        if title != embedded:
            ledger.owe_title(connection, document, now=now)
    ledger.owe_repaint(connection, document, now=now)


def again(
    connection: Connection,
    document: dict[str, Any],
    *,
    reuse_vectors: bool,
    now: float,
    fingerprint: str | None = None,
) -> None:
    """A new version of the newest content; `Conflict` where that was never stored."""
    newest = _newest(connection, document)
    if not newest.stored:
        raise Conflict("The newest file was refused before it was stored; send a mended one in its place.")
    document.update(
        version=document["version"] + 1,
        state=DocumentState.RECEIVED.value,
        code=None,
        reason=None,
        updated_at=now,
    )
    version = dict(newest._mapping) | {
        "version": document["version"],
        "reuse_vectors": reuse_vectors,
        "fingerprint": fingerprint or newest.fingerprint,
        "chunk_file": None,
        "embedded_title": None,
        "partial_code": None,
        "partial_reason": None,
        "created_at": now,
    }
    ledger.new_version(connection, document, version, now=now)


def _newest(connection: Connection, document: Mapping[str, Any]) -> Row[Any]:
    query = select(versions).where(versions.c.document_id == document["id"], versions.c.version == document["version"])
    return connection.execute(query).one()


def _fresh(submission: Submission, collection: Row[Any]) -> dict[str, Any]:
    """The attributes of a document that has none yet."""
    attributes = submission.attributes
    return {
        "title": attributes.title or submission.default_title,
        "title_given": attributes.title is not None,
        "external_id": attributes.external_id,
        "metadata": dict(attributes.metadata or {}),
        "readers": _default_readers(collection) if attributes.readers is None else list(attributes.readers),
        "live_version": None,
        "live_attempt": None,
    }


def _unsaid(newest: Mapping[str, Any], collection: Row[Any]) -> dict[str, Any]:
    """The attributes of a document of which nobody said anything."""
    return {"title": newest["title"], "external_id": None, "metadata": {}, "readers": _default_readers(collection)}


def _default_readers(collection: Row[Any]) -> list[str]:
    return [EVERYBODY] if collection.default_readers is None else list(collection.default_readers)


def _progress(submission: Submission, *, version: int, now: float) -> dict[str, Any]:
    """How a document row says that this version is the newest."""
    code, reason = submission.refusal or (None, None)
    return {
        "version": version,
        "lane": submission.lane.value,
        "state": (DocumentState.RECEIVED if code is None else DocumentState.FAILED).value,
        "code": code,
        "reason": reason,
        "updated_at": now,
    }


def _version_row(document: Mapping[str, Any], submission: Submission, *, source: str | None) -> dict[str, Any]:
    content = submission.content
    return {
        "document_id": document["id"],
        "version": document["version"],
        "tenant": document["tenant"],
        "sha256": content.sha256,
        "bytes": content.bytes,
        "media_type": content.media_type,
        "name": content.name,
        "inline_text": content.inline_text,
        "stored": submission.refusal is None,
        "title": submission.default_title,
        "source": source,
        "fingerprint": submission.fingerprint,
        "reuse_vectors": True,
        "chunk_file": None,
        "embedded_title": None,
        "pages": None,
        "chunks": None,
        "tokens": None,
        "language": None,
        "partial_code": None,
        "partial_reason": None,
        "created_at": document["updated_at"],
    }


def _may_change(submission: Submission, known: Mapping[str, Any]) -> bool:
    """What one may not see, one may neither overwrite nor learn of. A tombstone is anybody's."""
    return submission.submitter.may_see(
        tenant=known["tenant"], collection_id=known["collection_id"], readers=tuple(known["readers"])
    )


def _is_same(document: Mapping[str, Any], newest: Mapping[str, Any], submission: Submission) -> bool:
    """Whether this is the content that is live or on its way, again."""
    return (
        submission.refusal is None
        and newest["sha256"] == submission.content.sha256
        and newest["media_type"] == submission.content.media_type
        and document["state"] != DocumentState.FAILED.value
    )
