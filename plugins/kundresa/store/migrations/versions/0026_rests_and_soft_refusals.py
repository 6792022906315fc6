"""Receiving domains that are left alone, by account, and messages that were refused for now and given up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rests",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True)),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", "domain", name="pk_rests"),
    )
    op.create_table(
        "soft_refusals",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("channel", "address", "message_id", name="pk_soft_refusals"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_soft_refusals_refused_at", "soft_refusals", ["refused_at"])


def downgrade() -> None:
    op.drop_table("soft_refusals")
    op.drop_table("rests")
