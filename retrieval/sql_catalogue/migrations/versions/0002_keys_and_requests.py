"""API keys, and requests with an idempotency key"""

import sqlalchemy as sa
from alembic import op

Json = sa.JSON(none_as_null=True)

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def words(length: int | None = None) -> sa.types.TypeEngine[str]:
    plain = sa.Text() if length is None else sa.String(length)
    ordered = sa.Text(collation="C") if length is None else sa.String(length, collation="C")
    return plain.with_variant(ordered, "postgresql")


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", words(36), nullable=False),
        sa.Column("tenant", words(64), nullable=False),
        sa.Column("name", words(200), nullable=False),
        sa.Column("digest", words(64), nullable=False),
        sa.Column("hint", words(16), nullable=False),
        sa.Column("scopes", Json, nullable=False),
        sa.Column("labels", Json, nullable=False),
        sa.Column("collections", Json, nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("revoked_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_api_keys_tenant_created_at_id"), ["tenant", "created_at", "id"])

    op.create_table(
        "requests",
        sa.Column("tenant", words(64), nullable=False),
        sa.Column("caller", words(36), nullable=False),
        sa.Column("route", words(400), nullable=False),
        sa.Column("key", words(255), nullable=False),
        sa.Column("digest", words(64), nullable=False),
        sa.Column("holder", words(36), nullable=False),
        sa.Column("lease_until", sa.Float(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", words(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "caller", "route", "key", name=op.f("pk_requests")),
    )
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_requests_created_at"), ["created_at"])


def downgrade() -> None:
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_requests_created_at"))

    op.drop_table("requests")
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_api_keys_tenant_created_at_id"))

    op.drop_table("api_keys")
