"""What a simulation comes to: SQL over the runs that were decided in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from kundresa.settings import Settings
from kundresa.spec.vocabulary import DecisionReason
from kundresa.warehouse.open_runs import OpenRun
from kundresa.warehouse.published import decisions_folder
from kundresa.warehouse.simulation import Simulation
from kundresa.warehouse.sql import fetch, parquet, published_database


@dataclass(frozen=True, slots=True)
class DayCount:
    """Messages of a campaign that leave on a day, in UTC, by their send time."""

    campaign: str
    day: date
    messages: int


@dataclass(frozen=True, slots=True)
class RunSize:
    """A run and what it sends; ``considered`` are lines."""

    run_key: str
    campaign: str
    considered: int
    send: int


@dataclass(frozen=True, slots=True)
class CutCount:
    """Lines of a campaign, over all its runs, that have this reason."""

    campaign: str
    reason: str
    lines: int


@dataclass(frozen=True, slots=True)
class PressureCount:
    """How many people get so many messages in all."""

    messages: int
    people: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """Lines of ``campaign`` that a cap cut where messages of ``cut_by`` filled it. ``lines`` counts each for
    every campaign that had a message in it: the sum over ``cut_by`` may be more than were cut. ``outranked``
    of them lost to a run that was decided together with theirs."""

    campaign: str
    cut_by: str
    cap: str
    lines: int
    outranked: int


class SimulationReport:
    """Questions to one simulation; valid while its scratch folder is there."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def runs(self) -> list[RunSize]:
        """Every run that considered anybody, by key."""
        return [RunSize(**row) for row in self._rows(_RUNS)]

    def days(self) -> list[DayCount]:
        """Messages by campaign and day."""
        return [DayCount(**row) for row in self._rows(_DAYS)]

    def cuts(self) -> list[CutCount]:
        """Cut lines by campaign and reason."""
        return [CutCount(**row) for row in self._rows(_CUTS)]

    def pressure(self) -> list[PressureCount]:
        """How many of all people get 0, 1, 2 … messages; numbers that nobody gets are left out."""
        return [PressureCount(**row) for row in self._rows(_PRESSURE)]

    def conflicts(self) -> list[Conflict]:
        """Who cut whom, the most lines first."""
        reasons = {"capped": DecisionReason.CAPPED.value, "outranked": DecisionReason.OUTRANKED.value}
        return [Conflict(**row) for row in self._rows(_CONFLICTS, **reasons)]

    def _rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        return fetch(self._connection, sql, parameters)


@contextmanager
def simulation_report(settings: Settings, simulation: Simulation) -> Iterator[SimulationReport]:
    """Ask about a simulation beside what the installation of ``settings`` has published.

    Raises:
        ValueError: when nothing was decided in it.
    """
    if not simulation.runs:
        raise ValueError("no run was decided in this simulation")
    sources = [
        parquet(decisions_folder(simulation.settings, run.run_key) / "*.parquet") for run in simulation.runs
    ]
    with published_database(settings) as connection:
        connection.execute(f"create view simulated as {' union all by name '.join(sources)}")
        for name, rows, columns in _tables(simulation.runs):
            connection.register(name, _arrow(rows, columns))
        connection.execute(f"create table groups as {_groups(simulation.runs)}")
        connection.execute(_SENT)
        yield SimulationReport(connection)


_Table = tuple[str, list[dict[str, Any]], dict[str, str]]


def _tables(runs: Sequence[OpenRun]) -> list[_Table]:
    """The runs, their caps and the periods of these, as the report's SQL reads them."""
    exempt = {"run_key": "string", "campaign": "string", "topic": "string", "consent": "string"}
    caps = [(run, cap) for run in runs for cap in run.caps]
    return [
        ("simulated_runs", [{name: getattr(run, name) for name in exempt} for run in runs], exempt),
        (
            "simulated_caps",
            [
                {
                    "run_key": run.run_key,
                    "cap": cap.cap,
                    "window_seconds": cap.window_seconds,
                    "counted_per": cap.counted_per,
                    "is_recipient_time": cap.is_recipient_time,
                    "channels": list(cap.channels),
                    "topics": None if cap.topics is None else list(cap.topics),
                }
                for run, cap in caps
            ],
            {
                "run_key": "string",
                "cap": "string",
                "window_seconds": "bigint",
                "counted_per": "string",
                "is_recipient_time": "boolean",
                "channels": "strings",
                "topics": "strings",
            },
        ),
        (
            "simulated_periods",
            [
                {
                    "run_key": run.run_key,
                    "cap": cap.cap,
                    "time_zone": zone,
                    "starts_at": _naive(start),
                    "ends_at": _naive(end),
                }
                for run, cap in caps
                for zone, start, end in cap.periods
            ],
            {
                "run_key": "string",
                "cap": "string",
                "time_zone": "string",
                "starts_at": "timestamp",
                "ends_at": "timestamp",
            },
        ),
    ]


def _arrow(rows: list[dict[str, Any]], columns: dict[str, str]) -> Any:
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "strings": pa.list_(pa.string()),
        "bigint": pa.int64(),
        "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us"),
    }
    return pa.Table.from_pylist(
        rows, schema=pa.schema([(name, types[kind]) for name, kind in columns.items()])
    )


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)


