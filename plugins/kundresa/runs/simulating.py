"""All scheduled campaigns played forward on today's memberships: what they send, cut, and do to people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from kundresa import warehouse
from kundresa.runs.checking import load_checked
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.limits import CostNotFound, require_costs
from kundresa.runs.looking_ahead import runs_ahead
from kundresa.runs.planning import recorded_until
from kundresa.runs.readiness import SegmentNotPublished, require_known
from kundresa.runs.reservations import ledger_news
from kundresa.runs.run_rows import open_run_row
from kundresa.runs.warming import sending_runs
from kundresa.settings import Settings
from kundresa.spec.campaign import AssetSchedule, Campaign
from kundresa.spec.frozen import freeze
from kundresa.spec.keys import run_key
from kundresa.spec.loading import campaign_names
from kundresa.spec.policies import Policies, allow_list, exempt_topics, load_policies
from kundresa.spec.problems import SpecError
from kundresa.spec.schedule import runs_between
from kundresa.spec.vocabulary import Trigger
from kundresa.store import NewRun, open_store

ASSUMPTIONS = (
    "profiles, segments, consents, addresses and suppressions stay as they are published now",
    "every scheduled campaign is unpaused, starts on time, and passes its quality gate and its approval",
    "every message is accepted at its send time",
    "campaigns that run when segments are published run once a day",
    "manual campaigns, and runs that are open and not decided yet, are left out",
    "what earlier runs have sent counts as it does in a decision; policies are today's",
)
"""What is taken for granted, whatever the campaigns are."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A campaign that is not part of it, and why."""

    campaign: str
    why: str


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """``outside``: what it sends is outside ``quality.rows``, so that the gate would stop it."""

    run_key: str
    campaign: str
    logical_at: datetime
    considered: int
    send: int
    outside: bool


@dataclass(frozen=True, slots=True)
class Simulation:
    """``passes`` is how many times the decision models ran. ``people`` is how many there are, ``most`` the
    highest number of messages that one of them gets."""

    starts_at: datetime
    ends_at: datetime
    passes: int
    runs: tuple[SimulatedRun, ...]
    days: tuple[warehouse.DayCount, ...]
    cuts: tuple[warehouse.CutCount, ...]
    pressure: tuple[warehouse.PressureCount, ...]
    people: int
    most: int
    conflicts: tuple[warehouse.Conflict, ...]
    left_out: tuple[LeftOut, ...]
    assumptions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Due:
    """One run of the future."""

    run: NewRun
    spec: Campaign
    row: warehouse.OpenRun


def simulate(
    settings: Settings,
    *,
    now: datetime,
    days: int,
    progress: Callable[[str], None] | None = None,
) -> Simulation:
    """Play all scheduled campaigns forward from ``now`` for some days, run by run in the order of their
    logical dates, by the same models that decide. Nothing real is written or locked.

    Raises:
        SpecError: when the policies are not valid.
        NothingPublished: before the first build.
        DbtFailed: when a decision model fails.
    """
    ends_at = now + timedelta(days=days)
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    due, left_out = _due(settings, policies, now, ends_at)
    if not due:
        people = warehouse.query(settings, "select count(*) as people from profiles")[0]["people"]
        nobody = (warehouse.PressureCount(0, people),)
        return Simulation(now, ends_at, 0, (), (), (), nobody, people, 0, (), tuple(left_out), ASSUMPTIONS)
    together = passes(due)
    with (
        warehouse.scratch_home(settings) as scratch,
        open_store(settings.store_url) as store,
    ):
        export_journeys(settings, store, now)
        news = ledger_news(store, now)
        with warehouse.simulate_decisions(
            settings,
            exempt_topics=exempt_topics(policies),
            allow_list=allow_list(policies),
            opt_outs=recorded_until(now, store.opt_outs.rows()),
            opt_ins=recorded_until(now, store.answers.opt_in_rows()),
            suppressions=recorded_until(now, store.suppressions.rows()),
            stopped_runs=news.stopped_runs,
            ledger_news=news.messages,
            sending_runs=sending_runs(store, policies, now, [(each.run, each.spec) for each in due]),
            scratch=scratch,
        ) as simulation:
            for number, part in enumerate(together, start=1):
                if progress:
                    names = ", ".join(sorted({each.run.campaign for each in part}))
                    progress(f"{number}/{len(together)} {part[0].run.logical_at:%Y-%m-%d %H:%M}Z {names}")
                rows = [each.row for each in part]
                at = part[0].run.logical_at
                simulation.decide([*rows, *runs_ahead(settings, policies, rows, at)])
            with warehouse.simulation_report(settings, simulation) as report:
                sizes = {size.run_key: size for size in report.runs()}
                pressure = tuple(report.pressure())
                return Simulation(
                    starts_at=now,
                    ends_at=ends_at,
                    passes=len(together),
                    runs=tuple(_simulated(each, sizes.get(each.run.run_key)) for each in due),
                    days=tuple(report.days()),
                    cuts=tuple(report.cuts()),
                    pressure=pressure,
                    people=sum(each.people for each in pressure),
                    most=max((each.messages for each in pressure), default=0),
                    conflicts=tuple(report.conflicts()),
                    left_out=tuple(left_out),
                    assumptions=ASSUMPTIONS,
                )


