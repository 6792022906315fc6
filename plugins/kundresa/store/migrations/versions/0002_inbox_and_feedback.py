"""The event inbox, feedback, and opt-ins; opt-outs are found by person.

The columns are written out: a migration must do the same next year, whatever ``inbox_tables.py`` says then.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _instant(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _string(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _position() -> sa.Column[int]:
    return sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)


def upgrade() -> None:
    op.create_table(
        "events",
        _position(),
        _string("source"),
        _string("event_id"),
        _string("event_type"),
        _string("namespace"),
        _string("identifier"),
        sa.Column("data_json", sa.Text(), nullable=False),
        _instant("occurred_at"),
        _instant("received_at"),
        sa.PrimaryKeyConstraint("position", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_events_source_event_id", "events", ["source", "event_id"], unique=True)
    op.create_index("ix_events_received_at", "events", ["received_at"])
    op.create_table(
        "feedback",
        _position(),
        _string("feedback_key"),
        _string("message_id", nullable=True),
        _string("profile_id", nullable=True),
        _string("channel"),
        _string("address"),
        _string("kind"),
        _string("bounce_class", nullable=True),
        _string("automation", nullable=True),
        _string("provider"),
        sa.Column("target", sa.Text()),
        _string("code", nullable=True),
        sa.Column("detail", sa.Text()),
        sa.Column("is_automated", sa.Boolean(), nullable=False),
        _instant("occurred_at"),
        _instant("received_at"),
        sa.PrimaryKeyConstraint("position", name="pk_feedback"),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_feedback_feedback_key", "feedback", ["feedback_key"], unique=True)
    op.create_index("ix_feedback_message_id_kind", "feedback", ["message_id", "kind"])
    by_address = ["channel", "address", "kind", "occurred_at"]
    op.create_index("ix_feedback_channel_address_kind_occurred_at", "feedback", by_address)
    op.create_index("ix_feedback_received_at", "feedback", ["received_at"])
    op.create_table(
        "opt_ins",
        sa.Column("opt_in_id", sa.Integer(), nullable=False),
        _string("profile_id"),
        _string("channel"),
        _string("address"),
        _string("topic"),
        _string("source"),
        _instant("recorded_at"),
        sa.PrimaryKeyConstraint("opt_in_id", name="pk_opt_ins"),
    )
    op.create_index("ix_opt_ins_profile_id_channel", "opt_ins", ["profile_id", "channel"])
    op.create_index("ix_opt_outs_profile_id_channel", "opt_outs", ["profile_id", "channel"])
    not_email = sa.text("channel <> 'email'")
    op.create_index(
        "ix_messages_provider_id",
        "messages",
        ["provider_id"],
        sqlite_where=not_email,
        postgresql_where=not_email,
    )


def downgrade() -> None:
    op.drop_index("ix_messages_provider_id", "messages")
    op.drop_index("ix_opt_outs_profile_id_channel", "opt_outs")
    for table in ("opt_ins", "feedback", "events"):
        op.drop_table(table)
