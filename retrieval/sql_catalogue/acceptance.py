"""Accepting submissions: from what intake made durable to versions and owed tasks, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, Table, insert, select, update

from retrieval import identity
from retrieval.documents import Attributes, DocumentState, Stage, Submission
from retrieval.errors import NotFound, Quarantined
from retrieval.filters import encode_fields
from retrieval.principal import EVERYBODY
from retrieval.sql_catalogue import ledger
from retrieval.sql_catalogue.sql_filters import stored
from retrieval.sql_catalogue.tables import collections, dead_letters, documents, tasks, versions

# The dead letters whose content is refused until they are redriven or dropped, or the parser changes.
QUARANTINE_CODES = ("kills_worker", "parse_limit")
_GONE = (DocumentState.DELETING.value, DocumentState.DELETED.value)


def encoded_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """The filter fields of a document row in their stored form."""
    return stored(
        encode_fields(
            title=document["title"],
            external_id=document["external_id"],
            source=document["source"],
            media_type=document["media_type"],
            language=document["language"],
            created_at=document["created_at"],
            pages=document["pages"],
            metadata=document["metadata"],
        )
    )


class Acceptance:
    """One transaction's worth of submissions. New documents are gathered and written together at the end."""

    def __init__(self, connection: Connection, submissions: Sequence[Submission], *, now: float) -> None:
        self._connection = connection
        self._now = now
        self._collections = self._rows(collections, {s.collection_id for s in submissions})
        self._documents = {
            key: dict(row._mapping)
            for key, row in self._rows(documents, {document_id_of(s) for s in submissions}).items()
        }
        self._quarantined = self._open_quarantines(submissions)
        self._new: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def accept(self, submission: Submission) -> str | Exception:
        """The document's id, or why not."""
        collection = self._collections.get(submission.collection_id)
        if collection is None or collection.tenant != submission.tenant or collection.deleting:
            return NotFound("There is no such collection.")
        if submission.refusal is None and self._is_quarantined(submission):
            return Quarantined()
        key = document_id_of(submission)
        if key in self._new:  # the same document twice in one batch: the first must be a row before the second
            self.flush()
        known = self._documents.get(key)
        if known is None:
            self._accept_new(key, submission, collection)
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
        self._new.clear()

    def _accept_new(self, key: str, submission: Submission, collection: Row[Any]) -> None:
        document = {
            "id": key,
            "tenant": submission.tenant,
            "collection_id": submission.collection_id,
            "identity_kind": submission.identity_kind.value,
            "identity_value": submission.identity_value,
            "created_at": self._now,
            **_fresh(submission, collection),
            **_version_values(submission, version=1, now=self._now),
            "live_version": None,
            "live_attempt": None,
            "pages": None,
            "chunks": None,
            "tokens": None,
            "rev": 1,
        }
        document["fields"] = encoded_fields(document)
        self._new[key] = (document, _version_row(document, submission))
        if submission.refusal is not None:
            self.flush()
            self._refuse(document, submission)

    def _accept_known(self, known: dict[str, Any], submission: Submission, collection: Row[Any]) -> None:
        same = (
            submission.refusal is None
            and known["sha256"] == submission.content.sha256
            and known["media_type"] == submission.content.media_type
            and known["state"] not in (*_GONE, DocumentState.FAILED.value)
        )
        if same:
            change_attributes(self._connection, known, submission.attributes, now=self._now)
            return
        if known["state"] in _GONE:
            known.update(_fresh(submission, collection), live_version=None, live_attempt=None)
            known.update(pages=None, chunks=None, tokens=None)
            changed = True
        else:
            changed = apply_attributes(known, submission.attributes)
        if not known["title_given"]:
            known["title"] = submission.default_title
        known.update(_version_values(submission, version=known["version"] + 1, now=self._now))
        known["source"] = submission.source or known["source"]
        fields = encoded_fields(known)
        # What filters ask may have changed without the caller's attributes: a title, a media type.
        known["rev"] += changed or fields != known["fields"]
        known["fields"] = fields
        version = _version_row(known, submission)
        if submission.refusal is None:
            ledger.new_version(self._connection, known, version, now=self._now)
        else:
            self._connection.execute(update(documents).where(documents.c.id == known["id"]).values(**known))
            self._connection.execute(insert(versions).values(**version))
            ledger.close_letters(self._connection, known["id"], by="superseded", now=self._now)
            self._refuse(known, submission)
        if known["live_version"] is not None:
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

    def _rows(self, table: Table, ids: set[str]) -> dict[str, Row[Any]]:
        rows: dict[str, Row[Any]] = {}
        wanted = sorted(ids)
        for start in range(0, len(wanted), 500):  # below SQLite's limit of bound parameters
            portion = wanted[start : start + 500]
            rows |= {row.id: row for row in self._connection.execute(select(table).where(table.c.id.in_(portion)))}
        return rows

    def _open_quarantines(self, submissions: Sequence[Submission]) -> set[tuple[str, str, str]]:
        query = select(dead_letters.c.tenant, dead_letters.c.sha256, dead_letters.c.fingerprint).where(
            dead_letters.c.tenant.in_({s.tenant for s in submissions}),
            dead_letters.c.closed_at.is_(None),
            dead_letters.c.code.in_(QUARANTINE_CODES),
        )
        return {(row.tenant, row.sha256, row.fingerprint) for row in self._connection.execute(query)}

    def _is_quarantined(self, submission: Submission) -> bool:
        return (submission.tenant, submission.content.sha256, submission.fingerprint) in self._quarantined


