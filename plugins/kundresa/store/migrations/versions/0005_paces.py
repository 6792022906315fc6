"""How fast messages leave through an account, shared by all workers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "paces",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("per_second", sa.Float()),
        sa.Column("changed_at", sa.DateTime(timezone=True)),
        sa.Column("free_at", sa.DateTime(timezone=True)),
        sa.Column("doubted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("account", "domain", name="pk_paces"),
    )


def downgrade() -> None:
    op.drop_table("paces")
