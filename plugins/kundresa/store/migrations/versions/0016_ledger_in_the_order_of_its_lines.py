"""SQLite keeps the ledger's lines in the order in which they are written, no longer in that of their keys.

PostgreSQL always has. A ledger is copied, at some 200,000 lines a second; the file grows by as much again,
and what is free in it afterwards is used for new lines.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def _columns() -> list[sa.Column[object]]:
    def string(name: str, *, nullable: bool = True) -> sa.Column[object]:
        return sa.Column(name, sa.String(), nullable=nullable)

    def number(name: str, *, nullable: bool = True) -> sa.Column[object]:
        return sa.Column(name, sa.Integer(), nullable=nullable)

    def instant(name: str) -> sa.Column[object]:
        return sa.Column(name, sa.DateTime(timezone=True))

    return [
        string("message_id", nullable=False),
        string("run_key", nullable=False),
        string("channel", nullable=False),
        number("batch_number", nullable=False),
        string("profile_id", nullable=False),
        string("variant"),
        string("state", nullable=False),
        string("reason"),
        string("provider_id"),
        string("code"),
        sa.Column("detail", sa.Text()),
        number("attempts", nullable=False),
        string("claimed_by"),
        number("fence"),
        instant("first_claimed_at"),
        instant("claimed_at"),
        instant("settled_at"),
        instant("retry_at"),
    ]


def _copy(*, with_rowid: bool) -> None:
    """Into a table of the other kind, which takes the name."""
    if op.get_bind().dialect.name != "sqlite":
        return
    columns = _columns()
    names = ", ".join(each.name for each in columns)
    op.create_table(
        "messages_copied",
        *columns,
        sa.PrimaryKeyConstraint("message_id", name="pk_messages"),
        sqlite_with_rowid=with_rowid,
    )
    op.execute(f"insert into messages_copied ({names}) select {names} from messages")
    op.drop_table("messages")
    op.rename_table("messages_copied", "messages")
    op.create_index(
        "ix_messages_run_key_channel_batch_number_message_id",
        "messages",
        ["run_key", "channel", "batch_number", "message_id"],
    )
    op.create_index(
        "ix_messages_provider_id",
        "messages",
        ["provider_id"],
        sqlite_where=sa.text("channel <> 'email'"),
    )


def upgrade() -> None:
    _copy(with_rowid=True)


def downgrade() -> None:
    _copy(with_rowid=False)
