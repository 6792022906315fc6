"""Journeys read feedback: how far they have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Journeys that run already look at all feedback once; none of them waits for any.
    zero = sa.text("0")
    op.add_column(
        "journeys", sa.Column("feedback_position", sa.BigInteger(), nullable=False, server_default=zero)
    )


def downgrade() -> None:
    op.drop_column("journeys", "feedback_position")
