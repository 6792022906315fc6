"""The runs that are to be decided, as the models read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from kundresa.settings import Settings
from kundresa.spec.vocabulary import Consent, OnePer
from kundresa.warehouse.exports import path_of, write_rows
from kundresa.warehouse.schemas import EXPORTS

EVERY_TOPIC = "*"
"""In ``run_cap_topics``: every topic but the exempt ones."""

EVERY_CAMPAIGN = "*"
"""In ``run_capacity_campaigns``: every campaign."""


@dataclass(frozen=True, slots=True)
class RunCap:
    """One cap that a run is under.

    ``window_seconds`` is a rolling time; None is a calendar period, and ``periods`` are those that cover
    the run's validity, as (time zone, start, end): of the one zone that it is in, or of every zone when it is
    the recipient's (the empty zone for people whose own is unknown). ``topics`` None is every topic that
    is not exempt from consent. ``counted_per`` is a column of profiles; empty is the person.
    """

    cap: str
    max_messages: int
    channels: tuple[str, ...]
    window_seconds: int | None = None
    is_recipient_time: bool = False
    topics: tuple[str, ...] | None = None
    counted_per: str = ""
    periods: Sequence[tuple[str, datetime, datetime]] = ()


@dataclass(frozen=True, slots=True)
class RunCapacity:
    """One capacity that a run's messages on some channels draw on, together with those of ``campaigns``
    (None: of all).

    ``level``: the pass, from 1, in which it is asked; a message draws on one capacity of a level at most.
    ``periods`` are (start, end, messages), apart from each other, and cover the run's validity; two runs with
    the same capacity have the same of these.
    """

    capacity: str
    level: int
    channels: tuple[str, ...]
    campaigns: tuple[str, ...] | None
    periods: Sequence[tuple[datetime, datetime, int]]


@dataclass(frozen=True, slots=True)
class RunWarmUp:
    """What a run's sending domain may send to one receiving provider, on each day as (start, end, messages);
    days that are not here have no limit. ``address_domains`` are the provider's; the last provider of a run
    has none and is every other. Two runs of the same domain have the same of these."""

    domain: str
    provider: str
    address_domains: tuple[str, ...]
    days: Sequence[tuple[datetime, datetime, int]]


@dataclass(frozen=True, slots=True)
class RunBudget:
    """What a run's messages on a channel cost, and may cost together with its other channels, in millionths
    of a currency, within a time. ``is_shared``: with all other runs of the campaign."""

    channel: str
    is_shared: bool
    cost_micros: int
    budget_micros: int
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class RunOpening:
    """The first instant at which a run may write to people of one time zone and country. The empty zone
    is for people whose own is unknown, and of a zone that is not here; the empty country for every
    country that is not here. ``opens_at`` None: not within the run's validity."""

    time_zone: str
    country: str
    opens_at: datetime | None
    wave: int = 0
    """From 1; 0 in a run without waves."""
    hour: int | None = None
    """The local hour, 0 to 23, that is waited for; None for none."""


@dataclass(frozen=True, slots=True)
class RunWave:
    """One wave of a run, and the first instant at which it may leave: the people of its buckets,
    ``bucket_to`` excluded, which of all waves cover 0 to 10000; or the people of its places, from 1 on, in
    the order of a hash, ``place_to`` excluded and None in the last."""

    wave: int
    starts_at: datetime
    bucket_from: int | None = None
    bucket_to: int | None = None
    place_from: int | None = None
    place_to: int | None = None


@dataclass(frozen=True, slots=True)
class OpenRun:
    """One run as the decision models read it.

    Instants are aware. ``decided_at`` is the instant that the decisions are made for. ``variant_salt``
    is empty without an experiment; ``variants`` are (name, first bucket, end of the range) and cover
    0 to 10000. ``channels`` are in the campaign's order.

    ``history_from``: the earliest message that any of its rules asks about; None when none does.
    ``not_again_since``: who got the campaign since then does not get it again; None asks nothing.
    ``consent`` is one of ``spec.vocabulary.Consent``. ``openings`` are read when ``is_timed``.
    ``explore_percent`` is None where no best hour is asked for.
    ``wave_salt`` is empty without ``waves``.
    ``is_ahead``: a run of the future, which takes its people's allowance where it goes first, and is neither
    recorded nor published; its ``decided_at`` is when it will be decided.
    """

    run_key: str
    campaign: str
    logical_at: datetime
    decided_at: datetime
    valid_until: datetime
    topic: str
    priority: int
    channel_choice: str
    holdout_percent: float
    holdout_salt: str
    variant_salt: str
    batch_size: int
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    channels: tuple[str, ...]
    variants: Sequence[tuple[str, int, int]] = ()
    history_from: datetime | None = None
    not_again_since: datetime | None = None
    one_per: str = OnePer.ENTITY.value
    sample_percent: float = 100.0
    sample_salt: str = ""
    max_size: int | None = None
    size_score: str = ""
    limit_score: str = ""
    priority_score: str = ""
    consent: str = Consent.YES.value
    is_allow_listed: bool = False
    is_timed: bool = False
    explore_percent: float | None = None
    explore_salt: str = ""
    global_holdout_percent: float = 0.0
    global_holdout_salt: str = ""
    caps: tuple[RunCap, ...] = ()
    capacities: tuple[RunCapacity, ...] = ()
    warm_ups: tuple[RunWarmUp, ...] = ()
    budgets: tuple[RunBudget, ...] = ()
    openings: Sequence[RunOpening] = ()
    wave_salt: str = ""
    waves: Sequence[RunWave] = ()
    is_ahead: bool = False


