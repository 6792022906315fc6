"""The few words that SQL, Python, YAML and the UI share. SQL tests their accepted values against these."""

from __future__ import annotations

from enum import StrEnum


class ChannelKind(StrEnum):
    """A way to reach a person."""

    EMAIL = "email"
    SMS = "sms"


class Verdict(StrEnum):
    """What a decision says."""

    SEND = "send"
    HOLDOUT = "holdout"
    EXCLUDE = "exclude"


class DecisionReason(StrEnum):
    """Why a decision is not ``send``. The order here is the order of the rules: the first that fails
    is the decision's reason, all that fail are its ``failed_rules``."""

    IN_EXCLUDED_SEGMENT = "in_excluded_segment"
    CONTACT_POINT_MISSING = "contact_point_missing"
    ADDRESS_INVALID = "address_invalid"
    SUPPRESSED = "suppressed"
    CONSENT_DENIED = "consent_denied"
    CONSENT_UNKNOWN = "consent_unknown"
    DUPLICATE_ADDRESS = "duplicate_address"
    ANOTHER_CHANNEL_CHOSEN = "another_channel_chosen"
    HOLDOUT = "holdout"


class MessageState(StrEnum):
    """Where a message stands in the ledger. ``claimed`` and ``deferred`` are on their way; the others
    are the end of it, but for ``unknown`` under the policy ``at_least_once``."""

    CLAIMED = "claimed"
    ACCEPTED = "accepted"
    FAILED = "failed"
    DEFERRED = "deferred"
    WITHHELD = "withheld"
    UNKNOWN = "unknown"


class DeliveryReason(StrEnum):
    """Why a message that was decided ``send`` was not accepted."""

    # withheld: we did not try
    OPTED_OUT_SINCE_DECISION = "opted_out_since_decision"
    SUPPRESSED_SINCE_DECISION = "suppressed_since_decision"
    RUN_EXPIRED = "run_expired"
    RUN_CANCELLED = "run_cancelled"
    QUALITY_GATE_FAILED = "quality_gate_failed"
    # failed: we tried, or could not write the message
    RENDER_FAILED = "render_failed"
    ADDRESS_REFUSED = "address_refused"
    MESSAGE_REFUSED = "message_refused"
    TEMPORARY_FAILURE = "temporary_failure"
    # unknown: we tried and cannot tell
    OUTCOME_UNKNOWN = "outcome_unknown"


class DeliveryPolicy(StrEnum):
    """What happens to a message whose outcome a crash has hidden."""

    AT_MOST_ONCE = "at_most_once"
    """It stays ``unknown`` and is reported: nobody gets it twice."""
    AT_LEAST_ONCE = "at_least_once"
    """It is sent again under the same ``message_id``: nobody misses it."""


class HeldPolicy(StrEnum):
    """What a campaign makes of a segment that is held."""

    NOT_READY = "not_ready"
    """The run is not decided before somebody has looked."""
    USE_LAST_GOOD = "use_last_good"
    """The run goes to the people of the last good state."""


class NotReadyPolicy(StrEnum):
    """What a run does whose segments are too old or held."""

    WAIT = "wait"
    """It looks again every few minutes until its validity ends, and fails then."""
    FAIL = "fail"
    """It fails at once."""


class ChannelChoice(StrEnum):
    """Which of a campaign's channels reach one person."""

    FIRST_POSSIBLE = "first_possible"
    """The first in the campaign's order on which the person may be reached."""
    ALL = "all"
    """Every channel on which the person may be reached: one message each."""


class RunState(StrEnum):
    """Where a run stands."""

    OPEN = "open"
    DECIDED = "decided"
    CHECKED = "checked"
    CLOSED = "closed"


class CloseReason(StrEnum):
    """Why a run is closed."""

    COMPLETED = "completed"
    """Every ``send`` decision has its line in the ledger and the account adds up."""
    EXPIRED = "expired"
    """It started later than its validity allows; nothing was decided, nothing sent."""
    QUALITY_GATE_FAILED = "quality_gate_failed"
    CANCELLED = "cancelled"


class Trigger(StrEnum):
    """What started a run."""

    SCHEDULED = "scheduled"
    ASSET = "asset"
    MANUAL = "manual"
    BACKFILL = "backfill"
    COMMAND_LINE = "command_line"