def document_id_of(submission: Submission) -> str:
    return identity.document_id(
        submission.tenant, submission.collection_id, submission.identity_kind, submission.identity_value
    )


def apply_attributes(document: dict[str, Any], attributes: Attributes) -> bool:
    """Applies what was given to a document row; whether anything changed."""
    given: dict[str, Any] = {
        "title": attributes.title,
        "external_id": attributes.external_id,
        "metadata": None if attributes.metadata is None else dict(attributes.metadata),
        "readers": None if attributes.readers is None else list(attributes.readers),
    }
    if attributes.title is not None:
        given["title_given"] = True  # also of the same title: from now on no parsed one replaces it
    changed = {key: value for key, value in given.items() if value is not None and value != document[key]}
    document.update(changed)
    return bool(changed)


def change_attributes(connection: Connection, document: dict[str, Any], attributes: Attributes, *, now: float) -> None:
    """Attributes on a document whose content stays: shown at once, repainted, and a new title embedded again."""
    title = document["title"]
    if not apply_attributes(document, attributes):
        return
    document.update(rev=document["rev"] + 1, updated_at=now)
    document["fields"] = encoded_fields(document)
    if document["title"] != title and document["state"] != DocumentState.FAILED.value:
        again(connection, document, reuse_vectors=True, now=now)
    else:
        connection.execute(update(documents).where(documents.c.id == document["id"]).values(**document))
    ledger.owe_repaint(connection, document, now=now)


def again(
    connection: Connection,
    document: dict[str, Any],
    *,
    reuse_vectors: bool,
    now: float,
    fingerprint: str | None = None,
) -> None:
    """A new version of the same content."""
    newest = connection.execute(
        select(versions).where(versions.c.document_id == document["id"], versions.c.version == document["version"])
    ).one()
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
        "partial_code": None,
        "partial_reason": None,
        "created_at": now,
    }
    ledger.new_version(connection, document, version, now=now)


def _fresh(submission: Submission, collection: Row[Any]) -> dict[str, Any]:
    """The attributes of a document that has none yet."""
    attributes = submission.attributes
    default = [EVERYBODY] if collection.default_readers is None else list(collection.default_readers)
    return {
        "title": attributes.title or submission.default_title,
        "title_given": attributes.title is not None,
        "external_id": attributes.external_id,
        "source": submission.source,
        "metadata": dict(attributes.metadata or {}),
        "readers": default if attributes.readers is None else list(attributes.readers),
        "language": None,
    }


def _version_values(submission: Submission, *, version: int, now: float) -> dict[str, Any]:
    """What a document row says of its newest version."""
    code, reason = submission.refusal or (None, None)
    return {
        "version": version,
        "media_type": submission.content.media_type,
        "bytes": submission.content.bytes,
        "sha256": submission.content.sha256,
        "lane": submission.lane.value,
        "state": (DocumentState.RECEIVED if code is None else DocumentState.FAILED).value,
        "code": code,
        "reason": reason,
        "updated_at": now,
    }


def _version_row(document: Mapping[str, Any], submission: Submission) -> dict[str, Any]:
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
        "fingerprint": submission.fingerprint,
        "reuse_vectors": True,
        "created_at": document["updated_at"],
    }
