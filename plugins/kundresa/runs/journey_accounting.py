"""The account of a day of a journey, or of one of its standing runs: told in the words of a campaign's run.

A campaign's account is made once, when the run has ended. A journey goes on, so its account is of the moment
at which it is asked for, and what is under way is a line of it, ``pending``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kundresa.runs.journey_accounts import DAY, journey_campaign
from kundresa.spec.journey_outcomes import NOT_SENT
from kundresa.spec.keys import journey_day_of
from kundresa.spec.vocabulary import CloseReason, MessageState, RunState, Trigger
from kundresa.store import AccountedMessages, JourneyAccount, Run, Store

PENDING = "pending"
"""As ``account_lines`` has it: not decided yet, or on its way."""
_FINAL = (MessageState.FAILED, MessageState.WITHHELD, MessageState.UNKNOWN)
MISSING = "ledger_missing"
"""The journey has it as sent, and the ledger has not: never, unless something was lost."""


def journey_account(store: Store, run_key: str, now: datetime) -> dict[str, Any] | None:
    """The account of a journey's day, or standing run, as :data:`kundresa.runs.accounting.Account`; None for
    any other key.

    It adds up when as many lines were counted as messages, each has a reason where it was not sent, and the
    ledger agrees about each that was.

    Raises:
        JourneyNotFound: for the day of a journey that was never started.
    """
    day = journey_day_of(run_key)
    if day is not None:
        journey, first = day
        store.journeys.require(journey)
        account = store.journey_accounts.of_day(journey, first, first + DAY)
        told = _channels(account)
        is_over = first + DAY <= now and not any(PENDING in part["not_sent"] for part in told.values())
        head = {
            "run_key": run_key,
            "campaign": journey_campaign(journey),
            "logical_at": first.isoformat(),
            "state": (RunState.CLOSED if is_over else RunState.CHECKED).value,
            "close_reason": CloseReason.COMPLETED.value if is_over else None,
            "close_detail": None,
            "stopped_at": None,
            "stop_detail": None,
        }
        return head | {"channels": told, "people": _people(account)}
    run = store.runs.get(run_key)
    if run is None or run.trigger is not Trigger.JOURNEY:
        return None
    account = store.journey_accounts.of_run(run_key)
    return run_head(run) | {"channels": _channels(account), "people": _people(account)}


def run_head(run: Run) -> dict[str, Any]:
    """What an account says of its run."""
    return {
        "run_key": run.run_key,
        "campaign": run.campaign,
        "logical_at": run.logical_at.isoformat(),
        "state": run.state.value,
        "close_reason": run.close_reason.value if run.close_reason else None,
        "close_detail": run.close_detail,
        "stopped_at": run.stopped_at.isoformat() if run.stopped_at else None,
        "stop_detail": run.stop_detail,
    }


def line_of(line: AccountedMessages) -> str | None:
    """Under which reason a line is counted; None for one that was sent."""
    if line.state == MessageState.ACCEPTED:
        return None
    if line.outcome is None and line.state not in _FINAL:
        return PENDING
    if line.outcome is not None and line.outcome != NOT_SENT:
        return MISSING
    return line.reason or line.delivery_reason or "reason_missing"


def _channels(account: JourneyAccount) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for channel, considered in sorted(account.considered.items()):
        own = [line for line in account.lines if line.channel == channel]
        sent = sum(line.messages for line in own if line_of(line) is None)
        not_sent: dict[str, int] = {}
        for line in own:
            reason = line_of(line)
            if reason is not None:
                not_sent[reason] = not_sent.get(reason, 0) + line.messages
        total = sent + sum(not_sent.values())
        # Refused, and the ledger says that it left all the same.
        is_denied = any(line_of(line) is None and line.outcome == NOT_SENT for line in own)
        found[channel] = {
            "considered": considered,
            "sent": sent,
            "not_sent": dict(sorted(not_sent.items())),
            "sum": total,
            "adds_up": total == considered
            and not is_denied
            and not account.extra
            and not {MISSING, "reason_missing"} & not_sent.keys(),
            "decided_send": sum(line.messages for line in own if line.is_decided),
        }
    return found


def _people(account: JourneyAccount) -> dict[str, int]:
    return {"considered": account.people_considered, "reached": account.people_reached}
