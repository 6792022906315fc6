"""The ledger's writes: claim, settle, recover, withhold. Each is one transaction under a batch's lease.

A message's line is written when it is claimed and is never deleted. ``claimed`` means: it may have left.
Only the transaction that says what became of it ends that. A settled line is at the same time its last
attempt, which is put aside among the ``attempts`` once there is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, insert, select, update

from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import CloseReason, DeliveryReason, MessageState, RunState
from kundresa.store.batches import hold
from kundresa.store.bulk import among
from kundresa.store.errors import (
    PaceChanged,
    RunClosed,
    RunNotChecked,
    RunNotFound,
    RunStopped,
    StoreError,
)
from kundresa.store.ledger_reads import LedgerReads, in_batch
from kundresa.store.print_rows import keep_rows, repeated
from kundresa.store.records import Candidate, Lease, PaceVersion, Untried
from kundresa.store.reported import accept_delivered
from kundresa.store.rests import LAST_CHANGE
from kundresa.store.tables import UtcDateTime, messages, runs
from kundresa.store.windows import (
    insert_claimed,
    keep_attempts,
    known_lines,
    settle_claimed,
    settle_unknown,
)

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

# Of a message that is given up: the code and detail of its last attempt stay. The attempt itself goes to
# ``attempts``, since the line's end is no longer the attempt's.
_GIVE_UP = (
    update(messages)
    .where(messages.c.message_id == bindparam("id"))
    .values(
        state=bindparam("new_state"),
        reason=bindparam("new_reason"),
        settled_at=_NOW,
        retry_at=bindparam("again", type_=UtcDateTime()),
        claimed_by=None,
        claimed_at=None,
    )
)

# Of one that waits for another attempt, which is not made yet.
_PUT_OFF = (
    update(messages)
    .where(messages.c.message_id == bindparam("id"))
    .values(retry_at=bindparam("new_retry_at", type_=UtcDateTime()))
)

# Of one whose outcome nobody will know.
_STAYS = update(messages).where(messages.c.message_id == bindparam("id")).values(retry_at=None)


class Ledger(LedgerReads):
    """The tables ``messages`` and ``attempts``, written."""

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
    ) -> dict[str, int]:
        """Record, before anything leaves, that these messages are about to.

        Claimed are those without a line, the deferred ones, and with ``resend_unknown`` the unknown
        ones. Others have come to their end, and are left alone. ``untried`` are settled along with it, as by
        :meth:`settle_untried`.
        With ``pace`` nothing is claimed when the account's pace, or its rests, are others by now.
        Nor are those whose row of a print file another message of the run keeps back (see ``print_rows``):
        they are withheld, or deferred until that is known.

        ``receipts`` are of messages claimed before. They are settled as by :meth:`settle`, in the same
        transaction, also when the claim is refused; not when the lease is lost or the store fails.

        ``meanwhile`` is called while the database makes it durable, see ``Database.write``.

        Returns:
            The claimed ones: message_id → number of the attempt, from 1. Send these and no others. 0 stands
            for those that another row has kept back.

        Raises:
            LeaseLost: when another worker has the batch; nothing is claimed.
            RunNotChecked, RunClosed, RunStopped: when the run does not allow it; nothing is claimed.
            PaceChanged: as ``pace`` says.
            BatchConflict: when a message is in the ledger under another batch, or a receipt's is not claimed.
        """
        refusal: StoreError | None = None
        claimed: dict[str, int] = {}
        with self._database.write(meanwhile) as connection:
            hold(connection, lease, now)
            settle_claimed(self._database, connection, lease, receipts, now)
            try:
                # All that can refuse the claim is asked before its first write.
                _require_paced(connection, lease.run_key, pace)
                ids = [each.message_id for each in candidates]
                known = known_lines(self._database, connection, lease, ids)
                ends = self._split(connection, lease, untried)
            except StoreError as refused:
                refusal = refused
            else:
                claimable = {MessageState.DEFERRED} | ({MessageState.UNKNOWN} if resend_unknown else set())
                claimed = {
                    each.message_id: known[each.message_id][1] + 1 if each.message_id in known else 1
                    for each in candidates
                    if each.message_id not in known or known[each.message_id][0] in claimable
                }
                new = [each for each in candidates if each.message_id not in known]
                # All of a batch are rows or none is.
                if candidates and candidates[0].row_digest is not None:
                    unknown = {key for key, (state, _) in known.items() if state is MessageState.UNKNOWN}
                    back = self._kept_back(connection, lease, candidates, claimed.keys() - unknown, now)
                    claimed |= {each.candidate.message_id: 0 for each in back}
                    new = [each for each in new if claimed[each.message_id]]
                    ends = self._split(connection, lease, [*untried, *back])
                insert_claimed(self._database, connection, lease, new, now)
                again = {key: attempt for key, attempt in claimed.items() if attempt and key in known}
                self._claim_again(connection, lease, again, now)
                self._settle_untried(connection, lease, ends, now)
        if refusal is not None:
            refusal.is_settled = True
            raise refusal
        return claimed

    def _kept_back(
        self,
        connection: Connection,
        lease: Lease,
        candidates: Sequence[Candidate],
        tried: Set[str],
        now: datetime,
    ) -> Sequence[Untried]:
        """Of rows of a print file those that are not to be claimed; the others are written down.

        Args:
            tried: which of them are to be handed over for the first time, or certainly were not before.
        """
        found = [each for each in candidates if each.message_id in tried]
        back = repeated(self._database, connection, lease, found, now)
        kept = {each.candidate.message_id for each in back}
        leaving = [each for each in found if each.message_id not in kept]
        keep_rows(self._database, connection, lease, leaving)
        return back

    def _claim_again(
        self, connection: Connection, lease: Lease, again: Mapping[str, int], now: datetime
    ) -> None:
        if again:
            keep_attempts(self._database, connection, [*again])
            values = {"owner": lease.owner, "lease": lease.fence, "now": now}
            connection.execute(
                _CLAIM_AGAIN, [values | {"id": key, "attempt": attempt} for key, attempt in again.items()]
            )

    def settle(self, lease: Lease, receipts: Sequence[Receipt], *, now: datetime) -> None:
        """Record what became of messages that this lease has claimed, each with its attempt.

        Raises:
            LeaseLost: when another worker has the batch; it has found these messages claimed and knows
                them as unknown.
            BatchConflict: for a message that this lease has not claimed; nothing is settled.
        """
        with self._database.write() as connection:
            hold(connection, lease, now)
            settle_claimed(self._database, connection, lease, receipts, now)

    def require_deliverable(self, run_key: str, *, account: str | None = None) -> datetime | None:
        """Ask what ``claim`` will ask, before anything is prepared.

        Returns when the pace or a rest of ``account`` was changed last; None when it has neither, and nothing
        need be asked for.

        Raises:
            RunNotFound, RunNotChecked, RunClosed, RunStopped: when nothing of the run may leave.
        """
        with self._database.read() as connection:
            return _require_checked(connection, run_key, account)

    def recover(self, lease: Lease, *, now: datetime, resends: bool = False) -> int:
        """Settle as unknown what earlier leases of the batch claimed and did not settle, but for what has
        been reported delivered: that is accepted.

        Returns how many. Run it right after taking the lease, before any claim.

        Args:
            resends: whether they are to be handed over, or asked about, again. Without a ``retry_at`` an
                unknown message stays what it is.

        Raises:
            LeaseLost: when another worker has the batch.
        """
        abandoned = and_(
            in_batch(lease),
            messages.c.state == MessageState.CLAIMED.value,
            messages.c.fence < lease.fence,
        )
        with self._database.write() as connection:
            hold(connection, lease, now)
            found = connection.execute(
                update(messages)
                .where(abandoned)
                .values(
                    state=MessageState.UNKNOWN.value,
                    reason=DeliveryReason.OUTCOME_UNKNOWN.value,
                    detail=_INTERRUPTED,
                    settled_at=now,
                    retry_at=now if resends else None,
                )
            ).rowcount
            if found:
                accept_delivered(connection, in_batch(lease))
            return found

    def resolve(self, lease: Lease, receipts: Sequence[Receipt], *, now: datetime) -> None:
        """Record what has become known of unknown messages of the batch, whatever the run's state: nothing
        leaves by it. Of those that stay unknown, when to look again.

        Raises:
            LeaseLost: when another worker has the batch.
            BatchConflict: for a message that is not unknown; nothing is recorded.
        """
        with self._database.write() as connection:
            hold(connection, lease, now)
            settle_unknown(self._database, connection, lease, receipts, now)

    def settle_untried(self, lease: Lease, untried: Sequence[Untried], *, now: datetime) -> int:
        """Settle messages that are not going to be tried (again), whatever the run's state.

        Written are those without a line and the deferred ones, of which the last attempt's code and
        detail stay. Unknown ones stay what they are, for good, unless they were reported delivered: they are
        not tried again either. Others are left alone. Returns how many were written.

        Raises:
            LeaseLost: when another worker has the batch.
            BatchConflict: when a message is in the ledger under another batch.
        """
        with self._database.write() as connection:
            hold(connection, lease, now)
            ends = self._split(connection, lease, untried)
            self._settle_untried(connection, lease, ends, now)
            return len(ends.new) + len(ends.given_up)

    def put_off(self, lease: Lease, untried: Sequence[Untried], *, now: datetime, pace: PaceVersion) -> None:
        """Let messages wait that were not tried, each until the ``retry_at`` of its receipt. Those without a
        line get one, as deferred after no attempt; of deferred and unknown ones only that time changes.
        Others are left alone.

        Raises:
            LeaseLost: when another worker has the batch.
            PaceChanged: when the account's pace, or its rests, are others by now; nothing is written.
            BatchConflict: when a message is in the ledger under another batch.
        """
        with self._database.write() as connection:
            hold(connection, lease, now)
            _require_unchanged(connection.execute(LAST_CHANGE, {"of_account": pace.account}).scalar(), pace)
            ids = [each.candidate.message_id for each in untried]
            known = known_lines(self._database, connection, lease, ids)
            new = [each for each in untried if each.candidate.message_id not in known]
            may_leave = {key for key, (state, _) in known.items() if state in _MAY_LEAVE_AGAIN}
            waiting = [
                {"id": each.candidate.message_id, "new_retry_at": each.receipt.retry_at}
                for each in untried
                if each.candidate.message_id in may_leave
            ]
            if new:
                connection.execute(insert(messages), [_untried_line(lease, each, now) for each in new])
            if waiting:
                connection.execute(_PUT_OFF, waiting)

    def _split(self, connection: Connection, lease: Lease, untried: Sequence[Untried]) -> _Ends:
        """What is to be written of messages that are not tried (again).

        Raises:
            BatchConflict: when one is in the ledger under another batch.
        """
        if not untried:
            return _NOTHING
        ids = [each.candidate.message_id for each in untried]
        known = known_lines(self._database, connection, lease, ids)
        states = [known.get(key, (None, 0))[0] for key in ids]
        pairs = list(zip(untried, states, strict=True))
        return _Ends(
            [each for each, state in pairs if state is None],
            [each.receipt for each, state in pairs if state is MessageState.DEFERRED],
            [key for key, state in zip(ids, states, strict=True) if state is MessageState.UNKNOWN],
        )

    def _settle_untried(self, connection: Connection, lease: Lease, ends: _Ends, now: datetime) -> None:
        if ends.new:
            connection.execute(insert(messages), [_untried_line(lease, each, now) for each in ends.new])
        if ends.given_up:
            keep_attempts(self._database, connection, [each.message_id for each in ends.given_up])
            connection.execute(
                _GIVE_UP,
                [
                    {
                        "id": each.message_id,
                        "new_state": each.state.value,
                        "new_reason": each.reason,
                        "again": each.retry_at,
                        "now": now,
                    }
                    for each in ends.given_up
                ],
            )
        if ends.unknown:
            connection.execute(_STAYS, [{"id": key} for key in ends.unknown])
            accept_delivered(connection, among(self._database, messages.c.message_id, ends.unknown))


@dataclass(frozen=True, slots=True)
class _Ends:
    """Messages that are not tried (again)."""

    new: Sequence[Untried]
    """Without a line."""
    given_up: Sequence[Receipt]
    """They waited for another attempt."""
    unknown: Sequence[str]


_NOTHING = _Ends((), (), ())
_MAY_LEAVE_AGAIN = (MessageState.DEFERRED, MessageState.UNKNOWN)

_RUN = (runs.c.state, runs.c.close_reason, runs.c.stopped_at)
_DELIVERABLE = select(*_RUN).where(runs.c.run_key == bindparam("of_run"))
# In the same query: most accounts have neither a pace nor a rest, and to ask for them must not cost a
# statement.
_DELIVERABLE_THROUGH = select(*_RUN, LAST_CHANGE.scalar_subquery().label("changed_at")).where(
    runs.c.run_key == bindparam("of_run")
)


def _require_checked(connection: Connection, run_key: str, account: str | None) -> datetime | None:
    """When the account's pace or one of its rests was changed last.

    Raises:
        RunNotFound, RunNotChecked, RunClosed, RunStopped: when nothing of the run may leave.
    """
    query = _DELIVERABLE if account is None else _DELIVERABLE_THROUGH
    row = connection.execute(query, {"of_run": run_key, "of_account": account}).first()
    if row is None:
        raise RunNotFound(run_key)
    state = RunState(row.state)
    if state is RunState.CLOSED:
        raise RunClosed(run_key, CloseReason(row.close_reason))
    if state is not RunState.CHECKED:
        raise RunNotChecked(run_key, state)
    if row.stopped_at is not None:
        raise RunStopped(run_key, row.stopped_at)
    return None if account is None else row.changed_at


def _require_paced(connection: Connection, run_key: str, pace: PaceVersion | None) -> None:
    changed_at = _require_checked(connection, run_key, None if pace is None else pace.account)
    if pace is not None:
        _require_unchanged(changed_at, pace)


def _require_unchanged(changed_at: datetime | None, pace: PaceVersion) -> None:
    if changed_at != pace.changed_at:
        raise PaceChanged(f"the pace of {pace.account}, or a domain that rests there, was changed")


def _untried_line(lease: Lease, untried: Untried, now: datetime) -> dict[str, Any]:
    candidate, receipt = untried.candidate, untried.receipt
    return {
        "message_id": candidate.message_id,
        "run_key": lease.run_key,
        "channel": lease.channel,
        "batch_number": lease.batch_number,
        "profile_id": candidate.profile_id,
        "variant": candidate.variant,
        "attempts": 0,
        "state": receipt.state.value,
        "reason": None if receipt.reason is None else receipt.reason.value,
        "provider_id": receipt.provider_id,
        "code": receipt.code,
        "detail": receipt.detail,
        "settled_at": now,
        "retry_at": receipt.retry_at,
    }
