"""The readings of an audience that events start, in the order of the events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_UNDER_WAY = sa.text("ended_at IS NULL")


def _instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "journey_readings",
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("event_json", sa.Text(), nullable=False),
        _instant("occurred_at"),
        sa.Column("turns", sa.BigInteger(), nullable=False),
        _instant("began_at", nullable=True),
        _instant("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("journey", "number", name="pk_journey_readings"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_journey_readings_under_way",
        "journey_readings",
        ["journey", "number"],
        sqlite_where=_UNDER_WAY,
        postgresql_where=_UNDER_WAY,
    )
    op.create_index("ix_journey_readings_ended_at", "journey_readings", ["ended_at"])


def downgrade() -> None:
    op.drop_table("journey_readings")