def _groups(runs: Sequence[OpenRun]) -> str:
    """Who is counted together with whom, for each column that a cap counts per. ``counted_per`` is a name of
    the policies, which ``kundresa check`` holds against the columns of profiles."""
    columns = sorted({cap.counted_per for run in runs for cap in run.caps if cap.counted_per})
    parts = ["select '' as counted_per, profile_id, profile_id as group_key from profiles"]
    # Who has no value there is counted alone, and is nobody's value.
    parts += [
        f"select '{column}' as counted_per, profile_id, "
        f"coalesce('{column}=' || cast(\"{column}\" as varchar), profile_id) as group_key from profiles"
        for column in columns
    ]
    return " union all ".join(parts)


# All messages that may stand in a simulated one's way: those of the simulation, and of the installation those
# that did not fail.
_SENT = """
    create view sent as
    select
        simulated.message_id, simulated.run_key, simulated.campaign, simulated.profile_id, simulated.channel,
        simulated.send_at, simulated.decided_at, simulated_runs.topic, simulated_runs.consent
    from simulated
    inner join simulated_runs on simulated.run_key = simulated_runs.run_key
    where simulated.verdict = 'send'
    union all
    select
        decisions.message_id, decisions.run_key, decisions.campaign,
        coalesce(profile_redirects.current_profile_id, decisions.profile_id) as profile_id, decisions.channel,
        decisions.send_at, decisions.decided_at, decided_runs.topic, decided_runs.consent
    from decisions
    inner join decided_runs on decisions.run_key = decided_runs.run_key
    left join profile_redirects on decisions.profile_id = profile_redirects.profile_id
    where
        decisions.verdict = 'send'
        and decisions.message_id not in (
            select message_id from deliveries where message_state in ('failed', 'withheld')
        )
"""

_RUNS = """
    select run_key, campaign, count(*) as considered, count(*) filter (where verdict = 'send') as send
    from simulated
    group by all
    order by run_key
"""

_DAYS = """
    select campaign, cast(send_at as date) as day, count(*) as messages
    from simulated
    where verdict = 'send'
    group by all
    order by all
"""

_CUTS = """
    select campaign, coalesce(reason, 'reason_missing') as reason, count(*) as lines
    from simulated
    where verdict <> 'send'
    group by all
    order by campaign, lines desc, reason
"""

_PRESSURE = """
    with

    got as (
        select profile_id, count(*) as messages
        from simulated
        where verdict = 'send'
        group by profile_id
    )

    select coalesce(got.messages, 0) as messages, count(*) as people
    from (select profile_id from profiles union select profile_id from got) as everybody
    left join got on everybody.profile_id = got.profile_id
    group by all
    order by messages
"""

_CONFLICTS = """
    with

    cut as (
        select
            simulated.*,
            simulated_caps.window_seconds,
            simulated_caps.counted_per,
            simulated_caps.is_recipient_time,
            simulated_caps.channels,
            simulated_caps.topics,
            groups.group_key
        from simulated
        inner join simulated_caps
            on simulated.run_key = simulated_caps.run_key and simulated.cap = simulated_caps.cap
        inner join groups
            on simulated_caps.counted_per = groups.counted_per and simulated.profile_id = groups.profile_id
        where simulated.reason in ($capped, $outranked)
    ),

    -- The period that the cut message would have been in; none where the cap has a rolling time.
    timed as (
        select cut.*, simulated_periods.starts_at, simulated_periods.ends_at
        from cut
        left join simulated_periods
            on
                cut.run_key = simulated_periods.run_key
                and cut.cap = simulated_periods.cap
                and (not cut.is_recipient_time or coalesce(cut.time_zone, '') = simulated_periods.time_zone)
                and cut.send_at >= simulated_periods.starts_at
                and cut.send_at < simulated_periods.ends_at
    ),

    counted as (
        select
            timed.message_id,
            timed.campaign,
            timed.cap,
            sent.campaign as cut_by,
            -- The run that took the last place was decided together with this one.
            max(timed.reason = $outranked and sent.run_key = timed.outranked_by) as is_outranked
        from timed
        inner join groups on timed.counted_per = groups.counted_per and timed.group_key = groups.group_key
        inner join sent on groups.profile_id = sent.profile_id
        where
            sent.message_id <> timed.message_id
            and sent.decided_at <= timed.decided_at
            and list_contains(timed.channels, sent.channel)
            and case
                when timed.topics is null then coalesce(sent.consent, 'yes') <> 'exempt'
                else list_contains(timed.topics, sent.topic)
            end
            and case
                when timed.window_seconds is null
                    then sent.send_at >= timed.starts_at and sent.send_at < timed.ends_at
                else abs(epoch_us(sent.send_at) - epoch_us(timed.send_at)) < timed.window_seconds * 1000000
            end
        group by all
    )

    select campaign, cut_by, cap, count(*) as lines, count(*) filter (where is_outranked) as outranked
    from counted
    group by all
    order by lines desc, campaign, cut_by, cap
"""
