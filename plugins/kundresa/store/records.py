"""What goes into the operational store and comes out of it. All times are aware, in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import CloseReason, DeliveryReason, MessageState, RunState, Trigger


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be opened. ``spec_json`` is everything that later stages read: spec and templates."""

    run_key: str
    campaign: str
    logical_at: datetime
    trigger: Trigger
    spec_json: str
    spec_hash: str
    """SHA-256 of ``spec_json``, 64 hex digits."""
    opened_at: datetime
    valid_until: datetime
    """The last instant at which a message of the run may leave."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it stands."""

    run_key: str
    campaign: str
    logical_at: datetime
    trigger: Trigger
    state: RunState
    spec_json: str
    spec_hash: str
    opened_at: datetime
    valid_until: datetime
    decided_at: datetime | None = None
    closed_at: datetime | None = None
    close_reason: CloseReason | None = None
    close_detail: str | None = None
    account: Mapping[str, Any] | None = None
    """As ``runs.reconcile`` saved it."""
    stopped_at: datetime | None = None
    """Since when nothing of it is claimed, until it is resumed. None while it goes on."""
    stop_detail: str | None = None
    spec_differs: bool = False
    """Set only by ``open``: another spec was offered than the one that was frozen; it was not taken."""


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch as it stands. ``owner`` and ``lease_expires_at`` are None while nobody works on it."""

    run_key: str
    channel: str
    batch_number: int
    size: int
    """Messages in it."""
    owner: str | None
    fence: int
    lease_expires_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one batch until somebody else is given it.

    ``fence`` grows by one with every lease of the batch. A write names it, and is refused once another
    lease was given: a worker that slept through its lease can settle nothing of its successor's.
    """

    run_key: str
    channel: str
    batch_number: int
    size: int
    owner: str
    fence: int
    seconds: float

    def __str__(self) -> str:
        return batch_name(self.run_key, self.channel, self.batch_number)


def batch_name(run_key: str, channel: str, batch_number: int) -> str:
    """A batch as messages to people name it."""
    return f"{run_key}, {channel} batch {batch_number}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One message that may be claimed."""

    message_id: str
    profile_id: str
    variant: str | None = None
    row_digest: str | None = None
    """Of a row of a print file: equal ones in a run have it in common. None for what may leave anyway."""


@dataclass(frozen=True, slots=True)
class PaceVersion:
    """The pace that a claim was prepared under: of which account, and when it, or a rest of a domain, was
    last changed; None when none ever was. See :meth:`kundresa.store.paces.Paces.take`."""

    account: str
    changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one message stands in the ledger. ``attempts`` counts claims, the current one included."""

    state: MessageState
    attempts: int
    retry_at: datetime | None
    fence: int | None = None
    claimed_at: datetime | None = None
    """Of the last claim: messages of a batch that have both in common were claimed together."""


@dataclass(frozen=True, slots=True)
class Untried:
    """A message that settles without an attempt to send it: withheld, or it could not be rendered."""

    candidate: Candidate
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class BatchTally:
    """What the ledger says of one batch: messages by state, and the earliest time of a retry."""

    counts: Mapping[MessageState, int]
    retry_at: datetime | None


@dataclass(frozen=True, slots=True)
class PartTally:
    """What the ledger says of some batches: messages by state and reason, and when the last of them left or,
    without leaving, came to its end; None when there are none."""

    counts: Mapping[tuple[MessageState, DeliveryReason | None], int]
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One message as the ledger knows it. ``code`` and ``detail`` are those of the last attempt."""

    message_id: str
    run_key: str
    channel: str
    batch_number: int
    profile_id: str
    variant: str | None
    state: MessageState
    reason: DeliveryReason | None
    provider_id: str | None
    code: str | None
    detail: str | None
    attempts: int
    first_claimed_at: datetime | None
    claimed_at: datetime | None
    """When the last attempt began."""
    settled_at: datetime | None
    """When it ended; None while it is under way."""
    retry_at: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """The same as a plain dict, with states and reasons as text and times in ISO 8601."""
        plain = asdict(self)
        return {
            key: value.isoformat() if isinstance(value, datetime) else value for key, value in plain.items()
        }


@dataclass(frozen=True, slots=True)
class LedgerCount:
    """One line of a run's ledger summary."""

    channel: str
    state: MessageState
    reason: DeliveryReason | None
    messages: int


@dataclass(frozen=True, slots=True)
class Pending:
    """What of a run has not come to its end. ``unclaimed`` messages have no ledger line at all."""

    unclaimed: int
    claimed: int
    deferred: int
    retry_at: datetime | None
    """When the earliest deferred message is due again."""

    @property
    def total(self) -> int:
        return self.unclaimed + self.claimed + self.deferred


@dataclass(frozen=True, slots=True)
class OptOut:
    """Somebody said no. ``topic`` is ``*`` for all topics of the channel."""

    opt_out_id: int
    profile_id: str | None
    channel: str
    address: str
    topic: str
    source: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class OptOutHits:
    """Which of the people asked about have opted out, by either way of naming them."""

    profile_ids: frozenset[str]
    addresses: frozenset[str]


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that must not be used, while ``lifted_at`` is None."""

    suppression_id: int
    channel: str
    address: str
    reason: str
    source: str
    recorded_at: datetime
    lifted_at: datetime | None
