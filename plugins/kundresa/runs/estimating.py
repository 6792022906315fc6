"""What a plan costs, and how long it takes to leave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kundresa import warehouse
from kundresa.runs.waterfall import Waterfall
from kundresa.spec.campaign import Campaign
from kundresa.spec.costs import MICROS, Costs, micros
from kundresa.spec.frozen import thaw
from kundresa.store import Run, Store

LOOK_BACK = 30
"""Runs, of all campaigns, among which one that has sent through the same account is looked for."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What the messages cost. ``channels`` has those whose price is known; ``unknown`` are the others that
    would send. ``total`` is over the known ones; None when none is."""

    currency: str | None
    channels: Mapping[str, float]
    total: float | None
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Duration:
    """How long a channel takes. ``basis`` says what the rate (messages per second) was observed at; without
    one, rate, seconds and ``ends_at`` are None: unknown. ``seconds`` is the time at work, waiting for
    send times apart."""

    channel: str
    messages: int
    rate: float | None
    basis: str
    seconds: float | None
    starts_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Rate:
    """Messages per second of the time in which a run's channel was at work, with all its workers."""

    per_second: float
    basis: str


def estimate_cost(costs: Costs | None, parts: Sequence[Waterfall]) -> Cost:
    """Per message of each channel, as ``dags/policies.yaml`` has it."""
    sending = {part.channel: part.send for part in parts if part.send}
    prices: Mapping[str, float] = {} if costs is None else {str(k): v for k, v in costs.per_message.items()}
    # In whole millionths: sums of binary fractions depend on their order.
    amounts = {
        channel: messages * micros(prices[channel])
        for channel, messages in sending.items()
        if channel in prices
    }
    return Cost(
        currency=costs.currency if costs else None,
        channels={channel: amount / MICROS for channel, amount in amounts.items()},
        total=sum(amounts.values()) / MICROS if amounts or (costs and not sending) else None,
        unknown=tuple(sorted(set(sending) - set(amounts))),
    )


def observed_rate(
    store: Store, previous: Sequence[Run], channel: str, account: str, *, before: datetime
) -> Rate | None:
    """How fast messages left on a channel: in the campaign's latest previous run, else in the latest run of
    any campaign through the same sender account, as far as the ledger still has their attempts."""
    others = [
        run
        for run in store.runs.list(limit=LOOK_BACK)
        if run.decided_at is not None and run.decided_at < before and _sends_through(run, channel, account)
    ]
    for run in (*previous, *others):
        work = store.throughput.work(run.run_key, channel)
        if work.attempts and work.seconds > 0:
            return Rate(
                work.attempts / work.seconds,
                f"{work.attempts:,} attempts of {run.run_key} in {work.seconds:,.1f} s of work",
            )
    return None


def within_pace(rate: Rate | None, account: str, per_second: float | None) -> Rate | None:
    """The rate as the account's pace allows it (None: no pace). Of what nobody has sent yet, the pace is the
    best that can be said."""
    if per_second is None or (rate is not None and rate.per_second <= per_second):
        return rate
    return Rate(per_second, f"the pace of the account {account}, shared with other campaigns")


def _sends_through(run: Run, channel: str, account: str) -> bool:
    try:
        spec, _ = thaw(run.spec_json)
    except ValueError:  # a run of another release: what it sent through is not known
        return False
    return any(part.kind == channel and part.account == account for part in spec.channels)


def estimate_durations(
    spec: Campaign,
    hours: Iterable[warehouse.SendHour],
    rates: Mapping[str, Rate | None],
    *,
    planned_at: datetime,
) -> list[Duration]:
    """By channel. Messages leave at the observed rate, each hour's not before it has come, and wait for those
    of the hours before."""
    by_channel: dict[str, list[warehouse.SendHour]] = {}
    for hour in hours:
        by_channel.setdefault(hour.channel, []).append(hour)
    found = []
    for part in spec.channels:
        due = sorted(by_channel.get(part.kind, []), key=lambda hour: hour.starts_at)
        if due:
            found.append(_duration(part.kind, due, rates.get(part.kind), planned_at))
    return found


def _duration(
    channel: str, due: Sequence[warehouse.SendHour], rate: Rate | None, planned_at: datetime
) -> Duration:
    messages = sum(hour.messages for hour in due)
    starts_at = max(due[0].starts_at, planned_at)
    if rate is None:
        basis = "unknown: no earlier run has sent on this channel or through its account"
        return Duration(channel, messages, None, basis, None, starts_at, None)
    moment = starts_at
    for hour in due:
        moment = max(moment, hour.starts_at) + timedelta(seconds=hour.messages / rate.per_second)
    return Duration(
        channel, messages, rate.per_second, rate.basis, messages / rate.per_second, starts_at, moment
    )
