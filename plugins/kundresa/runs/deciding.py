"""Deciding: all open runs together, in one pass of the warehouse, once."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime

from filelock import FileLock

from kundresa import warehouse
from kundresa.runs.capping import require_rule_sets
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.limits import require_costs
from kundresa.runs.looking_ahead import runs_ahead
from kundresa.runs.opening import Clock, utc_now
from kundresa.runs.readiness import AudienceNotReady, SegmentNotPublished, require_ready
from kundresa.runs.reservations import export_ledger_news
from kundresa.runs.run_rows import open_run_row
from kundresa.runs.warming import sending_runs
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import thaw
from kundresa.spec.policies import Policies, allow_list, exempt_topics, load_policies
from kundresa.spec.vocabulary import CloseReason, RunState
from kundresa.store import Run, Store, open_store

log = logging.getLogger(__name__)

Progress = Callable[[str], None]


def decide_run(
    settings: Settings, run_key: str, *, clock: Clock = utc_now, progress: Progress | None = None
) -> dict[str, int]:
    """Decide this run and every other that is open; return this one's count per ``channel verdict``.

    A run decided before is not decided again: its counts are read from its publication.

    Raises:
        RunNotFound: for a key that was never opened.
        SegmentNotPublished: when it names a segment that the current publication does not know.
        AudienceWaits: when one of its segments is too old or held; it says when to look again.
        AudienceNotReady: the same when the run does not wait, or its validity is over; it is closed then.
        RuleSetNotFound: when it names a set of caps that the policies do not have.
        CostNotFound: when it has a budget, and the policies do not say what a channel costs.
        SpecError: when the policies are not valid; nothing is decided then.
        DbtFailed: when a model or one of its tests failed; nothing is marked as decided then.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with open_store(settings.store_url) as store, FileLock(settings.home / "decide.lock"):
        run = store.runs.require(run_key)
        if run.state is RunState.OPEN:
            _decide_open(settings, store, clock(), progress, asked=run_key)
            run = store.runs.require(run_key)
    if run.decided_at is None:
        return {}
    counts: dict[str, int] = {}
    for count in warehouse.decision_counts(settings, run_key):
        what = f"{count.channel} {count.verdict}"
        counts[what] = counts.get(what, 0) + count.lines
    return counts


def _decide_open(
    settings: Settings, store: Store, now: datetime, progress: Progress | None, *, asked: str
) -> None:
    # What a pass that was interrupted has recorded holds allowance as soon as it is published, not before.
    for each in warehouse.publish_recorded(settings, progress=progress):
        store.runs.mark_decided([each.run_key], at=each.decided_at)
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    runs = []
    for run in store.runs.undecided():
        if now > run.valid_until and not warehouse.is_published(settings, run.run_key):
            _expire(settings, store, run, now, asked)
        else:
            runs.append(run)
    decidable = [
        (run, spec) for run in runs if (spec := _decidable(settings, policies, run, now, asked)) is not None
    ]
    for together in _passes(decidable):
        export_operations(settings, store, policies, together, now)
        decided = warehouse.decide(settings, [run.run_key for run, _ in together], progress=progress)
        for each in decided.runs:
            store.runs.mark_decided([each.run_key], at=each.decided_at)


def _passes(decidable: Iterable[tuple[Run, Campaign]]) -> list[list[tuple[Run, Campaign]]]:
    """All runs together, but of a campaign that asks who got it already one at a time, by logical date.

    Of two such runs that are open at once, in a backfill, the later one may send only what the earlier one
    does not, and that is known when the earlier one has passed every rule, caps and size included.
    """
    passes: defaultdict[int, list[tuple[Run, Campaign]]] = defaultdict(list)
    earlier: Counter[str] = Counter()
    for run, spec in sorted(decidable, key=lambda each: (each[0].logical_at, each[0].run_key)):
        passes[0 if spec.audience.again == "always" else earlier[run.campaign]].append((run, spec))
        earlier[run.campaign] += 1
    return [passes[number] for number in sorted(passes)]


def _expire(settings: Settings, store: Store, run: Run, now: datetime, asked: str) -> None:
    """Close a run whose validity is over, with what it waited for.

    Raises:
        SegmentNotPublished, AudienceNotReady: what the run that was asked for has waited for in vain.
    """
    waited_for: Exception | None = None
    try:
        audience = thaw(run.spec_json)[0].audience
        require_ready(settings, run.run_key, audience, now=now, valid_until=run.valid_until)
    except (SegmentNotPublished, AudienceNotReady, warehouse.NothingPublished, ValueError) as error:
        waited_for = error
    detail = "its validity ended before it was decided" + (f": {waited_for}" if waited_for else "")
    store.runs.close(run.run_key, CloseReason.EXPIRED, detail=detail, at=now)
    if isinstance(waited_for, SegmentNotPublished | AudienceNotReady) and run.run_key == asked:
        raise waited_for


def _decidable(
    settings: Settings, policies: Policies, run: Run, now: datetime, asked: str
) -> Campaign | None:
    """The run's spec, when it can be decided; None when not, so that one bad run does not stop the others.

    Raises:
        SegmentNotPublished, AudienceWaits, AudienceNotReady, RuleSetNotFound, CostNotFound, ValueError:
            what is wrong, when it is the run that was asked for.
    """
    try:
        spec, _ = thaw(run.spec_json)
        # Decided already, but killed before it was noted: what its segments are now is not asked.
        if not warehouse.is_published(settings, run.run_key):
            require_rule_sets(spec, policies)
            require_costs(spec, policies)
            require_ready(settings, run.run_key, spec.audience, now=now, valid_until=run.valid_until)
    except (SegmentNotPublished, AudienceNotReady, ValueError) as error:
        if run.run_key == asked:
            raise
        log.warning("%s is left undecided: %s", run.run_key, error)
        return None
    return spec


def export_operations(
    settings: Settings,
    store: Store,
    policies: Policies,
    runs: Iterable[tuple[Run, Campaign]],
    decided_at: datetime,
) -> None:
    """Write what the decision models read from the operational store: the open runs, with those that they
    look ahead to, and, as of now, the opt-outs, the suppressions, what messages of earlier runs no longer
    count, and what journeys have sent or reserved.

    ``decided_at`` is taken before they are read, so that an opt-out in between is caught at delivery.
    """
    warehouse.export_policies(
        settings,
        exempt_topics=exempt_topics(policies),
        allow_list=allow_list(policies),
    )
    rows = [open_run_row(run, spec, policies, decided_at) for run, spec in runs]
    ahead = runs_ahead(settings, policies, rows, decided_at)
    warehouse.export_open_runs(settings, [*rows, *ahead])
    warehouse.export_opt_outs(settings, store.opt_outs.rows())
    warehouse.export_opt_ins(settings, store.answers.opt_in_rows())
    warehouse.export_suppressions(settings, store.suppressions.rows())
    warehouse.export_sending_runs(settings, sending_runs(store, policies, decided_at))
    export_journeys(settings, store, decided_at)
    export_ledger_news(settings, store, decided_at)
