"""Runs that are stopped and can be resumed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("stopped_at", sa.DateTime(timezone=True)))
    op.add_column("runs", sa.Column("stop_detail", sa.Text()))


def downgrade() -> None:
    op.drop_column("runs", "stop_detail")
    op.drop_column("runs", "stopped_at")
