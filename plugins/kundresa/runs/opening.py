"""Opening a run: freezing what its owner wrote, once per logical date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from kundresa import warehouse
from kundresa.runs.checking import load_checked
from kundresa.settings import Settings
from kundresa.spec.frozen import freeze
from kundresa.spec.keys import run_key
from kundresa.spec.vocabulary import CloseReason, RunState, Trigger
from kundresa.store import NewRun, Run, open_store

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The one clock of production; everything below takes it as ``clock``."""
    return datetime.now(tz=UTC)


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """What opening found or made. ``message`` is one line for a log."""

    run_key: str
    state: RunState
    close_reason: CloseReason | None
    message: str


def open_run(
    settings: Settings, campaign: str, logical_at: datetime, trigger: Trigger, *, clock: Clock = utc_now
) -> OpenedRun:
    """Open the run of one campaign for one logical date; opening it again changes nothing.

    The spec and its templates are frozen into the run: later edits are the next run's. A run that is
    still undecided after its validity is closed as expired.

    Raises:
        CampaignNotFound: when there is no such folder.
        SpecError: when the campaign, a template, or a segment or column it names is not valid; nothing
            is opened then.
        DbtFailed: when the dbt project does not parse.
        ValueError: when ``logical_at`` has no time zone.
    """
    key = run_key(campaign, logical_at)
    now = clock()
    with open_store(settings.store_url) as store:
        run = store.runs.get(key)
        known = run is not None
        if run is None:
            run = store.runs.open(
                new_run(settings, campaign, key=key, logical_at=logical_at, trigger=trigger, now=now)
            )
        # Decided in time, but killed before it was noted: decide notes it, delivery says the rest.
        decided = warehouse.is_published(settings, key)
        if run.state is RunState.OPEN and now > run.valid_until and not decided:
            late = f"started {now:%Y-%m-%d %H:%M}Z, valid until {run.valid_until:%Y-%m-%d %H:%M}Z"
            run = store.runs.close(key, CloseReason.EXPIRED, detail=late, at=now)
    return OpenedRun(key, run.state, run.close_reason, _message(run, known=known))


def new_run(
    settings: Settings, campaign: str, *, key: str, logical_at: datetime, trigger: Trigger, now: datetime
) -> NewRun:
    """The run as it would be opened now, its spec frozen.

    Raises:
        CampaignNotFound, SpecError, DbtFailed: as :func:`open_run`.
    """
    spec, templates = load_checked(settings, campaign)
    frozen = freeze(spec, templates)
    return NewRun(
        run_key=key,
        campaign=campaign,
        logical_at=logical_at.astimezone(UTC),
        trigger=trigger,
        spec_json=frozen.json,
        spec_hash=frozen.hash,
        opened_at=now,
        valid_until=logical_at.astimezone(UTC) + spec.delivery.valid_for,
    )


def _message(run: Run, *, known: bool) -> str:
    if run.state is RunState.CLOSED:
        detail = f": {run.close_detail}" if run.close_detail else ""
        return f"{run.run_key} is closed ({run.close_reason}){detail}; nothing will be sent"
    return f"{run.run_key} {'was open already, state ' + run.state if known else 'opened'}"
