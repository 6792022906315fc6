"""The tables of the operational store. A change here needs a migration in ``migrations/versions``."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware in, aware in UTC out, on both engines.

    PostgreSQL keeps it as ``timestamptz``; SQLite as text in UTC that sorts by time.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; the store takes instants only")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002  # SQLAlchemy's signature
    ) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


runs = Table(
    "runs",
    metadata,
    Column("run_key", String, primary_key=True),
    Column("campaign", String, nullable=False),
    Column("logical_at", UtcDateTime, nullable=False),
    Column("trigger", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("spec_json", Text, nullable=False),
    Column("spec_hash", String, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("valid_until", UtcDateTime, nullable=False),
    Column("decided_at", UtcDateTime),
    Column("closed_at", UtcDateTime),
    Column("close_reason", String),
    Column("close_detail", Text),
    Column("account_json", Text),
    # Beside the state, not one of its values: a run is stopped and goes on wherever it stands.
    Column("stopped_at", UtcDateTime),
    Column("stop_detail", Text),
    Index(None, "campaign", "logical_at"),
)

batches = Table(
    "batches",
    metadata,
    Column("run_key", String, ForeignKey("runs.run_key"), primary_key=True),
    Column("channel", String, primary_key=True),
    Column("batch_number", Integer, primary_key=True, autoincrement=False),
    Column("size", Integer, nullable=False),
    Column("owner", String),
    Column("fence", Integer, nullable=False),
    Column("lease_expires_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
)

# What each audience share's destination holds, and what is being told to it: see ``audience_shares``.
audience_shares = Table(
    "audience_shares",
    metadata,
    Column("share", String, primary_key=True),
    Column("sequence", Integer, nullable=False),
    Column("shared_sequence", Integer),
    Column("shared_build_id", String),
    Column("shared_fingerprint", String),
    Column("shared_at", UtcDateTime),
    Column("build_id", String),
    Column("fingerprint", String),
    Column("mode", String),
    Column("changes", Integer),
    Column("batch_size", Integer),
    Column("sent_batches", Integer, nullable=False),
    Column("owner", String),
    Column("fence", Integer, nullable=False),
    Column("lease_expires_at", UtcDateTime),
)

# The ledger. No foreign key to batches: every write of it has checked its batch's lease in the same
# transaction, and a key would look the batch up once more for each of millions of rows.
# With a rowid, unlike the other tables of text keys: a line is written twice, and the key is a hash. In the
# key's own tree the lines of a window are on as many pages; by rowid they follow each other.
messages = Table(
    "messages",
    metadata,
    Column("message_id", String, primary_key=True),
    Column("run_key", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("batch_number", Integer, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("variant", String),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("provider_id", String),
    Column("code", String),
    Column("detail", Text),
    Column("attempts", Integer, nullable=False),
    Column("claimed_by", String),
    Column("fence", Integer),
    Column("first_claimed_at", UtcDateTime),
    Column("claimed_at", UtcDateTime),
    Column("settled_at", UtcDateTime),
    Column("retry_at", UtcDateTime),
    # One index serves a batch's resume, a run's counts and its export in pages.
    Index(None, "run_key", "channel", "batch_number", "message_id"),
    # A provider's report names the message by the provider's id. Not for email, whose Message-ID is ours:
    # most messages are emails, and each row of an index is written once more.
    Index(
        "ix_messages_provider_id",
        "provider_id",
        sqlite_where=text("channel <> 'email'"),
        postgresql_where=text("channel <> 'email'"),
    ),
)

# The row of a print file that a message is, of campaigns: those of closed runs are removed.
print_rows = Table(
    "print_rows",
    metadata,
    Column("message_id", String, primary_key=True),
    Column("run_key", String, nullable=False),
    Column("row_digest", String, nullable=False),
    Index(None, "run_key", "row_digest"),
    sqlite_with_rowid=False,
)

# One row per attempt that was not the last one: that one is in messages, whether under way or ended, and is
# put here when it is followed by another. So a message that is taken at once costs no row here.
attempts = Table(
    "attempts",
    metadata,
    Column("message_id", String, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("claimed_by", String, nullable=False),
    Column("claimed_at", UtcDateTime, nullable=False),
    Column("settled_at", UtcDateTime, nullable=False, index=True),
    Column("state", String, nullable=False),
    Column("code", String),
    Column("detail", Text),
    sqlite_with_rowid=False,
)

# Written once and never changed: what was said of a wave holds for every task that asks later.
wave_gates = Table(
    "wave_gates",
    metadata,
    Column("run_key", String, ForeignKey("runs.run_key"), primary_key=True),
    Column("wave", Integer, primary_key=True, autoincrement=False),
    Column("result", String, nullable=False),
    Column("tried", Integer, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("bounced", Integer, nullable=False),
    Column("complained", Integer, nullable=False),
    Column("unsubscribed", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("looked_at", UtcDateTime, nullable=False),
    Column("champion", String),
    Column("champion_detail", Text, nullable=False, server_default=""),
)

# A row for each account, and each receiving domain of it, that has a pace in the policies or was given one by
# a command. Few rows, each written once per window of all workers that send through the account.
paces = Table(
    "paces",
    metadata,
    Column("account", String, primary_key=True),
    Column("domain", String, primary_key=True),
    Column("per_second", Float),
    Column("changed_at", UtcDateTime),
    Column("free_at", UtcDateTime),
    Column("doubted_at", UtcDateTime),
)

# A row for each receiving domain that has asked an account to be left alone, until a day after it. Read when
# a batch begins of an account that has one, and when one has changed.
# What was told of messages of a run that leave too late, once for each kind: see ``late_warnings``.
late_warnings = Table(
    "late_warnings",
    metadata,
    Column("run_key", String, ForeignKey("runs.run_key"), primary_key=True),
    Column("channel", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("told_at", UtcDateTime, nullable=False),
    Column("detail", Text, nullable=False),
)

rests = Table(
    "rests",
    metadata,
    Column("account", String, primary_key=True),
    Column("domain", String, primary_key=True),
    # None: it is over, or was lifted. The row is there to be noticed.
    Column("until", UtcDateTime),
    Column("number", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)

opt_outs = Table(
    "opt_outs",
    metadata,
    Column("opt_out_id", Integer, primary_key=True),
    Column("profile_id", String),
    Column("channel", String, nullable=False),
    Column("address", String, nullable=False),
    Column("topic", String, nullable=False),
    Column("source", String, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False, index=True),
    Index(None, "profile_id", "channel"),
    Index(None, "channel", "address"),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("suppression_id", Integer, primary_key=True),
    Column("channel", String, nullable=False),
    Column("address", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("source", String, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("lifted_at", UtcDateTime),
    # One active suppression per address; lifted ones stay as history.
    Index(
        "uq_suppressions_active",
        "channel",
        "address",
        unique=True,
        sqlite_where=text("lifted_at IS NULL"),
        postgresql_where=text("lifted_at IS NULL"),
    ),
)
