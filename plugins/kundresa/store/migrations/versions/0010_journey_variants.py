"""The variant of a journey's experiment that a person is in, and that each message was sent in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TABLES = ("journey_positions", "journey_messages")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("variant", sa.String()))


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "variant")
