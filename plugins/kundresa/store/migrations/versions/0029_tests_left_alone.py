"""How long a test of a journey in which something went wrong is left alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("journey_tests", sa.Column("again_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("journey_tests", "again_at")
