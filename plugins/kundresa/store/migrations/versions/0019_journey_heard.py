"""The events that people in journeys have heard while the outcome of a message or a call is not known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("journey_positions", sa.Column("heard_json", sa.Text()))


def downgrade() -> None:
    op.drop_column("journey_positions", "heard_json")
