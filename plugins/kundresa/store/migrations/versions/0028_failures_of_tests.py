"""What went wrong in running a test of a journey last, for who looks at it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("journey_tests", sa.Column("failed_at", sa.DateTime(timezone=True)))
    op.add_column("journey_tests", sa.Column("failure", sa.Text()))


def downgrade() -> None:
    op.drop_column("journey_tests", "failure")
    op.drop_column("journey_tests", "failed_at")
