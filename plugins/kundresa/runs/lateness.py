"""Whether what a run sends leaves when it is due: told before the first message, when somebody slows an
account down, and when a batch's time has passed; each once, however many tasks find it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kundresa import warehouse
from kundresa.runs.comparing import previous_runs
from kundresa.runs.estimating import Rate, observed_rate, within_pace
from kundresa.runs.opening import Clock, utc_now
from kundresa.runs.pacing import paces
from kundresa.runs.seeds import SEED_BATCH
from kundresa.settings import Settings
from kundresa.spec.channels import Channel
from kundresa.spec.fields import format_duration
from kundresa.spec.frozen import thaw
from kundresa.spec.vocabulary import LateKind, RunState, Trigger
from kundresa.store import Run, Store, open_store


@dataclass(frozen=True, slots=True)
class Outlook:
    """How messages that have not left yet will, at a rate."""

    late: int
    """That leave more than the campaign allows after their send time."""
    lost: int
    """That do not leave while the run is valid: they are withheld. They are late, too."""
    due_at: datetime | None
    """The send time of the first that are late, or lost."""
    ends_at: datetime
    """When the last has left."""


def outlook(
    hours: Sequence[warehouse.SendHour],
    per_second: float,
    *,
    done: int,
    now: datetime,
    late_after: timedelta,
    valid_until: datetime,
) -> Outlook:
    """Messages leave in the order of their send times, none before its own.

    Args:
        hours: of one channel.
        per_second: how many leave in a second, all workers together.
        done: how many are done with; they are the first.
    """
    late = lost = 0
    first: datetime | None = None
    moment = now
    for hour in sorted(hours, key=lambda each: each.due_at):
        before = min(done, hour.messages)
        done -= before
        left = hour.messages - before
        if not left:
            continue
        starts = max(moment, hour.due_at)
        moment = starts + timedelta(seconds=left / per_second)
        after = _after(hour.due_at + late_after, starts, left, per_second)
        expired = _after(valid_until, starts, left, per_second)
        if (after or expired) and first is None:
            first = hour.due_at
        late += after
        lost += expired
    return Outlook(max(late, lost), lost, first, moment)


def _after(limit: datetime, starts: datetime, messages: int, per_second: float) -> int:
    """How many of these leave after a limit."""
    in_time = (limit - starts).total_seconds() * per_second
    return messages - max(0, min(messages, int(in_time)))


def warn_expected(
    settings: Settings, run_key: str, channel: str, *, clock: Clock = utc_now
) -> tuple[str, bool] | None:
    """A line that says how late messages of a channel are to be expected, and whether it has not been told
    before. None: they are not, or nothing is known of how fast they leave.

    Raises:
        RunNotFound: for a key that was never opened.
        SpecError: when the policies cannot be read.
    """
    with open_store(settings.store_url) as store:
        run = store.runs.require(run_key)
        spec, _ = thaw(run.spec_json)
        return next(
            (_warned(settings, store, run, part, clock()) for part in spec.channels if part.kind == channel),
            None,
        )


def warn_of_account(settings: Settings, account: str, *, clock: Clock = utc_now) -> list[str]:
    """Lines of all campaigns' runs that are sending, or about to, through an account and are to be expected
    to be late: for who has just changed its pace."""
    lines = []
    with open_store(settings.store_url) as store:
        for run in store.runs.unfinished():
            if run.state is not RunState.CHECKED or run.trigger is Trigger.JOURNEY:
                continue
            spec, _ = thaw(run.spec_json)
            found = (
                _warned(settings, store, run, part, clock())
                for part in spec.channels
                if part.account == account
            )
            lines += [line for line, _ in filter(None, found)]
    return lines


def _warned(
    settings: Settings, store: Store, run: Run, part: Channel, now: datetime
) -> tuple[str, bool] | None:
    # A print file is handed over whole, and a run that nobody has decided sends nothing.
    if part.kind == "direct_mail" or run.decided_at is None:
        return None
    rate = _rate(settings, store, run, part)
    if rate is None:
        return None
    spec, _ = thaw(run.spec_json)
    hours = [hour for hour in warehouse.send_hours(settings, run.run_key) if hour.channel == part.kind]
    found = outlook(
        hours,
        rate.per_second,
        done=sum(each.messages for each in store.ledger.counts(run.run_key) if each.channel == part.kind),
        now=now,
        late_after=spec.delivery.late_after,
        valid_until=run.valid_until,
    )
    if not found.late:
        return None
    messages = sum(hour.messages for hour in hours)
    lost = (
        f"; {found.lost:,} of them not at all, since the run is valid until {_moment(run.valid_until)}"
        if found.lost
        else ""
    )
    line = (
        f"{run.run_key}: {found.late:,} of {messages:,} messages on {part.kind} are expected to leave more "
        f"than {format_duration(spec.delivery.late_after)} late: due from "
        f"{_moment(found.due_at or run.valid_until)} on, the last leaves at {_moment(found.ends_at)}{lost}. "
        f"At {_rate_in_words(rate.per_second)}: {rate.basis}"
    )
    is_new = store.late_warnings.record(run.run_key, part.kind, LateKind.EXPECTED, line, now=now)
    return line, is_new


def _rate(settings: Settings, store: Store, run: Run, part: Channel) -> Rate | None:
    """Of the runs before this one, as the account's pace allows it now."""
    assert run.decided_at is not None  # noqa: S101 - the caller has looked
    pace = {line.account: line.per_second for line in paces(settings, part.account) if line.domain is None}
    earlier = previous_runs(settings, store, run.campaign, run.decided_at)
    observed = observed_rate(store, earlier, part.kind, part.account, before=run.decided_at)
    return within_pace(observed, part.account, pace.get(part.account))


class BatchWatch:
    """Whether a batch's time passes before its messages have left. Made before the batch is delivered; asked
    before and afterwards."""

    def __init__(
        self, settings: Settings, run_key: str, channel: str, batch_number: int, *, clock: Clock = utc_now
    ) -> None:
        """
        Raises:
            RunNotFound: for a key that was never opened.
            KeyError: when the run has no such batch.
        """
        self._settings = settings
        self._which = (run_key, channel, batch_number)
        self._clock = clock
        self._untried = 0
        with open_store(settings.store_url) as store:
            run = store.runs.require(run_key)
            if batch_number == SEED_BATCH or run.state is not RunState.CHECKED:
                return
            spec, _ = thaw(run.spec_json)
            self._late_after = spec.delivery.late_after
            tally = store.ledger.tally(run_key, channel, batch_number)
            size = store.batches.get(run_key, channel, batch_number).size
            # Who was tried and put off by its server is not late by us.
            self._untried = size - sum(tally.counts.values())
            self._due_at = warehouse.batch_send_at(settings, run_key, channel, batch_number)

    def warn(self) -> tuple[str, bool] | None:
        """A line that says how many messages had not left at their time, and whether that has not been told
        of the run's channel before. None: there is nothing to say."""
        now = self._clock()
        if not self._untried or now <= self._due_at + self._late_after:
            return None
        run_key, channel, number = self._which
        line = (
            f"{run_key}: of batch {number} on {channel}, due at {_moment(self._due_at)}, {self._untried:,} "
            f"had not left more than {format_duration(self._late_after)} later (seen at {_moment(now)})"
        )
        with open_store(self._settings.store_url) as store:
            return line, store.late_warnings.record(run_key, channel, LateKind.LATE, line, now=now)


def _rate_in_words(per_second: float) -> str:
    return f"{per_second:,.1f}/s" if per_second >= 1 else f"{per_second * 3600:,.1f} an hour"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z"
