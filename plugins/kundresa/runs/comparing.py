"""A plan against what the campaign's previous run decided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kundresa import warehouse
from kundresa.runs.waterfall import Waterfall, waterfalls
from kundresa.settings import Settings
from kundresa.spec.vocabulary import DecisionReason
from kundresa.store import Run, Store

FREE_SHARE = 0.01
"""Of those considered: what changes by no more is not called large, or every reason with three people would
be when it gets a fourth."""
_LOOK_BACK = 50
"""Runs of the campaign among which the latest one that was decided is looked for."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the waterfall, then and now. ``percent`` is of what it was; None where that was nothing."""

    channel: str
    what: str
    before: int
    now: int
    percent: float | None
    is_large: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """``changes`` are all lines of both, channel by channel: considered, each reason, send."""

    run_key: str
    decided_at: datetime
    changes: tuple[Change, ...]


def previous_runs(settings: Settings, store: Store, campaign: str, before: datetime) -> list[Run]:
    """The campaign's runs that were decided before an instant and can be read, the latest decision first."""
    runs = [
        run
        for run in store.runs.list(campaign, limit=_LOOK_BACK)
        if run.decided_at is not None
        and run.decided_at < before
        and warehouse.is_published(settings, run.run_key)
    ]
    return sorted(runs, key=lambda run: (run.decided_at or before, run.run_key), reverse=True)


def compare(
    settings: Settings, previous: Run, now: Sequence[Waterfall], *, max_change_percent: float
) -> Comparison:
    """Every line of the waterfalls beside those of the previous run.

    A change is large when it is by more than ``max_change_percent`` of what the line was, and by more than
    :data:`FREE_SHARE` of those considered on the channel, the more of the two times.
    """
    before = {
        each.channel: each for each in waterfalls(warehouse.decision_counts(settings, previous.run_key))
    }
    after = {each.channel: each for each in now}
    changes: list[Change] = []
    for channel in sorted({*before, *after}):
        old, new = _lines(before.get(channel)), _lines(after.get(channel))
        free = FREE_SHARE * max(old.get("considered", 0), new.get("considered", 0))
        changes += [
            _change(
                channel, what, old.get(what, 0), new.get(what, 0), free=free, max_percent=max_change_percent
            )
            for what in _in_order(old, new)
        ]
    return Comparison(previous.run_key, warehouse.decided_at(settings, previous.run_key), tuple(changes))


def _lines(part: Waterfall | None) -> dict[str, int]:
    if part is None:
        return {}
    return {
        "considered": part.considered,
        **{step.reason: step.cut for step in part.steps},
        "send": part.send,
    }


def _in_order(old: dict[str, int], new: dict[str, int]) -> Iterable[str]:
    names = {*old, *new} - {"considered", "send"}
    known = [str(reason) for reason in DecisionReason]
    yield "considered"
    yield from sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))
    yield "send"


def _change(channel: str, what: str, before: int, now: int, *, free: float, max_percent: float) -> Change:
    moved = abs(now - before)
    return Change(
        channel=channel,
        what=what,
        before=before,
        now=now,
        percent=None if before == 0 else 100 * (now - before) / before,
        is_large=moved > free and moved * 100 > max_percent * before,
    )
