"""How far a journey has read the clicks of the feedback: it hears them later than the rest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "journeys", sa.Column("click_position", sa.BigInteger(), nullable=False, server_default="0")
    )
    # What was read before was heard at once, whoever had clicked.
    op.execute("update journeys set click_position = feedback_position")


def downgrade() -> None:
    op.drop_column("journeys", "click_position")
