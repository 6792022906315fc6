"""Indexes in which pages count who is where and what became of messages, without reading the lines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_INSIDE = sa.text("step IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_journey_positions_inside",
        "journey_positions",
        ["journey", "version", "step", "step_at"],
        sqlite_where=_INSIDE,
        postgresql_where=_INSIDE,
    )
    op.create_index(
        "ix_journey_messages_outcome", "journey_messages", ["journey", "step", "outcome", "reason"]
    )


def downgrade() -> None:
    op.drop_index("ix_journey_messages_outcome", "journey_messages")
    op.drop_index("ix_journey_positions_inside", "journey_positions")
