"""Messages of journeys are exported to the warehouse and count against caps."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_UNEXPORTED = sa.text("exported <> 2")


def upgrade() -> None:
    zero, nothing = sa.text("0"), sa.text("''")
    for column in (
        sa.Column("topic", sa.String(), nullable=False, server_default=nothing),
        sa.Column("send_at", sa.DateTime(timezone=True)),
        sa.Column("cap", sa.String()),
        sa.Column("exported", sa.Integer(), nullable=False, server_default=zero),
    ):
        op.add_column("journey_messages", column)
    op.create_index(
        "ix_journey_messages_unexported",
        "journey_messages",
        ["journey", "reached_at"],
        sqlite_where=_UNEXPORTED,
        postgresql_where=_UNEXPORTED,
    )
    op.create_index("ix_journey_messages_reached", "journey_messages", ["journey", "reached_at"])
    _fill()


def _fill() -> None:
    """What the messages of before were about, and when those that were decided left or will."""
    messages = sa.table(
        "journey_messages",
        *map(sa.column, ("journey", "version", "step", "topic", "state", "outcome", "reason", "is_delayed")),
        *(sa.column(name, sa.DateTime(timezone=True)) for name in ("not_before", "settled_at", "send_at")),
    )
    versions = sa.table("journey_versions", *map(sa.column, ("journey", "version", "spec_json")))
    connection = op.get_bind()
    for version in connection.execute(sa.select(versions)).all():
        spec = json.loads(version.spec_json)["spec"]
        for name, step in spec["steps"]:
            if step["kind"] == "message":
                connection.execute(
                    sa.update(messages)
                    .where(
                        messages.c.journey == version.journey,
                        messages.c.version == version.version,
                        messages.c.step == name,
                    )
                    .values(topic=step["topic"] or spec["topic"])
                )
    has_left = sa.or_(
        messages.c.state == "batched",
        messages.c.outcome.in_(("sent", "delayed")),
        messages.c.reason == "outcome_unknown",
        sa.and_(messages.c.state == "open", messages.c.is_delayed == 1),
    )
    connection.execute(
        sa.update(messages)
        .where(has_left)
        .values(send_at=sa.func.coalesce(messages.c.settled_at, messages.c.not_before))
    )


def downgrade() -> None:
    op.drop_index("ix_journey_messages_reached", "journey_messages")
    op.drop_index("ix_journey_messages_unexported", "journey_messages")
    for column in ("exported", "cap", "send_at", "topic"):
        op.drop_column("journey_messages", column)
