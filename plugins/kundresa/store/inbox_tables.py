"""The tables of what comes in from outside: events, feedback, refusals, and the yes that people give
themselves."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from kundresa.store.tables import UtcDateTime, metadata

_POSITION = BigInteger().with_variant(Integer, "sqlite")
"""Only an INTEGER key of SQLite counts by itself. AUTOINCREMENT, so that no position is given twice, even
when the last rows are removed: a reader keeps the last position it has seen."""

# The inbox. ``position`` grows in the order in which events become visible, see store.inbox.
events = Table(
    "events",
    metadata,
    Column("position", _POSITION, primary_key=True),
    Column("source", String, nullable=False),
    Column("event_id", String, nullable=False),
    Column("event_type", String, nullable=False),
    Column("namespace", String, nullable=False),
    Column("identifier", String, nullable=False),
    Column("data_json", Text, nullable=False),
    Column("occurred_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False, index=True),
    Index("uq_events_source_event_id", "source", "event_id", unique=True),
    sqlite_autoincrement=True,
)

feedback = Table(
    "feedback",
    metadata,
    Column("position", _POSITION, primary_key=True),
    Column("feedback_key", String, nullable=False),
    Column("message_id", String),
    Column("profile_id", String),
    Column("channel", String, nullable=False),
    Column("address", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("bounce_class", String),
    Column("automation", String),
    Column("provider", String, nullable=False),
    Column("target", Text),
    Column("code", String),
    Column("detail", Text),
    Column("is_automated", Boolean, nullable=False),
    Column("occurred_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False, index=True),
    Index("uq_feedback_feedback_key", "feedback_key", unique=True),
    # The clicks of one message, to tell a scanner's burst.
    Index(None, "message_id", "kind"),
    # The soft bounces of one address since its last success.
    Index(None, "channel", "address", "kind", "occurred_at"),
    sqlite_autoincrement=True,
)

# A row per message that a receiving server has refused for now and that was given up; none is left of an
# address once its server has taken a message. Few: servers that judge mailboxes while they are written to
# are.
soft_refusals = Table(
    "soft_refusals",
    metadata,
    Column("channel", String, primary_key=True),
    Column("address", String, primary_key=True),
    Column("message_id", String, primary_key=True),
    Column("refused_at", UtcDateTime, nullable=False, index=True),
    sqlite_with_rowid=False,
)

opt_ins = Table(
    "opt_ins",
    metadata,
    Column("opt_in_id", Integer, primary_key=True),
    Column("profile_id", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("address", String, nullable=False),
    Column("topic", String, nullable=False),
    Column("source", String, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Index(None, "profile_id", "channel"),
)
