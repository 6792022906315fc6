"""Delivery reports of text messages over SMPP on their way into the store, while messages are being sent and
while nothing is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from kundresa.channels import Account, DeliveryReport, receive_reports
from kundresa.feedback.text_reports import report_of
from kundresa.feedback.webhooks import Report
from kundresa.runs.feedback import record_reports
from kundresa.runs.opening import Clock, utc_now
from kundresa.settings import Settings
from kundresa.spec.policies import Policies, load_policies
from kundresa.store import Store, open_store

log = logging.getLogger(__name__)

HELD_FOR = timedelta(minutes=10)
"""How long a report waits for its message: a centre may tell of one whose window is not settled yet."""
MOST_HELD = 50_000
LOOK_AGAIN = timedelta(seconds=1)


class TextReports:
    """Records the delivery reports of one account, each once. For one thread.

    What is recorded is durable when the call returns. A report of a message that is not in the ledger waits
    in memory: before its window is settled, nobody knows the centre's name for it. Should the process die
    then, that name is lost with it, and the message is unknown. Reports that still belong to no message after
    ten minutes are of what other systems of the account have sent, and are left out.
    """

    def __init__(
        self, settings: Settings, store: Store, policies: Policies, account: str, *, clock: Clock
    ) -> None:
        self._settings, self._store, self._policies = settings, store, policies
        self._account = account
        self._clock = clock
        self._held: dict[str, tuple[Report, datetime]] = {}
        self._looked_at: datetime | None = None
        self.recorded = 0
        self.left_out = 0

    def __call__(self, told: Sequence[DeliveryReport]) -> None:
        """
        Raises:
            OperationalError: the store cannot be reached; nothing of these is kept then.
        """
        now = self._clock()
        reports = {each.event_id: (each, now) for each in map(report_of, told) if each is not None}
        is_due = self._looked_at is None or now - self._looked_at >= LOOK_AGAIN
        if self._held and is_due:
            reports = self._held | {key: each for key, each in reports.items() if key not in self._held}
        if reports:
            self._record(reports, now, is_whole=is_due)

    def flush(self) -> None:
        """What has waited is recorded now, or left out."""
        if self._held:
            self._record(dict(self._held), self._clock(), is_whole=True)
        self._leave_out(list(self._held))

    def _record(self, reports: dict[str, tuple[Report, datetime]], now: datetime, *, is_whole: bool) -> None:
        found = record_reports(
            self._settings,
            self._store,
            self._policies,
            self._account,
            [each for each, _ in reports.values()],
            now,
        )
        self.recorded += found.new
        waiting = {each.event_id: reports[each.event_id] for each in found.left_out}
        if is_whole:
            self._held, self._looked_at = waiting, now
        else:
            self._held |= waiting
        too_old = [key for key, (_, since) in self._held.items() if now - since >= HELD_FOR]
        self._leave_out([*too_old, *list(self._held)[: max(0, len(self._held) - len(too_old) - MOST_HELD)]])

    def _leave_out(self, keys: Sequence[str]) -> None:
        gone = [key for key in keys if self._held.pop(key, None)]
        self.left_out += len(gone)
        if gone:
            log.warning("%s: %d delivery reports of messages that are not ours", self._account, len(gone))


@contextmanager
def reports_of(
    settings: Settings, store: Store, policies: Policies, account: Account, *, clock: Clock
) -> Iterator[TextReports | None]:
    """For ``open_sender`` within: what takes the delivery reports that arrive while an SMPP account sends;
    None for any other. Those that had to wait are recorded at the end, when every message is settled."""
    if account.kind != "smpp":
        yield None
        return
    reports = TextReports(settings, store, policies, account.name, clock=clock)
    try:
        yield reports
    finally:
        try:
            reports.flush()
        # What was sent is settled whatever becomes of the reports, and is not to be reported as failed.
        except Exception:
            log.exception("%s: delivery reports were lost", account.name)


def receive_text_reports(
    settings: Settings,
    account: Account,
    *,
    may_go_on: Callable[[], bool],
    clock: Clock = utc_now,
) -> dict[str, int]:
    """Take the delivery reports of an SMPP account as they come, until it may not go on. Hard bounces
    suppress at once, soft ones by the rule that ``dags/policies.yaml`` has at the start.

    Returns how many were recorded for the first time, and how many belonged to no message.

    Raises:
        AccountError: the account is of another kind, or its login is refused.
        ConnectionError: it was never bound.
        SpecError: when the policies cannot be read.
    """
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    with open_store(settings.store_url) as store:
        reports = TextReports(settings, store, policies, account.name, clock=clock)
        if not receive_reports(account, reports, may_go_on=may_go_on):
            raise ConnectionError(f"{account.place} could not be reached")
        reports.flush()
        return {"recorded": reports.recorded, "left_out": reports.left_out}
