"""The tables. Times are seconds since the epoch by the database's clock, lists and objects JSON; digests are sha256 in
hex. Text is ordered by its code points on every engine, whatever language a server was set up for: lists and cursors
mean the same everywhere, and no index is damaged when a server's C library learns to sort anew."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
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


def storable(value: str) -> str:
    """The text with U+FFFD for what PostgreSQL or SQLite cannot hold: NUL, half of a surrogate pair. People's own words
    are refused before they come here, so it stands in what parsers found and errors said."""
    if "\0" not in value and (value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)):
        return value
    return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Words(TypeDecorator[str]):
    """Storable text of at most this length."""

    impl = Text
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        collation = "C" if dialect.name == "postgresql" else None
        plain = Text(collation=collation) if self.length is None else String(self.length, collation=collation)
        return dialect.type_descriptor(plain)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return storable(value)


# Kept as it was written: PostgreSQL's binary form would make another number of 1e23.
Json = JSON(none_as_null=True)
# For what is asked about within SQL.
Searchable = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
# SQLite makes only INTEGER columns autoincrement.
Serial = BigInteger().with_variant(Integer(), "sqlite")

facts = Table(
    "facts",
    metadata,
    Column("name", Words(64), primary_key=True),
    Column("value", Json, nullable=False),
)

collections = Table(
    "collections",
    metadata,
    Column("id", Words(36), primary_key=True),
    Column("tenant", Words(64), nullable=False),
    Column("name", Words(63), nullable=False),
    Column("description", Words()),
    Column("default_readers", Json),
    Column("metadata_schema", Json),
    Column("deleting", Boolean, nullable=False, default=False),
    Column("created_at", Float, nullable=False),
    Column("deleted_at", Float),  # its documents are gone too; the row stays, for the name that their tombstones show
    # A name is taken until then.
    Index(
        "uq_collections_tenant_name",
        "tenant",
        "name",
        unique=True,
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index(None, "tenant", "name"),
)

documents = Table(
    "documents",
    metadata,
    Column("id", Words(36), primary_key=True),
    Column("tenant", Words(64), nullable=False),
    Column("collection_id", Words(36), nullable=False),
    Column("identity_kind", Words(16), nullable=False),
    Column("identity_value", Words(), nullable=False),
    Column("external_id", Words()),
    Column("title", Words(), nullable=False),
    Column("title_given", Boolean, nullable=False),
    Column("source", Words()),
    Column("media_type", Words(255), nullable=False),
    Column("language", Words(16)),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", Words(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("live_version", Integer),
    Column("live_attempt", BigInteger),
    Column("state", Words(16), nullable=False),
    Column("code", Words(32)),
    Column("reason", Words()),
    Column("metadata", Json, nullable=False),
    Column("readers", Searchable, nullable=False),
    Column("fields", Searchable, nullable=False),  # the filter fields, encoded: what list and delete filter by
    Column("rev", Integer, nullable=False),
    Column("lane", Words(16), nullable=False),
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
    Column("document_id", Words(36), ForeignKey("documents.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("tenant", Words(64), nullable=False),
    Column("sha256", Words(64), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("media_type", Words(255), nullable=False),
    Column("name", Words(), nullable=False),
    Column("inline_text", Words()),
    Column("stored", Boolean, nullable=False),  # whether its bytes were kept: what intake refuses is not
    Column("title", Words(), nullable=False),  # what it is called where the caller gave no title
    Column("source", Words()),
    Column("fingerprint", Words(64), nullable=False),
    Column("reuse_vectors", Boolean, nullable=False),
    Column("chunk_file", Words(64)),
    Column("embedded_title", Words()),  # what its chunks were written under; the document's may be another one by now
    Column("pages", Integer),
    Column("chunks", Integer),
    Column("tokens", Integer),
    Column("language", Words(16)),
    Column("partial_code", Words(32)),
    Column("partial_reason", Words()),
    Column("created_at", Float, nullable=False),
    Index(None, "tenant", "sha256"),
    Index(None, "tenant", "chunk_file"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("tenant", Words(64), nullable=False),
    Column("document_id", Words(36), ForeignKey("documents.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("stage", Words(16), nullable=False),
    Column("subject", Words(32), nullable=False),
    Column("lane", Words(16), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("suspicions", Integer, nullable=False),  # deaths of its own worker, alone or in company
    Column("kills", Integer, nullable=False),  # of these, the ones where it ran alone
    Column("postponements", Integer, nullable=False),  # in a row, because something was not available
    Column("retry_at", Float, nullable=False),
    Column("worker", Words(64)),
    Column("lease_until", Float),
    Column("seen_at", Float),  # when its worker was last known to live: the claim, or the last heartbeat
    Column("attempt", BigInteger),
    Column("created_at", Float, nullable=False),
    Column("done_at", Float),
    UniqueConstraint("document_id", "version", "stage", "subject"),
    Index(
        "ix_tasks_due",
        *("stage", "lane", "tenant", "retry_at", "id"),
        sqlite_where=text("done_at IS NULL"),
        postgresql_where=text("done_at IS NULL"),
    ),
    Index(None, "worker"),
    sqlite_autoincrement=True,
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("task_id", BigInteger, ForeignKey("tasks.id"), nullable=False),
    Column("document_id", Words(36), nullable=False),
    Column("version", Integer, nullable=False),
    Column("stage", Words(16), nullable=False),
    Column("worker", Words(64), nullable=False),
    Column("outcome", Words(16)),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("counts", Json, nullable=False),
    Column("error", Words()),
    Index(None, "document_id"),
    Index(None, "worker", "outcome"),
    sqlite_autoincrement=True,
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Words(36), primary_key=True),
    Column("tenant", Words(64), nullable=False),
    Column("document_id", Words(36), ForeignKey("documents.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("stage", Words(16), nullable=False),
    Column("code", Words(32), nullable=False),
    Column("reason", Words(), nullable=False),
    Column("sha256", Words(64), nullable=False),
    Column("fingerprint", Words(64), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("evidence", Json, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("closed_at", Float),
    Column("closed_by", Words(16)),
    Column("announced_at", Float),  # when the record of it was with the brokers; never, where there are none
    Index(None, "tenant", "closed_at", "created_at"),
    Index(None, "tenant", "sha256", "closed_at"),
    Index(None, "document_id"),
    Index(
        "ix_dead_letters_unannounced",
        *("created_at", "id"),
        sqlite_where=text("announced_at IS NULL"),
        postgresql_where=text("announced_at IS NULL"),
    ),
)

drop_files = Table(
    "drop_files",
    metadata,
    Column("key", Words(64), primary_key=True),  # of the path, which may be longer than an index takes
    Column("path", Words(), nullable=False),
    Column("collection", Words(63), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("ctime_ns", BigInteger, nullable=False),
    Column("sha256", Words(64), nullable=False),
    Column("sidecar", Words(64), nullable=False),
    Column("described", Json, nullable=False),
    Column("document_id", Words(36), nullable=False),
    Column("missing_since", Float),
    Column("held", Boolean, nullable=False),
    Column("refused", Words()),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Words(64), primary_key=True),
    Column("holder", Words(64), nullable=False),
    Column("until", Float, nullable=False),
)

blobs = Table(
    "blobs",
    metadata,
    Column("tenant", Words(64), primary_key=True),
    Column("digest", Words(64), primary_key=True),
    Column("touched_at", Float, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Words(36), primary_key=True),
    Column("tenant", Words(64), nullable=False),
    Column("name", Words(200), nullable=False),
    Column("digest", Words(64), nullable=False, unique=True),  # of the key, which is nowhere
    Column("hint", Words(16), nullable=False),
    Column("scopes", Json, nullable=False),
    Column("labels", Json, nullable=False),
    Column("collections", Json),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Index(None, "tenant", "created_at", "id"),
)

requests = Table(
    "requests",
    metadata,
    Column("tenant", Words(64), primary_key=True),
    Column("caller", Words(36), primary_key=True),
    Column("route", Words(400), primary_key=True),
    Column("key", Words(255), primary_key=True),
    Column("digest", Words(64), nullable=False),
    Column("holder", Words(36), nullable=False),
    Column("lease_until", Float, nullable=False),
    Column("status", Integer),
    Column("body", Words()),
    Column("created_at", Float, nullable=False),
    Index(None, "created_at"),
)
