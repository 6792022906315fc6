"""What reactions a pause has discarded, and where the inbox ended when a version of a journey was started."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("journeys", sa.Column("feedback_left_out", sa.Text(), nullable=False, server_default="[]"))
    # Of versions of before nothing is known: all events that were not read yet count for them, as they did.
    op.add_column(
        "journey_versions", sa.Column("event_position", sa.BigInteger(), nullable=False, server_default="0")
    )


def downgrade() -> None:
    op.drop_column("journey_versions", "event_position")
    op.drop_column("journeys", "feedback_left_out")
