"""The tables of journeys: who is where, how they came there, and what leaves for them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, text

from kundresa.spec.vocabulary import DeliveryReason
from kundresa.store.tables import UtcDateTime, metadata

_NUMBER = BigInteger().with_variant(Integer, "sqlite")
_COUNTED = (
    "{0}is_test = 0 AND {0}send_at IS NOT NULL "
    "AND ({0}outcome IS NULL OR {0}outcome <> 'not_sent' OR {0}reason = '{1}')"
)
COUNTED = _COUNTED.format("", DeliveryReason.OUTCOME_UNKNOWN)
COUNTED_MESSAGE = _COUNTED.format("journey_messages.", DeliveryReason.OUTCOME_UNKNOWN)
"""Whether somebody got a message of a journey, or still may, and not in a test: as its index says it, and for
a query, which SQLite sees to be the same."""

# One row per journey that was ever started. Whatever moves its people reads ``generation`` first and
# commits only if nobody else has committed since, adding one: two advances cannot both count.
journeys = Table(
    "journeys",
    metadata,
    Column("journey", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("event_position", BigInteger, nullable=False),
    Column("feedback_position", BigInteger, nullable=False),
    Column("segment_cursor", Text, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    # How far a segment is read whose people enter at a rate; what it says is the reader's.
    Column("audience_cursor", Text, nullable=False, server_default=""),
    # Of the feedback: what came while a pause discarded, as a JSON list of [after, to, after of clicks].
    Column("feedback_left_out", Text, nullable=False, server_default="[]"),
    # Of clicks the feedback is read later than of the rest: when it is known whose they were.
    Column("click_position", BigInteger, nullable=False, server_default="0"),
)

# Written once and never changed: people inside stay on the version that they entered on.
journey_versions = Table(
    "journey_versions",
    metadata,
    Column("journey", String, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("spec_json", Text, nullable=False),
    Column("spec_hash", String, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    # Where the inbox ended when it was started.
    Column("event_position", BigInteger, nullable=False, server_default="0"),
    # Of a test: seconds that nothing takes longer than.
    Column("longest_wait", Integer),
)

# One row per test of a journey. A test is a journey of its own, under the name that is here, in every other
# table: nothing of the journey that it is of knows of it. At most one of a journey is not over.
journey_tests = Table(
    "journey_tests",
    metadata,
    Column("journey", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("test", String, nullable=False),
    # The profile ids of those that it lets in, as a JSON list.
    Column("people_json", Text, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    # What went wrong in running it last.
    Column("failed_at", UtcDateTime),
    Column("failure", Text),
    # Until then it is left alone; null once nothing has gone wrong since.
    Column("again_at", UtcDateTime),
)

# Traits that a test has set: they hold in it alone, and go with it.
journey_test_traits = Table(
    "journey_test_traits",
    metadata,
    Column("test", String, primary_key=True),
    Column("profile_id", String, primary_key=True),
    Column("trait", String, primary_key=True),
    Column("value_json", Text, nullable=False),
    Column("set_at", UtcDateTime, nullable=False),
)

# One row per person and instance key, for the entry under way or the last one: by the key nobody is in two
# places, and a rule of re-entrance needs no history. ``step`` and ``due_at`` are null when it is over.
journey_positions = Table(
    "journey_positions",
    metadata,
    Column("journey", String, primary_key=True),
    Column("profile_id", String, primary_key=True),
    Column("instance_key", String, primary_key=True),
    Column("entry", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("step", String),
    Column("moves", Integer, nullable=False),
    Column("entered_at", UtcDateTime, nullable=False),
    Column("step_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("end_reason", String),
    Column("event_json", Text, nullable=False),
    # Of the last experiment that the entry came through.
    Column("variant", String),
    # Of events that came while an outcome was not known: who learns it late has not lost them.
    Column("heard_json", Text),
    # What is due is found without what waits: an advance costs what moves.
    Index(
        "ix_journey_positions_due",
        "journey",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    # Who is where is counted in the index alone: of those who have ended journey_passages knows how many.
    Index(
        "ix_journey_positions_inside",
        "journey",
        "version",
        "step",
        "step_at",
        sqlite_where=text("step IS NOT NULL"),
        postgresql_where=text("step IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)

# What happened to one entry in one advance, in one row: only added, and read to explain.
journey_moves = Table(
    "journey_moves",
    metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("journey", String, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("instance_key", String, nullable=False),
    Column("entry", Integer, nullable=False),
    Column("moved_at", UtcDateTime, nullable=False),
    Column("moves_json", Text, nullable=False),
    Index(None, "journey", "profile_id"),
    sqlite_autoincrement=True,
)

# One line per message that somebody came to, with what became of it: the account of a journey. It is written
# with the position that reached it, gets its row and its batch when it is decided, and its outcome when the
# ledger or the decision has one.
journey_messages = Table(
    "journey_messages",
    metadata,
    Column("message_id", String, primary_key=True),
    Column("journey", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("step", String, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("instance_key", String, nullable=False),
    Column("entry", Integer, nullable=False),
    Column("move", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("reached_at", UtcDateTime, nullable=False),
    Column("valid_until", UtcDateTime, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("is_delayed", Integer, nullable=False),
    Column("run_key", String),
    Column("channel", String, nullable=False),
    Column("topic", String, nullable=False),
    Column("variant", String),
    Column("batch_number", Integer),
    Column("row_json", Text),
    Column("event_json", Text, nullable=False),
    Column("outcome", String),
    Column("reason", String),
    Column("settled_at", UtcDateTime),
    # When it leaves, or has left, as decided: from then on caps count it, until it is refused or fails.
    Column("send_at", UtcDateTime),
    # The cap that it was over.
    Column("cap", String),
    # Of an email, once it is decided: by these it counts in a warm-up.
    Column("sender_domain", String),
    Column("address_domain", String),
    # The capacity or the warm-up that had no room for it: it was delayed, or is not sent.
    Column("capacity", String),
    # Whether the warehouse has the line as it stands: 0 no, 1 it is being written, 2 yes. Each change of what
    # the account says of it begins at 0 again.
    Column("exported", Integer, nullable=False),
    # Of a test: it counts nowhere, and the warehouse does not hear of it.
    Column("is_test", Integer, nullable=False, server_default="0"),
    # Only what is under way is looked for by state; what is over would be most of the index.
    Index(
        "ix_journey_messages_under_way",
        "journey",
        "state",
        "not_before",
        sqlite_where=text("state <> 'over'"),
        postgresql_where=text("state <> 'over'"),
    ),
    # What the warehouse does not know yet; what it knows would be most of the index.
    Index(
        "ix_journey_messages_unexported",
        "journey",
        "reached_at",
        sqlite_where=text("exported <> 2"),
        postgresql_where=text("exported <> 2"),
    ),
    # What capacities and warm-ups count in a time, and nothing else, with the columns of the condition: the
    # table is not read.
    Index(
        "ix_journey_messages_counted",
        "send_at",
        "channel",
        "sender_domain",
        "address_domain",
        "outcome",
        "reason",
        "is_test",
        sqlite_where=text(COUNTED),
        postgresql_where=text(COUNTED),
    ),
    # What became of them is counted in the index alone.
    Index("ix_journey_messages_outcome", "journey", "step", "outcome", "reason"),
    # A day of a journey, which is exported whole.
    Index("ix_journey_messages_reached", "journey", "reached_at"),
    Index(None, "run_key", "batch_number"),
    Index(None, "profile_id", "journey"),
    sqlite_with_rowid=False,
)

# One line per call of a webhook step, written with the position that reached it. ``not_before`` is when it
# may be made, and while somebody makes it when their claim runs out.
journey_calls = Table(
    "journey_calls",
    metadata,
    Column("call_id", String, primary_key=True),
    Column("journey", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("step", String, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("instance_key", String, nullable=False),
    Column("entry", Integer, nullable=False),
    Column("move", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("reached_at", UtcDateTime, nullable=False),
    Column("valid_until", UtcDateTime, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("claimed_by", String),
    Column("event_json", Text, nullable=False),
    Column("response_json", Text),
    Column("outcome", String),
    Column("reason", String),
    Column("code", String),
    Column("detail", Text),
    Column("settled_at", UtcDateTime, index=True),
    Index(
        "ix_journey_calls_under_way",
        "journey",
        "state",
        "not_before",
        sqlite_where=text("state <> 'over'"),
        postgresql_where=text("state <> 'over'"),
    ),
    Index(None, "profile_id", "journey"),
    sqlite_with_rowid=False,
)

# One line per event that let an audience in: a queue, of which the first that is not over is read. It is
# written by the advance that reads the event, so that an event is in it once whatever is repeated.
journey_readings = Table(
    "journey_readings",
    metadata,
    Column("journey", String, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("event_type", String, nullable=False),
    Column("event_json", Text, nullable=False),
    Column("occurred_at", UtcDateTime, nullable=False),
    Column("turns", BigInteger, nullable=False),
    Column("began_at", UtcDateTime),
    Column("ended_at", UtcDateTime, index=True),
    Index(
        "ix_journey_readings_under_way",
        "journey",
        "number",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    sqlite_with_rowid=False,
)

# Events that a journey has read, kept while one that happened before them may still come and let their person
# in. What they say is in the inbox.
journey_early_events = Table(
    "journey_early_events",
    metadata,
    Column("journey", String, primary_key=True),
    Column("profile_id", String, primary_key=True),
    Column("event_position", BigInteger, primary_key=True, autoincrement=False),
    Column("occurred_at", UtcDateTime, nullable=False),
    Index(None, "journey", "occurred_at"),
    sqlite_with_rowid=False,
)

# Of everything that might have let somebody in and did not, how much and why: silence would be a riddle.
journey_skips = Table(
    "journey_skips",
    metadata,
    Column("journey", String, primary_key=True),
    Column("reason", String, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
)

# How often each step was come to, of all versions, and how entries ended: ``step`` is empty for entering and
# ``end`` for leaving, which alone has an ``end_reason``. It is written with the positions, and stays when
# moves and people are forgotten: as many have entered as are inside and have left.
journey_passages = Table(
    "journey_passages",
    metadata,
    Column("journey", String, primary_key=True),
    Column("step", String, primary_key=True),
    Column("end_reason", String, primary_key=True),
    Column("entries", BigInteger, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
)

# Traits that journeys have set; they hold from the next step on, before any build.
journey_traits = Table(
    "journey_traits",
    metadata,
    Column("profile_id", String, primary_key=True),
    Column("trait", String, primary_key=True),
    Column("value_json", Text, nullable=False),
    Column("journey", String, nullable=False),
    Column("set_at", UtcDateTime, nullable=False),
)

# One line per request of ``POST /messages``: it is why a person is in a journey under the instance key
# ``request_id``, and where the message goes where the request has said so.
message_requests = Table(
    "message_requests",
    metadata,
    Column("request_id", String, primary_key=True),
    Column("caller", String, nullable=False),
    Column("given_id", String, nullable=False),
    Column("content_hash", String, nullable=False),
    Column("journey", String, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("channel", String),
    Column("address", String),
    Column("requested_at", UtcDateTime, nullable=False, index=True),
    sqlite_with_rowid=False,
)
