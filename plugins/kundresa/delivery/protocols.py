"""What delivery needs of others. Channels, content and the store implement it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from kundresa.spec.messages import Content, Message, Receipt
from kundresa.spec.pace import Rest
from kundresa.spec.vocabulary import DeliveryReason
from kundresa.store.answers import LatestAnswers
from kundresa.store.paces import Grant
from kundresa.store.records import (
    BatchRecord,
    BatchTally,
    Candidate,
    Lease,
    LedgerLine,
    OptOutHits,
    PaceVersion,
    Standing,
    Untried,
)
from kundresa.store.soft_bounces import SoftBounceRule

Row = Mapping[str, Any]
"""One ``send`` decision: ``message_id``, ``profile_id``, ``channel``, ``address``, ``variant`` (None without
an experiment) and ``profile``, a mapping of the contracted columns."""


class Sender(Protocol):
    """One worker's way out through one account. Used by one thread."""

    def send(self, window: Sequence[Message]) -> Iterable[Receipt]:
        """Hand the messages over; give one receipt for each, in any order, as soon as it is known.

        A message is handed over only after it was taken from ``window`` by iterating, indexing or
        slicing: what was never taken counts as never sent. A message whose fate is not known gets a
        receipt with the state ``unknown``.

        A sender that has several messages in flight is a generator: what ends the sending early is raised in
        it, and it may give more receipts before it ends. Those it does not give are taken to be unknown.

        Raises:
            AccountError: the account cannot be used. Messages without a receipt were not handed over.
        """
        ...

    def close(self) -> None:
        """End the connection."""
        ...


@runtime_checkable
class PipelinedSender(Protocol):
    """A sender with several messages in flight. It must not be interrupted but where it waits."""

    def wait_within(self, waiting: Callable[[], AbstractContextManager[object]], /) -> None:
        """Open ``waiting()`` around each wait for the other side: what is raised there ends the sending."""
        ...


@runtime_checkable
class AskedSender(Protocol):
    """A sender that can ask its receiver what it has, by what was handed over together."""

    def ask(self, window: Sequence[Message], /) -> Iterable[Receipt]:
        """What became of messages that were claimed together and are unknown: one receipt for each.

        Deferred are those that certainly did not leave. Those that stay unknown have a ``retry_at``: when it
        is worth asking again, or now, when asking does not help.

        Raises:
            AccountError: the account cannot be used.
        """
        ...

    def taken(self, window: Sequence[Message], /) -> Iterable[Receipt]:
        """The receipts of messages that were claimed together, when it is known otherwise that the
        receiver has had them; nobody is asked."""
        ...


@runtime_checkable
class RestingSender(Protocol):
    """A sender that leaves a receiving domain alone which refuses everybody for now: it defers messages to it
    without trying them."""

    def know_rests(self, rests: Mapping[str, Rest], /) -> None:
        """By domain all rests of the account, as other workers were told of them too; those that are over
        among them, while the next answer decides whether there is another. Others do not hold any more."""
        ...

    def new_rests(self) -> Mapping[str, Rest | None]:
        """What was found since the last call: by domain that it rests, or None, that it has taken a message
        after a rest."""
        ...


@runtime_checkable
class RowSender(Protocol):
    """A sender of rows, of which equal ones are one."""

    def row_digest(self, message: Message, /) -> str:
        """What the messages of equal rows have in common, and no others."""
        ...


@runtime_checkable
class AskedAnew(Protocol):
    """What says whether to go on (``may_go_on``), and takes a while to find out whether that still holds."""

    def begin(self, messages: int, at_most: int, /) -> Callable[[], bool]:
        """Begin to find out, and give what waits for the answer; in between something else may be done. It
        holds of this moment or a later one, or of an earlier one after which no more than ``at_most``
        messages leave, with these."""
        ...


class Renderer(Protocol):
    """Writes a person's message."""

    def render(self, row: Row, /) -> Content:
        """The message of one decision.

        Raises:
            RenderError: when it cannot be written; the others go on.
        """
        ...


class Guard(Protocol):
    """Knows who said no since the decision."""

    def held(self, rows: Sequence[Row]) -> Mapping[str, DeliveryReason]:
        """Of these, the messages that must not leave any more: message_id → reason."""
        ...


class Hours(Protocol):
    """Knows when a person may be written to."""

    def opens_at(self, row: Row, now: datetime, /) -> datetime | None:
        """The first instant from ``now`` on at which this message may leave; None when there is none within
        the run's validity."""
        ...


class BatchBook(Protocol):
    """Leases: see ``store.batches.Batches``."""

    def get(self, run_key: str, channel: str, batch_number: int) -> BatchRecord: ...

    def lease(
        self, run_key: str, channel: str, batch_number: int, *, owner: str, seconds: float, now: datetime
    ) -> Lease: ...

    def renew(self, lease: Lease, *, now: datetime) -> None: ...

    def release(self, lease: Lease) -> bool: ...

    def finish(self, lease: Lease, *, at: datetime) -> None: ...