def _due(
    settings: Settings, policies: Policies, now: datetime, ends_at: datetime
) -> tuple[list[_Due], list[LeftOut]]:
    """Every run in the time, by logical date, then by key; and the campaigns that have none."""
    due: list[_Due] = []
    left_out: list[LeftOut] = []
    for name in campaign_names(settings.campaigns):
        try:
            spec, templates = load_checked(settings, name)
            require_known(settings, name, spec.audience)
            require_costs(spec, policies)
        except SpecError:
            left_out.append(LeftOut(name, "its spec is not valid (kundresa check)"))
            continue
        except (SegmentNotPublished, CostNotFound) as error:
            left_out.append(LeftOut(name, str(error)))
            continue
        if spec.schedule == "manual":
            left_out.append(LeftOut(name, "it is run by hand"))
            continue
        trigger = Trigger.ASSET if isinstance(spec.schedule, AssetSchedule) else Trigger.SCHEDULED
        frozen = freeze(spec, templates)
        moments = list(runs_between(spec, now, ends_at))
        if not moments:
            left_out.append(LeftOut(name, "it has no run in this time"))
        for moment in moments:
            run = NewRun(
                run_key=run_key(name, moment),
                campaign=name,
                logical_at=moment,
                trigger=trigger,
                spec_json=frozen.json,
                spec_hash=frozen.hash,
                opened_at=moment,
                valid_until=moment + spec.delivery.valid_for,
            )
            due.append(_Due(run, spec, open_run_row(run, spec, policies, moment)))
    due.sort(key=lambda each: (each.run.logical_at, each.run.run_key))
    return due, left_out


def passes(due: Iterable[_Due]) -> list[list[_Due]]:
    """Runs of the same instant are decided together, as they are in earnest; others one instant after the
    other, so that the later sees what the earlier sends.

    Instants in a row whose runs ask for no earlier message (no cap holds for them, and no ``again``) know
    nothing of each other: they go into one pass.
    """
    found: list[list[_Due]] = []
    for _, at_once in groupby(due, key=lambda each: each.run.logical_at):
        part = list(at_once)
        last = found[-1] if found else []
        if last and all(each.row.history_from is None for each in (*last, *part)):
            last += part
        else:
            found.append(part)
    return found


def _simulated(due: _Due, size: warehouse.RunSize | None) -> SimulatedRun:
    considered, send = (size.considered, size.send) if size else (0, 0)
    bounds = due.spec.quality.rows
    return SimulatedRun(
        run_key=due.run.run_key,
        campaign=due.run.campaign,
        logical_at=due.run.logical_at.astimezone(UTC),
        considered=considered,
        send=send,
        outside=not bounds.min <= send <= bounds.max,
    )
