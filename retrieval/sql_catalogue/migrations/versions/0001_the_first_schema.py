"""the first schema"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

Json = sa.JSON(none_as_null=True)
Searchable = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def words(length: int | None = None) -> sa.types.TypeEngine[str]:
    plain = sa.Text() if length is None else sa.String(length)
    ordered = sa.Text(collation="C") if length is None else sa.String(length, collation="C")
    return plain.with_variant(ordered, "postgresql")


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("tenant", words(64), nullable=False),
        sa.Column("digest", words(64), nullable=False),
        sa.Column("touched_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "digest", name=op.f("pk_blobs")),
    )
    op.create_table(
        "collections",
        sa.Column("id", words(36), nullable=False),
        sa.Column("tenant", words(64), nullable=False),
        sa.Column("name", words(63), nullable=False),
        sa.Column("description", words(), nullable=True),
        sa.Column("default_readers", Json, nullable=True),
        sa.Column("metadata_schema", Json, nullable=True),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("deleted_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collections")),
    )
    with op.batch_alter_table("collections", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_collections_tenant_name"), ["tenant", "name"], unique=False)
        batch_op.create_index(
            "uq_collections_tenant_name",
            ["tenant", "name"],
            unique=True,
            sqlite_where=sa.text("deleted_at IS NULL"),
            postgresql_where=sa.text("deleted_at IS NULL"),
        )

    op.create_table(
        "documents",
        sa.Column("id", words(36), nullable=False),
        sa.Column("tenant", words(64), nullable=False),
        sa.Column("collection_id", words(36), nullable=False),
        sa.Column("identity_kind", words(16), nullable=False),
        sa.Column("identity_value", words(), nullable=False),
        sa.Column("external_id", words(), nullable=True),
        sa.Column("title", words(), nullable=False),
        sa.Column("title_given", sa.Boolean(), nullable=False),
        sa.Column("source", words(), nullable=True),
        sa.Column("media_type", words(255), nullable=False),
        sa.Column("language", words(16), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", words(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("live_version", sa.Integer(), nullable=True),
        sa.Column("live_attempt", sa.BigInteger(), nullable=True),
        sa.Column("state", words(16), nullable=False),
        sa.Column("code", words(32), nullable=True),
        sa.Column("reason", words(), nullable=True),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("readers", Searchable, nullable=False),
        sa.Column("fields", Searchable, nullable=False),
        sa.Column("rev", sa.Integer(), nullable=False),
        sa.Column("lane", words(16), nullable=False),
        sa.Column("pages", sa.Integer(), nullable=True),
        sa.Column("chunks", sa.Integer(), nullable=True),
        sa.Column("tokens", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
    )
    with op.batch_alter_table("documents", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_documents_collection_id_state"), ["collection_id", "state"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_documents_tenant_created_at_id"), ["tenant", "created_at", "id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_documents_tenant_external_id"), ["tenant", "external_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_documents_tenant_sha256"), ["tenant", "sha256"], unique=False)

    op.create_table(
        "drop_files",
        sa.Column("key", words(64), nullable=False),
        sa.Column("path", words(), nullable=False),
        sa.Column("collection", words(63), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("ctime_ns", sa.BigInteger(), nullable=False),
        sa.Column("sha256", words(64), nullable=False),
        sa.Column("sidecar", words(64), nullable=False),
        sa.Column("described", Json, nullable=False),
        sa.Column("document_id", words(36), nullable=False),
        sa.Column("missing_since", sa.Float(), nullable=True),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("refused", words(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_drop_files")),
    )
    op.create_table(
        "facts",
        sa.Column("name", words(64), nullable=False),
        sa.Column("value", Json, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_facts")),
    )
    op.create_table(
        "leases",
        sa.Column("name", words(64), nullable=False),
        sa.Column("holder", words(64), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", words(36), nullable=False),
        sa.Column("tenant", words(64), nullable=False),
        sa.Column("document_id", words(36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("stage", words(16), nullable=False),
        sa.Column("code", words(32), nullable=False),
        sa.Column("reason", words(), nullable=False),
        sa.Column("sha256", words(64), nullable=False),
        sa.Column("fingerprint", words(64), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("evidence", Json, nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("closed_at", sa.Float(), nullable=True),
        sa.Column("closed_by", words(16), nullable=True),
        sa.Column("announced_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name=op.f("fk_dead_letters_document_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
    )
    with op.batch_alter_table("dead_letters", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dead_letters_document_id"), ["document_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_dead_letters_tenant_closed_at_created_at"),
            ["tenant", "closed_at", "created_at"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_dead_letters_tenant_sha256_closed_at"), ["tenant", "sha256", "closed_at"], unique=False
        )
        batch_op.create_index(
            "ix_dead_letters_unannounced",
            ["created_at", "id"],
            unique=False,
            sqlite_where=sa.text("announced_at IS NULL"),
            postgresql_where=sa.text("announced_at IS NULL"),
        )

    op.create_table(
        "tasks",
        sa.Column("id", Serial, autoincrement=True, nullable=False),
        sa.Column("tenant", words(64), nullable=False),
        sa.Column("document_id", words(36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("stage", words(16), nullable=False),
        sa.Column("subject", words(32), nullable=False),
        sa.Column("lane", words(16), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("suspicions", sa.Integer(), nullable=False),
        sa.Column("kills", sa.Integer(), nullable=False),
        sa.Column("postponements", sa.Integer(), nullable=False),
        sa.Column("retry_at", sa.Float(), nullable=False),
        sa.Column("worker", words(64), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("seen_at", sa.Float(), nullable=True),
        sa.Column("attempt", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("done_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name=op.f("fk_tasks_document_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint(
            "document_id", "version", "stage", "subject", name=op.f("uq_tasks_document_id_version_stage_subject")
        ),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.create_index(
            "ix_tasks_due",
            ["stage", "lane", "tenant", "retry_at", "id"],
            unique=False,
            sqlite_where=sa.text("done_at IS NULL"),
            postgresql_where=sa.text("done_at IS NULL"),
        )
        batch_op.create_index(batch_op.f("ix_tasks_worker"), ["worker"], unique=False)

    op.create_table(
        "versions",
        sa.Column("document_id", words(36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("tenant", words(64), nullable=False),
        sa.Column("sha256", words(64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("media_type", words(255), nullable=False),
        sa.Column("name", words(), nullable=False),
        sa.Column("inline_text", words(), nullable=True),
        sa.Column("stored", sa.Boolean(), nullable=False),
        sa.Column("title", words(), nullable=False),
        sa.Column("source", words(), nullable=True),
        sa.Column("fingerprint", words(64), nullable=False),
        sa.Column("reuse_vectors", sa.Boolean(), nullable=False),
        sa.Column("chunk_file", words(64), nullable=True),
        sa.Column("embedded_title", words(), nullable=True),
        sa.Column("pages", sa.Integer(), nullable=True),
        sa.Column("chunks", sa.Integer(), nullable=True),
        sa.Column("tokens", sa.Integer(), nullable=True),
        sa.Column("language", words(16), nullable=True),
        sa.Column("partial_code", words(32), nullable=True),
        sa.Column("partial_reason", words(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name=op.f("fk_versions_document_id")),
        sa.PrimaryKeyConstraint("document_id", "version", name=op.f("pk_versions")),
    )
    with op.batch_alter_table("versions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_versions_tenant_chunk_file"), ["tenant", "chunk_file"], unique=False)
        batch_op.create_index(batch_op.f("ix_versions_tenant_sha256"), ["tenant", "sha256"], unique=False)

    op.create_table(
        "attempts",
        sa.Column("id", Serial, autoincrement=True, nullable=False),
        sa.Column("task_id", sa.BigInteger(), nullable=False),
        sa.Column("document_id", words(36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("stage", words(16), nullable=False),
        sa.Column("worker", words(64), nullable=False),
        sa.Column("outcome", words(16), nullable=True),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("counts", Json, nullable=False),
        sa.Column("error", words(), nullable=True),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_attempts_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_attempts_document_id"), ["document_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_attempts_worker_outcome"), ["worker", "outcome"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_attempts_worker_outcome"))
        batch_op.drop_index(batch_op.f("ix_attempts_document_id"))

    op.drop_table("attempts")
    with op.batch_alter_table("versions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_versions_tenant_sha256"))
        batch_op.drop_index(batch_op.f("ix_versions_tenant_chunk_file"))

    op.drop_table("versions")
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tasks_worker"))
        batch_op.drop_index("ix_tasks_due")

    op.drop_table("tasks")
    with op.batch_alter_table("dead_letters", schema=None) as batch_op:
        batch_op.drop_index("ix_dead_letters_unannounced")
        batch_op.drop_index(batch_op.f("ix_dead_letters_tenant_sha256_closed_at"))
        batch_op.drop_index(batch_op.f("ix_dead_letters_tenant_closed_at_created_at"))
        batch_op.drop_index(batch_op.f("ix_dead_letters_document_id"))

    op.drop_table("dead_letters")
    op.drop_table("leases")
    op.drop_table("facts")
    op.drop_table("drop_files")
    with op.batch_alter_table("documents", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_documents_tenant_sha256"))
        batch_op.drop_index(batch_op.f("ix_documents_tenant_external_id"))
        batch_op.drop_index(batch_op.f("ix_documents_tenant_created_at_id"))
        batch_op.drop_index(batch_op.f("ix_documents_collection_id_state"))

    op.drop_table("documents")
    with op.batch_alter_table("collections", schema=None) as batch_op:
        batch_op.drop_index("uq_collections_tenant_name")
        batch_op.drop_index(batch_op.f("ix_collections_tenant_name"))

    op.drop_table("collections")
    op.drop_table("blobs")