class LedgerBook(Protocol):
    """The ledger: see ``store.ledger.Ledger``."""

    def require_deliverable(self, run_key: str, *, account: str | None = None) -> datetime | None: ...

    def recover(self, lease: Lease, *, now: datetime, resends: bool = False) -> int: ...

    def resolve(self, lease: Lease, receipts: Sequence[Receipt], *, now: datetime) -> None: ...

    def has_result(self, message_ids: Sequence[str]) -> bool: ...

    def has_accepted(self, run_key: str, channel: str) -> bool: ...

    def last_answers(self, message_ids: Sequence[str]) -> Mapping[str, tuple[str, str | None]]: ...

    def standing(self, lease: Lease) -> Mapping[str, Standing]: ...

    def claim(
        self,
        lease: Lease,
        candidates: Sequence[Candidate],
        *,
        now: datetime,
        resend_unknown: bool = False,
        untried: Sequence[Untried] = (),
        pace: PaceVersion | None = None,
        receipts: Sequence[Receipt] = (),
        meanwhile: Callable[[], None] | None = None,
    ) -> Mapping[str, int]: ...

    def settle(self, lease: Lease, receipts: Sequence[Receipt], *, now: datetime) -> None: ...

    def settle_untried(self, lease: Lease, untried: Sequence[Untried], *, now: datetime) -> int: ...

    def put_off(
        self, lease: Lease, untried: Sequence[Untried], *, now: datetime, pace: PaceVersion
    ) -> None: ...

    def lines(self, message_ids: Sequence[str]) -> Mapping[str, LedgerLine]: ...

    def tally(self, run_key: str, channel: str, batch_number: int) -> BatchTally: ...


class OptOutBook(Protocol):
    """Opt-outs: see ``store.opt_outs.OptOuts``."""

    def since(
        self,
        since: datetime,
        *,
        channel: str,
        topic: str,
        with_every_topic: bool,
        profile_ids: Sequence[str],
        addresses: Sequence[str],
    ) -> OptOutHits: ...


class AnswerBook(Protocol):
    """The yes and the no together: see ``store.answers.Answers``."""

    def latest(
        self,
        *,
        channel: str,
        topic: str,
        is_exempt: bool,
        profile_ids: Collection[str],
        addresses: Collection[str],
    ) -> LatestAnswers: ...


class PeopleBook(Protocol):
    """Who people are by now, and what is published of them: see ``warehouse.PeopleIndex``."""

    def merged(self, profile_ids: Collection[str]) -> Mapping[str, str]:
        """Every former id of the people who go by one of these, or did: former id → the one of now."""

    def granted(
        self, profile_ids: Collection[str], *, channel: str, topics: Collection[str]
    ) -> Mapping[str, datetime]:
        """When people last said yes to one of the topics, by the id that they go by now."""


class SuppressionBook(Protocol):
    """Suppressions: see ``store.suppressions.Suppressions``."""

    def active(self, *, channel: str, addresses: Sequence[str]) -> Mapping[str, str]: ...

    def add_many(
        self, *, channel: str, reasons: Mapping[str, str], source: str, recorded_at: datetime
    ) -> None: ...


class SoftRefusalBook(Protocol):
    """What addresses have refused: see ``store.soft_bounces.SoftRefusals``."""

    def record(
        self, *, channel: str, refused: Mapping[str, str], rule: SoftBounceRule, source: str, now: datetime
    ) -> None: ...

    def taken(self, *, channel: str, addresses: Sequence[str]) -> None: ...


class PaceBook(Protocol):
    """Paces: see ``store.paces.Paces``."""

    def take(
        self,
        account: str,
        rates: Mapping[str, float],
        domains: Sequence[str],
        *,
        now: datetime,
        patience: timedelta,
    ) -> Grant: ...


class RestBook(Protocol):
    """Domains that are left alone: see ``store.rests.Rests``."""

    def record(self, account: str, changes: Mapping[str, Rest | None], *, now: datetime) -> None: ...


class GuardBooks(Protocol):
    """The operational store, as far as the last look before a message leaves reads it."""

    @property
    def answers(self) -> AnswerBook: ...

    @property
    def opt_outs(self) -> OptOutBook: ...

    @property
    def suppressions(self) -> SuppressionBook: ...


class Books(GuardBooks, Protocol):
    """The operational store, as far as delivery reads and writes it."""

    @property
    def rests(self) -> RestBook: ...

    @property
    def paces(self) -> PaceBook: ...

    @property
    def batches(self) -> BatchBook: ...

    @property
    def ledger(self) -> LedgerBook: ...

    @property
    def soft_refusals(self) -> SoftRefusalBook: ...
