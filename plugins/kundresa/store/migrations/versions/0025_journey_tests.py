"""Tests of journeys: whom they let in, how short their waits are, and which messages are theirs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_INDEX = "ix_journey_messages_counted"
_COLUMNS = ["send_at", "channel", "sender_domain", "address_domain", "outcome", "reason"]
_BEFORE = "send_at IS NOT NULL AND (outcome IS NULL OR outcome <> 'not_sent' OR reason = 'outcome_unknown')"


def upgrade() -> None:
    op.add_column("journey_versions", sa.Column("longest_wait", sa.Integer()))
    op.add_column("journey_messages", sa.Column("is_test", sa.Integer(), nullable=False, server_default="0"))
    op.drop_index(_INDEX, "journey_messages")
    _create_index([*_COLUMNS, "is_test"], f"is_test = 0 AND {_BEFORE}")
    op.create_table(
        "journey_tests",
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("test", sa.String(), nullable=False),
        sa.Column("people_json", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("journey", "number", name="pk_journey_tests"),
    )
    op.create_table(
        "journey_test_traits",
        sa.Column("test", sa.String(), nullable=False),
        sa.Column("profile_id", sa.String(), nullable=False),
        sa.Column("trait", sa.String(), nullable=False),
        sa.Column("value_json", sa.Text(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("test", "profile_id", "trait", name="pk_journey_test_traits"),
    )


def downgrade() -> None:
    op.drop_table("journey_test_traits")
    op.drop_table("journey_tests")
    op.drop_index(_INDEX, "journey_messages")
    _create_index(_COLUMNS, _BEFORE)
    op.drop_column("journey_messages", "is_test")
    op.drop_column("journey_versions", "longest_wait")


def _create_index(columns: list[str], where: str) -> None:
    op.create_index(
        _INDEX,
        "journey_messages",
        columns,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )
