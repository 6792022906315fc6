"""The ledger's writes: claim, settle, recover, withhold. Each is one transaction under a batch's lease.

A message's line is written when it is claimed and is never deleted. ``claimed`` means: it may have left.
Only the transaction that says what became of it ends that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    func,
    insert,
    literal,
    null,
    select,
    type_coerce,
    update,
)

from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import CloseReason, DeliveryReason, MessageState, RunState
from kundresa.store.batches import hold
from kundresa.store.errors import (
    BatchConflict,
    PaceChanged,
    RunClosed,
    RunNotChecked,
    RunNotFound,
    RunStopped,
)
from kundresa.store.ledger_reads import LedgerReads, in_batch
from kundresa.store.records import Candidate, Lease, PaceVersion, Untried
from kundresa.store.tables import UtcDateTime, attempts, messages, paces, runs

_INTERRUPTED = "the worker ended between handing the message over and recording what became of it"

_NOW = bindparam("now", type_=UtcDateTime())

_CLAIM_AGAIN = (
    update(messages)
    .where(messages.c.message_id == bindparam("id"))
    .values(
        state=MessageState.CLAIMED.value,
        attempts=bindparam("attempt"),
        claimed_by=bindparam("owner"),
        fence=bindparam("lease"),
        claimed_at=_NOW,
        first_claimed_at=func.coalesce(messages.c.first_claimed_at, _NOW),
        reason=None,
        code=None,
        detail=None,
        settled_at=None,
        retry_at=None,
    )
)

_SETTLE = (
    update(messages)
    .where(messages.c.message_id == bindparam("id"))
    .values(
        {
            name: bindparam(f"new_{name}", type_=messages.c[name].type)
            for name in ("state", "reason", "provider_id", "code", "detail", "settled_at", "retry_at")
        }
    )
)

# Of a message that is given up: the code and detail of its last attempt stay.
_GIVE_UP = (
    update(messages)
    .where(messages.c.message_id == bindparam("id"))
    .values(state=bindparam("new_state"), reason=bindparam("new_reason"), settled_at=_NOW, retry_at=None)
)


class Ledger(LedgerReads):
    """The tables ``messages`` and ``attempts``."""

    def claim(
        self,
        lease: Lease,
        candidates: Sequence[Candidate],
        *,
        now: datetime,
        resend_unknown: bool = False,
        untried: Sequence[Untried] = (),
        pace: PaceVersion | None = None,
    ) -> dict[str, int]:
        """Record, before anything leaves, that these messages are about to.

        Claimed are those without a line, the deferred ones, and with ``resend_unknown`` the unknown
        ones. Others have come to their end, and are left alone. ``untried`` are settled along with it.
        With ``pace`` nothing is claimed when the account's pace is another by now.

        Returns:
            The claimed ones: message_id → number of the attempt, from 1. Send these and no others.

        Raises:
            LeaseLost: when another worker has the batch; nothing is claimed.
            RunNotChecked, RunClosed, RunStopped: when the run does not allow it; nothing is claimed.
            PaceChanged: as ``pace`` says.
            BatchConflict: when a message is in the ledger under another batch.
        """
        with self._database.write() as connection:
            hold(connection, lease, now)
            _require_checked(connection, lease.run_key, pace)
            known = _known(connection, lease, [each.message_id for each in candidates])
            claimable = {MessageState.DEFERRED} | ({MessageState.UNKNOWN} if resend_unknown else set())
            new = [each for each in candidates if each.message_id not in known]
            again = {
                each.message_id: known[each.message_id][1] + 1
                for each in candidates
                if each.message_id in known and known[each.message_id][0] in claimable
            }
            if new:
                connection.execute(insert(messages), [_claimed_line(lease, each, now) for each in new])
            if again:
                connection.execute(
                    _CLAIM_AGAIN,
                    [
                        {
                            "id": key,
                            "attempt": attempt,
                            "owner": lease.owner,
                            "lease": lease.fence,
                            "now": now,
                        }
                        for key, attempt in again.items()
                    ],
                )
            _settle_untried(connection, lease, untried, now)
        return {each.message_id: 1 for each in new} | again

    def settle(self, lease: Lease, receipts: Sequence[Receipt], *, now: datetime) -> None:
        """Record what became of messages that this lease has claimed, each with its attempt.

        Raises:
            LeaseLost: when another worker has the batch; it has found these messages claimed and knows
                them as unknown.
            BatchConflict: for a message that this lease has not claimed; nothing is settled.
        """
        with self._database.write() as connection:
            hold(connection, lease, now)
            claims = _claims(connection, lease, [each.message_id for each in receipts])
            strangers = [each.message_id for each in receipts if each.message_id not in claims]
            if strangers or len(claims) != len(receipts):
                raise BatchConflict(
                    f"{lease}: {len(receipts)} receipts for {len(claims)} claimed messages "
                    f"({len(strangers)} not claimed under this lease)"
                )
            if receipts:
                connection.execute(_SETTLE, [_settled(each, now) for each in receipts])
                connection.execute(
                    insert(attempts),
                    [
                        {
                            "message_id": each.message_id,
                            "attempt": claims[each.message_id][0],
                            "claimed_by": lease.owner,
                            "claimed_at": claims[each.message_id][1],
                            "settled_at": now,
                            "state": each.state.value,
                            "code": each.code,
                            "detail": each.detail,
                        }
                        for each in receipts
                    ],
                )

    def require_deliverable(self, run_key: str) -> None:
        """Ask what ``claim`` will ask, before anything is prepared.

        Raises:
            RunNotFound, RunNotChecked, RunClosed, RunStopped: when nothing of the run may leave.
        """
        with self._database.read() as connection:
            _require_checked(connection, run_key)

    def recover(self, lease: Lease, *, now: datetime) -> int:
        """Settle as unknown what earlier leases of the batch claimed and did not settle.

        Returns how many. Run it right after taking the lease, before any claim.

        Raises:
            LeaseLost: when another worker has the batch.
        """
        abandoned = and_(
            in_batch(lease),
            messages.c.state == MessageState.CLAIMED.value,
            messages.c.fence < lease.fence,
        )
        ended = select(
            messages.c.message_id,
            messages.c.attempts,
            messages.c.claimed_by,
            messages.c.claimed_at,
            type_coerce(literal(now, UtcDateTime), UtcDateTime),
            literal(MessageState.UNKNOWN.value),
            null(),
            literal(_INTERRUPTED),
        ).where(abandoned)
        with self._database.write() as connection:
            hold(connection, lease, now)
            connection.execute(insert(attempts).from_select([each.name for each in attempts.c], ended))
            return connection.execute(
                update(messages)
                .where(abandoned)
                .values(
                    state=MessageState.UNKNOWN.value,
                    reason=DeliveryReason.OUTCOME_UNKNOWN.value,
                    detail=_INTERRUPTED,
                    settled_at=now,
                    retry_at=None,
                )
            ).rowcount

    def settle_untried(self, lease: Lease, untried: Sequence[Untried], *, now: datetime) -> int:
        """Settle messages that are not going to be tried (again), whatever the run's state.

        Written are those without a line and the deferred ones, of which the last attempt's code and
        detail stay; others are left alone. Returns how many were written.

        Raises:
            LeaseLost: when another worker has the batch.
            BatchConflict: when a message is in the ledger under another batch.
        """
        with self._database.write() as connection:
            hold(connection, lease, now)
            return _settle_untried(connection, lease, untried, now)


def _require_checked(connection: Connection, run_key: str, pace: PaceVersion | None = None) -> None:
    columns: list[Any] = [runs.c.state, runs.c.close_reason, runs.c.stopped_at]
    if pace is not None:
        # In the same query: most accounts have no pace, and to ask for it must not cost them a statement.
        changed = select(func.max(paces.c.changed_at)).where(paces.c.account == pace.account)
        columns.append(changed.scalar_subquery().label("pace_changed_at"))
    query = select(*columns).where(runs.c.run_key == run_key)
    row = connection.execute(query).first()
    if row is None:
        raise RunNotFound(run_key)
    state = RunState(row.state)
    if state is RunState.CLOSED:
        raise RunClosed(run_key, CloseReason(row.close_reason))
    if state is not RunState.CHECKED:
        raise RunNotChecked(run_key, state)
    if row.stopped_at is not None:
        raise RunStopped(run_key, row.stopped_at)
    if pace is not None and row.pace_changed_at != pace.changed_at:
        raise PaceChanged(f"the pace of {pace.account} was changed")


def _known(connection: Connection, lease: Lease, ids: Sequence[str]) -> dict[str, tuple[MessageState, int]]:
    """Of these messages, those that have a line: its state and its attempts.

    Raises:
        BatchConflict: when one is offered twice, or its line belongs to another batch.
    """
    if len(set(ids)) != len(ids):
        raise BatchConflict(f"{lease}: a message was offered twice at once")
    batch = (messages.c.run_key, messages.c.channel, messages.c.batch_number)
    query = select(messages.c.message_id, messages.c.state, messages.c.attempts, *batch)
    known = {}
    for row in connection.execute(query.where(messages.c.message_id.in_(ids))):
        if (row.run_key, row.channel, row.batch_number) != (lease.run_key, lease.channel, lease.batch_number):
            raise BatchConflict(
                f"{lease}: message {row.message_id} is in the ledger as one of {row.run_key}, {row.channel} "
                f"batch {row.batch_number}"
            )
        known[row.message_id] = (MessageState(row.state), int(row.attempts))
    return known


def _claims(connection: Connection, lease: Lease, ids: Sequence[str]) -> dict[str, tuple[int, datetime]]:
    """Of these messages, those that are claimed under this lease: attempt and time of the claim."""
    mine: ColumnElement[bool] = and_(
        in_batch(lease),
        messages.c.message_id.in_(ids),
        messages.c.state == MessageState.CLAIMED.value,
        messages.c.fence == lease.fence,
    )
    query = select(messages.c.message_id, messages.c.attempts, messages.c.claimed_at).where(mine)
    return {row.message_id: (row.attempts, row.claimed_at) for row in connection.execute(query)}


def _line(lease: Lease, candidate: Candidate) -> dict[str, Any]:
    return {
        "message_id": candidate.message_id,
        "run_key": lease.run_key,
        "channel": lease.channel,
        "batch_number": lease.batch_number,
        "profile_id": candidate.profile_id,
        "variant": candidate.variant,
    }


def _claimed_line(lease: Lease, candidate: Candidate, now: datetime) -> dict[str, Any]:
    return _line(lease, candidate) | {
        "state": MessageState.CLAIMED.value,
        "attempts": 1,
        "claimed_by": lease.owner,
        "fence": lease.fence,
        "first_claimed_at": now,
        "claimed_at": now,
    }


def _settled(receipt: Receipt, now: datetime) -> Mapping[str, Any]:
    return {
        "id": receipt.message_id,
        "new_state": receipt.state.value,
        "new_reason": None if receipt.reason is None else receipt.reason.value,
        "new_provider_id": receipt.provider_id,
        "new_code": receipt.code,
        "new_detail": receipt.detail,
        "new_settled_at": now,
        "new_retry_at": receipt.retry_at,
    }


def _settle_untried(connection: Connection, lease: Lease, untried: Sequence[Untried], now: datetime) -> int:
    if not untried:
        return 0
    known = _known(connection, lease, [each.candidate.message_id for each in untried])
    new = [each for each in untried if each.candidate.message_id not in known]
    deferred = [
        each.receipt
        for each in untried
        if known.get(each.candidate.message_id, (None, 0))[0] is MessageState.DEFERRED
    ]
    if new:
        connection.execute(insert(messages), [_untried_line(lease, each, now) for each in new])
    if deferred:
        connection.execute(
            _GIVE_UP,
            [
                {"id": each.message_id, "new_state": each.state.value, "new_reason": each.reason, "now": now}
                for each in deferred
            ],
        )
    return len(new) + len(deferred)


def _untried_line(lease: Lease, untried: Untried, now: datetime) -> dict[str, Any]:
    settled = _settled(untried.receipt, now)
    return (
        _line(lease, untried.candidate)
        | {"attempts": 0}
        | {name.removeprefix("new_"): value for name, value in settled.items() if name != "id"}
    )
