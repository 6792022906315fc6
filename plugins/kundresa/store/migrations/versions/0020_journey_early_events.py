"""The events that are kept for who enters a journey by one of before them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "journey_early_events",
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("profile_id", sa.String(), nullable=False),
        sa.Column("event_position", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("journey", "profile_id", "event_position", name="pk_journey_early_events"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_journey_early_events_journey_occurred_at",
        "journey_early_events",
        ["journey", "occurred_at"],
    )


def downgrade() -> None:
    op.drop_table("journey_early_events")
