"""The calls of journeys' webhook steps, and what was answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_UNDER_WAY = sa.text("state <> 'over'")


def _string(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "journey_calls",
        _string("call_id"),
        _string("journey"),
        _whole("version"),
        _string("step"),
        _string("profile_id"),
        _string("instance_key"),
        _whole("entry"),
        _whole("move"),
        _string("state"),
        _instant("reached_at"),
        _instant("valid_until"),
        _instant("not_before"),
        _whole("attempts"),
        _string("claimed_by", nullable=True),
        sa.Column("event_json", sa.Text(), nullable=False),
        sa.Column("response_json", sa.Text()),
        _string("outcome", nullable=True),
        _string("reason", nullable=True),
        _string("code", nullable=True),
        sa.Column("detail", sa.Text()),
        _instant("settled_at", nullable=True),
        sa.PrimaryKeyConstraint("call_id", name="pk_journey_calls"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_journey_calls_under_way",
        "journey_calls",
        ["journey", "state", "not_before"],
        sqlite_where=_UNDER_WAY,
        postgresql_where=_UNDER_WAY,
    )
    op.create_index("ix_journey_calls_profile_id_journey", "journey_calls", ["profile_id", "journey"])
    op.create_index("ix_journey_calls_settled_at", "journey_calls", ["settled_at"])


def downgrade() -> None:
    op.drop_table("journey_calls")
