"""The few words that SQL, Python, YAML and the UI share. SQL tests their accepted values against these."""

from __future__ import annotations

from enum import StrEnum


class ChannelKind(StrEnum):
    """A way to reach a person."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"
    DIRECT_MAIL = "direct_mail"
    WEBHOOK = "webhook"


class Verdict(StrEnum):
    """What a decision says."""

    SEND = "send"
    HOLDOUT = "holdout"
    EXCLUDE = "exclude"


class DecisionReason(StrEnum):
    """Why a decision is not ``send``. The order here is the order of the rules: the first that fails
    is the decision's reason, all that fail are its ``failed_rules``."""

    IN_EXCLUDED_SEGMENT = "in_excluded_segment"
    ALREADY_SENT = "already_sent"
    NOT_IN_SAMPLE = "not_in_sample"
    CONTACT_POINT_MISSING = "contact_point_missing"
    ADDRESS_INVALID = "address_invalid"
    NOT_ON_ALLOW_LIST = "not_on_allow_list"
    SUPPRESSED = "suppressed"
    CONSENT_DENIED = "consent_denied"
    CONSENT_UNKNOWN = "consent_unknown"
    TIME_ZONE_UNKNOWN = "time_zone_unknown"
    OUT_OF_HOURS = "out_of_hours"
    ANOTHER_ENTITY_CHOSEN = "another_entity_chosen"
    DUPLICATE_ADDRESS = "duplicate_address"
    ANOTHER_CHANNEL_CHOSEN = "another_channel_chosen"
    CAPPED = "capped"
    OUTRANKED = "outranked"
    OVER_MAX_SIZE = "over_max_size"
    OVER_WARM_UP = "over_warm_up"
    OVER_CAPACITY = "over_capacity"
    OVER_BUDGET = "over_budget"
    GLOBAL_HOLDOUT = "global_holdout"
    HOLDOUT = "holdout"


class MessageState(StrEnum):
    """Where a message stands in the ledger. ``claimed`` and ``deferred`` are on their way; the others
    are the end of it, but for ``unknown`` under the policy ``at_least_once``, or where the receiver knows
    what it has had."""

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
    DUPLICATE_ROW = "duplicate_row"
    WAVE_STOPPED = "wave_stopped"
    RUN_STOPPED = "run_stopped"
    # failed: we tried, or could not write the message
    RENDER_FAILED = "render_failed"
    ADDRESS_REFUSED = "address_refused"
    MESSAGE_REFUSED = "message_refused"
    TEMPORARY_FAILURE = "temporary_failure"
    # unknown: we tried and cannot tell
    OUTCOME_UNKNOWN = "outcome_unknown"


class DeliveryPolicy(StrEnum):
    """What happens to a message whose outcome a crash has hidden. A campaign's is sent again under either to
    a receiver that knows what it has had."""

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
    PREFERRED = "preferred"
    """The one that the person opened or clicked in last; for who never did, as ``first_possible``."""


class OnePer(StrEnum):
    """Whom one message of a campaign is for, where its segments are of orders, bookings or the like."""

    ENTITY = "entity"
    """Each entity: a person with two orders gets two."""
    PERSON = "person"
    """The person, about the entity that entered its segment last."""


class Consent(StrEnum):
    """Which answer a topic needs."""

    YES = "yes"
    """A yes. Unknown is not yes."""
    NOT_NO = "not_no"
    """Anything but a no."""
    EXEMPT = "exempt"
    """None is asked for: a message that carries out what the person ordered, not marketing. A no to every
    topic, or to another, does not stop it; a no to this very topic and a suppressed address do."""


class Outside(StrEnum):
    """What happens to a message that may not leave now because of the hour."""

    DEFER = "defer"
    """It leaves at the next permitted minute within the run's validity."""
    EXCLUDE = "exclude"
    """It is not sent."""


class GateResult(StrEnum):
    """What the results of a wave say about the next."""

    PASSED = "passed"
    STOPPED = "stopped"


class LateKind(StrEnum):
    """What is known of messages of a run that leave later than their campaign allows."""

    EXPECTED = "expected"
    """At the rate that is known they will."""
    LATE = "late"
    """Their time has passed, and they have not left."""


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
    JOURNEY = "journey"
    """The standing run of one message of a journey, which lasts as long as its version."""


class JourneyState(StrEnum):
    """Where a journey stands."""

    RUNNING = "running"
    HELD = "held"
    """Paused: nothing moves; events and waits are kept, and count when it goes on."""
    DISCARDING = "discarding"
    """Paused: nothing moves; events, changes of segments and reactions that nobody has acted on by its end
    are left out."""
    STOPPED = "stopped"
    """For good: nobody is inside, nobody enters."""


class JourneyEnd(StrEnum):
    """Why a journey is over for a person."""

    FINISHED = "finished"
    EXIT = "exit"
    """One of its exit criteria."""
    TIME_OUT = "time_out"
    STOPPED = "stopped"
    TEST_ENDED = "test_ended"
    """They were inside when a test of the journey was ended."""
    MERGED = "merged"
    """The person turned out to be one who is inside already, since longer ago."""


class CallReason(StrEnum):
    """Why a call of a journey has failed, beside what a message may fail by."""

    ANSWER_INVALID = "answer_invalid"
    """It was answered, and not with what the step declares."""
    PERSON_UNKNOWN = "person_unknown"
    """Nobody is published under the person's id any more."""


class JourneySkip(StrEnum):
    """Why something that might have let a person in, or moved one, did not."""

    PERSON_UNKNOWN = "person_unknown"
    """Nobody is published under the event's identifier."""
    CONDITION = "condition"
    """The entry's condition does not hold."""
    INSIDE_ALREADY = "inside_already"
    TOO_SOON = "too_soon"
    """The rule of re-entrance does not let them in again, or not yet."""
    TOO_LATE = "too_late"
    """The event arrived later than the journey's lateness allows, or when the time-out of who would enter by
    it was over."""
    TOO_MANY_INSTANCES = "too_many_instances"
    """The person is inside under as many keys as the journey allows."""
    KEY_MISSING = "key_missing"
    """The event does not say the instance key, or the entity whose audience is to enter."""
    KEY_TOO_LONG = "key_too_long"
    """The instance key, or the entity's id, has more than 200 characters."""
    NOT_IN_TEST = "not_in_test"
    """The journey is a test, and the person none of those that it is for."""
    SET_ASIDE = "set_aside"
    """What happened to a person could not be worked out, by their data or a defect of ours: they stay where
    they are, and everybody else moves. The log has the error."""


class FeedbackKind(StrEnum):
    """What came back about a message."""

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    OPENED = "opened"
    CLICKED = "clicked"
    UNSUBSCRIBED = "unsubscribed"
    REPLIED = "replied"


class BounceClass(StrEnum):
    """What a bounce says of the address."""

    HARD = "hard"
    """Nobody is reached there, now or later."""
    SOFT = "soft"
    """Not now: a full mailbox, a server that is down."""
    BLOCK = "block"
    """The message or its sender was refused, by reputation or policy; the address is not at fault."""
    UNDETERMINED = "undetermined"
    """It says that it was not delivered, and nothing that can be understood of why."""


class Automation(StrEnum):
    """Which machine opened or clicked, where it was not a person."""

    PREFETCH = "prefetch"
    """A mail client's proxy that loads every image when the mail arrives."""
    CRAWLER = "crawler"
    """A program that says so by its name."""
    HEAD = "head"
    """A look at the link without following it."""
    SCANNER = "scanner"
    """Several links of one message within seconds of its arrival, or of each other."""
    HONEYPOT = "honeypot"
    """A link that no person sees."""
