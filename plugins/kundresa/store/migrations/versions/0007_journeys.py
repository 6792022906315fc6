"""Journeys: versions, positions, moves, messages, and the traits they set; opt-outs found by address.

The columns are written out: a migration must do the same next year, whatever ``journey_tables.py`` says then.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLES = (
    "journey_traits",
    "journey_skips",
    "journey_messages",
    "journey_moves",
    "journey_positions",
    "journey_versions",
    "journeys",
)


def _string(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _whole(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _large(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "journeys",
        _string("journey"),
        _string("state"),
        _whole("version"),
        _large("generation"),
        _large("event_position"),
        _text("segment_cursor"),
        _instant("changed_at"),
        sa.PrimaryKeyConstraint("journey", name="pk_journeys"),
    )
    op.create_table(
        "journey_versions",
        _string("journey"),
        _whole("version"),
        _text("spec_json"),
        _string("spec_hash"),
        _instant("started_at"),
        sa.PrimaryKeyConstraint("journey", "version", name="pk_journey_versions"),
    )
    op.create_table(
        "journey_positions",
        _string("journey"),
        _string("profile_id"),
        _string("instance_key"),
        _whole("entry"),
        _whole("version"),
        _string("step", nullable=True),
        _whole("moves"),
        _instant("entered_at"),
        _instant("step_at"),
        _instant("due_at", nullable=True),
        _instant("ended_at", nullable=True),
        _string("end_reason", nullable=True),
        _text("event_json"),
        sa.PrimaryKeyConstraint("journey", "profile_id", "instance_key", name="pk_journey_positions"),
        sqlite_with_rowid=False,
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index(
        "ix_journey_positions_due",
        "journey_positions",
        ["journey", "due_at"],
        sqlite_where=due,
        postgresql_where=due,
    )
    op.create_table(
        "journey_moves",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        _string("journey"),
        _string("profile_id"),
        _string("instance_key"),
        _whole("entry"),
        _instant("moved_at"),
        _text("moves_json"),
        sa.PrimaryKeyConstraint("number", name="pk_journey_moves"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_journey_moves_journey_profile_id", "journey_moves", ["journey", "profile_id"])
    _messages()
    op.create_table(
        "journey_skips",
        _string("journey"),
        _string("reason"),
        _large("events"),
        _instant("last_at"),
        sa.PrimaryKeyConstraint("journey", "reason", name="pk_journey_skips"),
    )
    op.create_table(
        "journey_traits",
        _string("profile_id"),
        _string("trait"),
        _text("value_json"),
        _string("journey"),
        _instant("set_at"),
        sa.PrimaryKeyConstraint("profile_id", "trait", name="pk_journey_traits"),
    )
    op.create_index("ix_opt_outs_channel_address", "opt_outs", ["channel", "address"])


def _messages() -> None:
    op.create_table(
        "journey_messages",
        _string("message_id"),
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
        _whole("is_delayed"),
        _string("run_key", nullable=True),
        _string("channel"),
        _whole("batch_number", nullable=True),
        _text("row_json", nullable=True),
        _text("event_json"),
        _string("outcome", nullable=True),
        _string("reason", nullable=True),
        _instant("settled_at", nullable=True),
        sa.PrimaryKeyConstraint("message_id", name="pk_journey_messages"),
        sqlite_with_rowid=False,
    )
    under_way = sa.text("state <> 'over'")
    op.create_index(
        "ix_journey_messages_under_way",
        "journey_messages",
        ["journey", "state", "not_before"],
        sqlite_where=under_way,
        postgresql_where=under_way,
    )
    batch = ["run_key", "batch_number"]
    op.create_index("ix_journey_messages_run_key_batch_number", "journey_messages", batch)
    op.create_index("ix_journey_messages_profile_id_journey", "journey_messages", ["profile_id", "journey"])


def downgrade() -> None:
    op.drop_index("ix_opt_outs_channel_address", "opt_outs")
    for table in _TABLES:
        op.drop_table(table)
