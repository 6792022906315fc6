"""How far each audience share has come."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audience_shares",
        sa.Column("share", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("shared_sequence", sa.Integer()),
        sa.Column("shared_build_id", sa.String()),
        sa.Column("shared_fingerprint", sa.String()),
        sa.Column("shared_at", sa.DateTime(timezone=True)),
        sa.Column("build_id", sa.String()),
        sa.Column("fingerprint", sa.String()),
        sa.Column("mode", sa.String()),
        sa.Column("changes", sa.Integer()),
        sa.Column("batch_size", sa.Integer()),
        sa.Column("sent_batches", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("share", name="pk_audience_shares"),
    )


def downgrade() -> None:
    op.drop_table("audience_shares")
