"""The tables. Times are seconds since the epoch, lists and objects JSON; digests are sha256 in hex."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
# SQLite makes only INTEGER columns autoincrement.
Serial = BigInteger().with_variant(Integer(), "sqlite")

facts = Table(
    "facts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Json, nullable=False),
)

collections = Table(
    "collections",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("name", String(63), nullable=False),
    Column("description", Text),
    Column("default_readers", Json),
    Column("metadata_schema", Json),
    Column("deleting", Boolean, nullable=False, default=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("tenant", "name"),
)

documents = Table(
    "documents",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("collection_id", String(36), nullable=False),
    Column("identity_kind", String(16), nullable=False),
    Column("identity_value", Text, nullable=False),
    Column("external_id", Text),
    Column("title", Text, nullable=False),
    Column("title_given", Boolean, nullable=False),
    Column("source", Text),
    Column("media_type", String(255), nullable=False),
    Column("language", String(16)),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("live_version", Integer),
    Column("live_attempt", BigInteger),
    Column("state", String(16), nullable=False),
    Column("code", String(32)),
    Column("reason", Text),
    Column("metadata", Json, nullable=False),
    Column("readers", Json, nullable=False),
    Column("fields", Json, nullable=False),  # the filter fields, encoded: what list and delete filter by
    Column("rev", Integer, nullable=False),
    Column("lane", String(16), nullable=False),
    Column("pages", Integer),
    Column("chunks", Integer),
    Column("tokens", Integer),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index(None, "tenant", "created_at", "id"),
    Index(None, "collection_id", "state"),
    Index(None, "tenant", "sha256"),
    Index(None, "tenant", "external_id"),
)

versions = Table(
    "versions",
    metadata,
    Column("document_id", String(36), ForeignKey("documents.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("media_type", String(255), nullable=False),
    Column("name", Text, nullable=False),
    Column("inline_text", Text),
    Column("fingerprint", String(64), nullable=False),
    Column("reuse_vectors", Boolean, nullable=False),
    Column("chunk_file", String(64)),
    Column("pages", Integer),
    Column("chunks", Integer),
    Column("tokens", Integer),
    Column("language", String(16)),
    Column("partial_code", String(32)),
    Column("partial_reason", Text),
    Column("created_at", Float, nullable=False),
    Index(None, "tenant", "sha256"),
    Index(None, "tenant", "chunk_file"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("tenant", String(64), nullable=False),
    Column("document_id", String(36), ForeignKey("documents.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("subject", String(32), nullable=False),
    Column("lane", String(16), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("suspicions", Integer, nullable=False),  # deaths of its own worker, alone or in company
    Column("kills", Integer, nullable=False),  # of these, the ones where it ran alone
    Column("retry_at", Float, nullable=False),
    Column("worker", String(64)),
    Column("lease_until", Float),
    Column("attempt", BigInteger),
    Column("created_at", Float, nullable=False),
    Column("done_at", Float),
    UniqueConstraint("document_id", "version", "stage", "subject"),
    Index("ix_tasks_open", "done_at", "retry_at"),
    Index(None, "worker"),
    sqlite_autoincrement=True,
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("task_id", BigInteger, ForeignKey("tasks.id"), nullable=False),
    Column("document_id", String(36), nullable=False),
    Column("version", Integer, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("worker", String(64), nullable=False),
    Column("outcome", String(16)),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("counts", Json, nullable=False),
    Column("error", Text),
    Index(None, "document_id"),
    Index(None, "worker", "outcome"),
    sqlite_autoincrement=True,
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("document_id", String(36), ForeignKey("documents.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("code", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("evidence", Json, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("closed_at", Float),
    Column("closed_by", String(16)),
    Index(None, "tenant", "closed_at", "created_at"),
    Index(None, "tenant", "sha256", "closed_at"),
    Index(None, "document_id"),
)

drop_files = Table(
    "drop_files",
    metadata,
    Column("path", Text, primary_key=True),
    Column("collection", String(63), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("sidecar", String(64), nullable=False),
    Column("document_id", String(36), nullable=False),
    Column("missing_since", Float),
    Column("held", Boolean, nullable=False),
    Column("refused", Text),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("until", Float, nullable=False),
)

blobs = Table(
    "blobs",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("touched_at", Float, nullable=False),
)