def export_open_runs(settings: Settings, runs: Iterable[OpenRun]) -> None:
    """Write the runs to be decided, in place of those written before.

    A run that is published already is left out: it was decided, and a run that had no candidates then
    must not find some now.
    """
    undecided = [
        run for run in runs if not (settings.published / "runs" / run.run_key / "decisions").exists()
    ]
    segments = [
        {"run_key": run.run_key, "role": role, "segment": segment}
        for run in undecided
        for role, names in (("include", run.include), ("exclude", run.exclude))
        for segment in names
    ]
    channels = [
        {"run_key": run.run_key, "channel": str(channel), "position": position}
        for run in undecided
        for position, channel in enumerate(run.channels)
    ]
    variants = [
        {"run_key": run.run_key, "variant": name, "bucket_from": start, "bucket_to": end}
        for run in undecided
        for name, start, end in run.variants
    ]
    openings = [{"run_key": run.run_key, **asdict(opening)} for run in undecided for opening in run.openings]
    plain = [{name: getattr(run, name) for name in EXPORTS["runs"]} for run in undecided]
    tables: dict[str, list[dict[str, Any]]] = {
        "run_segments": segments,
        "run_channels": channels,
        "run_variants": variants,
        "run_openings": openings,
        "run_waves": [{"run_key": run.run_key, **asdict(wave)} for run in undecided for wave in run.waves],
        **_caps(undecided),
        **_limits(undecided),
        **_warm_ups(undecided),
        # Last: a run is open to the models when it is here.
        "runs": plain,
    }
    for name, rows in tables.items():
        write_rows(path_of(settings, name), EXPORTS[name], rows)


def _caps(runs: Iterable[OpenRun]) -> dict[str, list[dict[str, Any]]]:
    tables: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("run_caps", "run_cap_channels", "run_cap_topics", "run_cap_periods")
    }
    for run_key, cap in ((run.run_key, cap) for run in runs for cap in run.caps):
        key = {"run_key": run_key, "cap": cap.cap}
        tables["run_caps"].append(
            {
                **key,
                "max_messages": cap.max_messages,
                "window_seconds": cap.window_seconds,
                "is_recipient_time": cap.is_recipient_time,
                "counted_per": cap.counted_per,
            }
        )
        tables["run_cap_channels"] += [{**key, "channel": channel} for channel in cap.channels]
        tables["run_cap_topics"] += [{**key, "topic": topic} for topic in cap.topics or (EVERY_TOPIC,)]
        tables["run_cap_periods"] += [
            {**key, "time_zone": zone, "starts_at": start, "ends_at": end} for zone, start, end in cap.periods
        ]
    return tables


def _limits(runs: Iterable[OpenRun]) -> dict[str, list[dict[str, Any]]]:
    tables: dict[str, list[dict[str, Any]]] = {
        name: []
        for name in ("run_capacities", "run_capacity_campaigns", "run_capacity_periods", "run_budgets")
    }
    for run in runs:
        tables["run_budgets"] += [{"run_key": run.run_key, **asdict(budget)} for budget in run.budgets]
        for each in run.capacities:
            key = {"run_key": run.run_key, "capacity": each.capacity}
            tables["run_capacities"] += [
                {**key, "channel": channel, "level": each.level} for channel in each.channels
            ]
            tables["run_capacity_campaigns"] += [
                {**key, "campaign": campaign} for campaign in each.campaigns or (EVERY_CAMPAIGN,)
            ]
            tables["run_capacity_periods"] += [
                {**key, "starts_at": start, "ends_at": end, "max_messages": messages}
                for start, end, messages in each.periods
            ]
    return tables


def _warm_ups(runs: Iterable[OpenRun]) -> dict[str, list[dict[str, Any]]]:
    found = [(run.run_key, each) for run in runs for each in run.warm_ups]
    return {
        "run_warm_ups": [
            {
                "run_key": run_key,
                "domain": each.domain,
                "provider": each.provider,
                "starts_at": start,
                "ends_at": end,
                "max_messages": messages,
            }
            for run_key, each in found
            for start, end, messages in each.days
        ],
        "run_providers": [
            {"run_key": run_key, "provider": each.provider, "address_domain": domain}
            for run_key, each in found
            for domain in each.address_domains
        ],
    }


def open_run_keys(settings: Settings) -> list[str]:
    """The runs that were exported to be decided; those that are only looked ahead to are not."""
    import pyarrow.parquet as pq

    path = path_of(settings, "runs")
    if not path.exists():
        return []
    rows = pq.read_table(path, columns=["run_key", "is_ahead"]).to_pylist()
    return [row["run_key"] for row in rows if not row["is_ahead"]]
