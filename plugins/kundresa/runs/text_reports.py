"""Delivery reports and replies over SMPP on their way into the store, while messages are being sent and while
nothing is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice

from kundresa.channels import Account, Arrival, DeliveryReport, TextReply, receive_reports
from kundresa.feedback.text_reports import reply_of, report_of
from kundresa.feedback.webhooks import Report
from kundresa.runs.feedback import record_reports
from kundresa.runs.opening import Clock, utc_now
from kundresa.runs.replies import record_replies
from kundresa.runs.reported_messages import leaving_over
from kundresa.settings import Settings
from kundresa.spec.policies import Policies, load_policies
from kundresa.store import Store, open_store

log = logging.getLogger(__name__)

HELD_FOR = timedelta(minutes=10)
"""How long a report may be of a message whose window is not settled yet, from when it was first seen."""
MOST_HELD = 50_000
LOOK_AGAIN = timedelta(seconds=1)
_AT_ONCE = 2_000


class TextReports:
    """Records the delivery reports of one account and the replies to its texts, each once. For one thread.

    What is recorded is durable when the call returns. A report of a message that is not in the ledger is
    asked for again: before its window is settled, here or by whoever else sends on the account, nobody knows
    the centre's name for it. The centre keeps it meanwhile, so none is lost with this process. It is held in
    memory as well, and recorded as soon as its message is known. A report that comes again ten minutes after
    it was first seen, and still belongs to no message, is of what other systems of the account have sent: it
    is taken, and left out. A reply belongs to nobody's message and is never asked for again.
    """

    def __init__(
        self, settings: Settings, store: Store, policies: Policies, account: str, *, clock: Clock
    ) -> None:
        self._settings, self._store, self._policies = settings, store, policies
        self._account = account.lower()  # as campaigns write it; the environment tells no case apart
        self._clock = clock
        self._held: dict[str, tuple[Report, datetime]] = {}
        """By event, with when it was first seen; the first one first."""
        self._looked_at: datetime | None = None
        self._is_ours = leaving_over(store, self._account)
        self.recorded = 0
        self.left_out = 0
        self.replies = 0
        self.opt_outs = 0

    def __call__(self, told: Sequence[Arrival]) -> Set[Arrival]:
        """Those of ``told`` that the centre is to send again.

        Raises:
            OperationalError: the store cannot be reached; nothing of these is kept then.
        """
        now = self._clock()
        self._take([each for each in told if isinstance(each, TextReply)], now)
        reported = [each for each in told if isinstance(each, DeliveryReport)]
        arrived = {each: report for each in reported if (report := report_of(each)) is not None}
        reports = {report.event_id: report for report in arrived.values()}
        if self._held and (self._looked_at is None or now - self._looked_at >= LOOK_AGAIN):
            reports = self._waiting(now) | reports
            self._looked_at = now
        unknown = self._record(reports, now)
        missed = {each: report for each, report in arrived.items() if report.event_id in unknown}
        strange = {report.event_id for report in missed.values() if not self._hold(report, now)}
        for event_id in strange:
            self._held.pop(event_id, None)
        if strange:
            self.left_out += len(strange)
            log.warning("%s: %d delivery reports of messages that are not ours", self._account, len(strange))
        return {each for each, report in missed.items() if report.event_id not in strange}

    def flush(self) -> None:
        """Records what can be recorded by now; the centre sends the others again."""
        now = self._clock()
        self._record(self._waiting(now), now)

    def _take(self, replies: Sequence[TextReply], now: datetime) -> None:
        made = [reply_of(each, now) for each in replies]
        done = record_replies(self._settings, self._store, self._policies, self._account, made, now)
        self.replies += done.new
        self.opt_outs += done.opt_outs

    def _waiting(self, now: datetime) -> dict[str, Report]:
        return {key: report for key, (report, since) in self._held.items() if now - since < HELD_FOR}

    def _record(self, reports: Mapping[str, Report], now: datetime) -> set[str]:
        """The events of those that belong to no message."""
        unknown: set[str] = set()
        rest = iter(reports.values())
        while some := list(islice(rest, _AT_ONCE)):
            found = record_reports(
                self._settings,
                self._store,
                self._policies,
                self._account,
                some,
                now,
                is_of_account=self._is_ours,
            )
            self.recorded += found.new
            left_out = {each.event_id for each in found.left_out}
            for each in some:
                if each.event_id not in left_out:
                    self._held.pop(each.event_id, None)
            unknown |= left_out
        return unknown

    def _hold(self, report: Report, now: datetime) -> bool:
        """Whether its message may still become known. Where there is no room, it is asked for again without
        being held; those that have waited long make room first."""
        held = self._held.get(report.event_id)
        if held is not None:
            return now - held[1] < HELD_FOR
        if len(self._held) >= MOST_HELD:
            oldest, (_, since) = next(iter(self._held.items()))
            if now - since < HELD_FOR:
                return True
            del self._held[oldest]
        self._held[report.event_id] = (report, now)
        return True


@contextmanager
def reports_of(
    settings: Settings, store: Store, policies: Policies, account: Account, *, clock: Clock
) -> Iterator[TextReports | None]:
    """For ``open_sender`` within: what takes the delivery reports that arrive while an SMPP account sends;
    None for any other. Those that had to wait are looked at again at the end, when all messages of the sender
    are settled."""
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
            log.exception("%s: delivery reports are left for the centre to send again", account.name)


def receive_text_reports(
    settings: Settings,
    account: Account,
    *,
    may_go_on: Callable[[], bool],
    clock: Clock = utc_now,
) -> dict[str, int]:
    """Take the delivery reports of an SMPP account and what people write back as they come, until it may not
    go on. Hard bounces suppress at once, soft ones by the rule that ``dags/policies.yaml`` has at the start.

    Returns how many reports were ``recorded`` for the first time, and how many were taken and ``left_out``,
    as they belonged to no message for ten minutes; those that may still come to belong to one stay with the
    centre. ``replies`` were recorded for the first time; ``opt_outs`` were a no.

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
        return {
            "recorded": reports.recorded,
            "left_out": reports.left_out,
            "replies": reports.replies,
            "opt_outs": reports.opt_outs,
        }
