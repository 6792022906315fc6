"""What a delivery is told, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kundresa.spec.vocabulary import DeliveryPolicy, MessageState
from kundresa.store.soft_bounces import SoftBounceRule


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch and the rules of its run."""

    run_key: str
    channel: str
    number: int
    """From 1."""
    topic: str
    policy: DeliveryPolicy
    window: int
    """Messages claimed at once."""
    decided_at: datetime
    not_before: datetime
    """The first instant at which a message may leave."""
    valid_until: datetime
    """The last one."""
    is_exempt: bool = False
    """Whether the topic needs no consent: an opt-out from every topic does not reach it, one from this
    topic does."""
    is_idempotent: bool = False
    """Whether the receiver knows a message that it has had, see ``channels.is_idempotent``: then what is
    unknown is handed over again under either policy."""
    is_whole: bool = False
    """Whether the receiver knows what was claimed together only as a whole, as a printer knows a file. An
    unknown one is asked about first (``AskedSender``). Where that does not help it is handed over again as it
    was or, under ``at_most_once``, not at all. Such a batch is one window, and is not paced."""
    is_distinct: bool = False
    """Whether of equal rows (``RowSender``) one leaves in the whole run: one household, one letter. In a
    journey the same letter may be due again, years later."""

    soft_bounces: SoftBounceRule = field(default_factory=SoftBounceRule)
    """When an address that refuses messages for now gets no more of them."""

    @property
    def resends_unknown(self) -> bool:
        """Whether unknown messages are claimed again, or asked about. In the ledger such a one has a
        ``retry_at``; without, it stays what it is."""
        return self.is_idempotent or self.policy is DeliveryPolicy.AT_LEAST_ONCE


class Halt(StrEnum):
    """Why a delivery broke off although messages could have left. What was claimed is settled."""

    RUN_STOPPED = "run_stopped"
    """Somebody has stopped the run, and may resume it."""
    PUT_OFF = "put_off"
    """The caller was asked before a window, and said no."""
    PACED = "paced"
    """The account is busy: its turn comes later than a worker waits."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """How a batch stands after a delivery."""

    counts: Mapping[MessageState, int]
    """All its messages by state."""
    newly_accepted: int
    """Accepted by this call."""
    already_settled: int
    """Had come to their end before this call, which did nothing about them."""
    retry_at: datetime | None
    """When to deliver the batch again, because messages of it wait, or all of it does, for its send time.
    None: it is finished. Of a stopped run: when to come at the latest, to settle the rest."""
    halted: Halt | None = None
    """None: it went through all messages that were due."""


class SenderContractError(Exception):
    """A sender gave no receipt for a message that it was given, two, or one for another message.

    What it left open is in the ledger as unknown. A defect of the channel, not of the messages.
    """
