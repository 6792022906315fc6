"""Runs, batches, the ledger, opt-outs and suppressions.

The columns are written out: a migration must do the same next year, whatever ``tables.py`` says then.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _instant(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _string(name: str, *, nullable: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def upgrade() -> None:
    _runs_and_batches()
    _ledger()
    _opt_outs_and_suppressions()


def _runs_and_batches() -> None:
    op.create_table(
        "runs",
        _string("run_key", nullable=False),
        _string("campaign", nullable=False),
        _instant("logical_at", nullable=False),
        _string("trigger", nullable=False),
        _string("state", nullable=False),
        sa.Column("spec_json", sa.Text(), nullable=False),
        _string("spec_hash", nullable=False),
        _instant("opened_at", nullable=False),
        _instant("valid_until", nullable=False),
        _instant("decided_at"),
        _instant("closed_at"),
        _string("close_reason"),
        sa.Column("close_detail", sa.Text()),
        sa.Column("account_json", sa.Text()),
        sa.PrimaryKeyConstraint("run_key", name="pk_runs"),
    )
    op.create_index("ix_runs_state", "runs", ["state"])
    op.create_index("ix_runs_campaign_logical_at", "runs", ["campaign", "logical_at"])
    op.create_table(
        "batches",
        _string("run_key", nullable=False),
        _string("channel", nullable=False),
        sa.Column("batch_number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("size", sa.Integer(), nullable=False),
        _string("owner"),
        sa.Column("fence", sa.Integer(), nullable=False),
        _instant("lease_expires_at"),
        _instant("finished_at"),
        sa.PrimaryKeyConstraint("run_key", "channel", "batch_number", name="pk_batches"),
        sa.ForeignKeyConstraint(["run_key"], ["runs.run_key"], name="fk_batches_run_key"),
    )


def _ledger() -> None:
    op.create_table(
        "messages",
        _string("message_id", nullable=False),
        _string("run_key", nullable=False),
        _string("channel", nullable=False),
        sa.Column("batch_number", sa.Integer(), nullable=False),
        _string("profile_id", nullable=False),
        _string("variant"),
        _string("state", nullable=False),
        _string("reason"),
        _string("provider_id"),
        _string("code"),
        sa.Column("detail", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _string("claimed_by"),
        sa.Column("fence", sa.Integer()),
        _instant("first_claimed_at"),
        _instant("claimed_at"),
        _instant("settled_at"),
        _instant("retry_at"),
        sa.PrimaryKeyConstraint("message_id", name="pk_messages"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_messages_run_key_channel_batch_number_message_id",
        "messages",
        ["run_key", "channel", "batch_number", "message_id"],
    )
    op.create_table(
        "attempts",
        _string("message_id", nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False, autoincrement=False),
        _string("claimed_by", nullable=False),
        _instant("claimed_at", nullable=False),
        _instant("settled_at", nullable=False),
        _string("state", nullable=False),
        _string("code"),
        sa.Column("detail", sa.Text()),
        sa.PrimaryKeyConstraint("message_id", "attempt", name="pk_attempts"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_attempts_settled_at", "attempts", ["settled_at"])


def _opt_outs_and_suppressions() -> None:
    op.create_table(
        "opt_outs",
        sa.Column("opt_out_id", sa.Integer(), nullable=False),
        _string("profile_id"),
        _string("channel", nullable=False),
        _string("address", nullable=False),
        _string("topic", nullable=False),
        _string("source", nullable=False),
        _instant("recorded_at", nullable=False),
        sa.PrimaryKeyConstraint("opt_out_id", name="pk_opt_outs"),
    )
    op.create_index("ix_opt_outs_recorded_at", "opt_outs", ["recorded_at"])
    op.create_table(
        "suppressions",
        sa.Column("suppression_id", sa.Integer(), nullable=False),
        _string("channel", nullable=False),
        _string("address", nullable=False),
        _string("reason", nullable=False),
        _string("source", nullable=False),
        _instant("recorded_at", nullable=False),
        _instant("lifted_at"),
        sa.PrimaryKeyConstraint("suppression_id", name="pk_suppressions"),
    )
    active = sa.text("lifted_at IS NULL")
    op.create_index(
        "uq_suppressions_active",
        "suppressions",
        ["channel", "address"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )


def downgrade() -> None:
    for table in ("suppressions", "opt_outs", "attempts", "messages", "batches", "runs"):
        op.drop_table(table)
