"""Messages of journeys draw on capacities and warm-ups: which had no room, and by what they count there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_COLUMNS = ("sender_domain", "address_domain", "capacity")
_INDEX = "ix_journey_messages_counted"
_COUNTED = sa.text(
    "send_at IS NOT NULL AND (outcome IS NULL OR outcome <> 'not_sent' OR reason = 'outcome_unknown')"
)


def upgrade() -> None:
    # Messages of before have no domains, and need none: no journey could write from a domain that is new.
    for name in _COLUMNS:
        op.add_column("journey_messages", sa.Column(name, sa.String()))
    op.create_index(
        _INDEX,
        "journey_messages",
        ["send_at", "channel", "sender_domain", "address_domain", "outcome", "reason"],
        sqlite_where=_COUNTED,
        postgresql_where=_COUNTED,
    )


def downgrade() -> None:
    op.drop_index(_INDEX, "journey_messages")
    for name in reversed(_COLUMNS):
        op.drop_column("journey_messages", name)
