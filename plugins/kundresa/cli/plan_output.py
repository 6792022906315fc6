"""How a plan is shown: as tables for people, as one document for machines."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from kundresa.cli.output import out, table

if TYPE_CHECKING:
    from kundresa.runs.comparing import Comparison
    from kundresa.runs.estimating import Cost, Duration
    from kundresa.runs.overlapping import Overlaps
    from kundresa.runs.planning import Plan, Power
    from kundresa.runs.waterfall import Waterfall

_SHOWN_RUNS = 3


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON knows it; shares and rates from 0 to 1, times in ISO 8601, durations in seconds."""
    return {
        "campaign": plan.campaign,
        "planned_at": plan.planned_at,
        "channels": {part.channel: _channel_document(part) for part in plan.waterfalls},
        "previous": asdict(plan.previous) if plan.previous else None,
        "overlaps": {
            "window_seconds": plan.overlaps.window.total_seconds(),
            "campaigns": [asdict(each) for each in plan.overlaps.campaigns],
            "unreadable": plan.overlaps.unreadable,
        },
        "cost": asdict(plan.cost),
        "duration": [asdict(each) for each in plan.durations],
        "power": asdict(plan.power) if plan.power else None,
        "wave_starts": plan.wave_starts,
        "champion_from_wave": plan.champion_from_wave,
        "send_hours": [asdict(hour) for hour in plan.send_hours],
        "samples": [asdict(sample) for sample in plan.samples],
        "warnings": plan.warnings,
    }


def _channel_document(part: Waterfall) -> dict[str, Any]:
    return {
        "considered": part.considered,
        "steps": [asdict(step) for step in part.steps],
        "not_sent": {step.reason: step.cut for step in part.steps},
        "send": part.send,
        "variants": part.variants,
        "waves": part.waves,
    }


def print_plan(plan: Plan) -> None:
    """The plan as tables."""
    _print_waterfalls(plan)
    if plan.champion_from_wave:
        out.print(f"From wave {plan.champion_from_wave} on the champion is sent, if there is one by then")
    _print_hours(plan)
    _print_estimates(plan.cost, plan.durations)
    if plan.previous:
        _print_comparison(plan.previous)
    else:
        out.print(f"No earlier run of {plan.campaign} to compare with")
    _print_overlaps(plan.overlaps)
    if plan.power:
        _print_power(plan.power)
    for warning in plan.warnings:
        out.print(f"[yellow]Warning:[/yellow] {warning}")
    _print_samples(plan)


def _print_waterfalls(plan: Plan) -> None:
    rows: list[tuple[object, ...]] = []
    for part in plan.waterfalls:
        rows.append(
            (part.channel, "considered", None, part.considered, _percent(1 if part.considered else 0))
        )
        rows += [
            (part.channel, f"  {step.reason}", -step.cut, step.left, _percent(step.share))
            for step in part.steps
        ]
        rows.append((part.channel, "  = send", None, part.send, _percent(part.send / (part.considered or 1))))
        splits = {f"variant {name}": count for name, count in part.variants.items()}
        splits |= {_wave(number, plan.wave_starts.get(number)): count for number, count in part.waves.items()}
        rows += [
            (part.channel, f"      {name}", None, count, _percent(count / part.send))
            for name, count in splits.items()
        ]
    table(
        f"Plan of {plan.campaign} as of {plan.planned_at:%Y-%m-%d %H:%M}Z",
        ("channel", "", "cut", "left", "share"),
        rows,
        right=("cut", "left", "share"),
    )


def _wave(number: int, starts_at: datetime | None) -> str:
    return f"wave {number}" + (f" from {_moment(starts_at)}" if starts_at else "")


def _print_hours(plan: Plan) -> None:
    if len({hour.starts_at for hour in plan.send_hours}) <= 1:
        return
    table(
        "When they may leave",
        ("channel", "hour (UTC)", "messages"),
        [(hour.channel, f"{hour.starts_at:%Y-%m-%d %H}:00", hour.messages) for hour in plan.send_hours],
        right=("messages",),
    )


def _print_estimates(cost: Cost, durations: tuple[Duration, ...]) -> None:
    rows: list[tuple[object, ...]] = []
    for each in durations:
        price = (
            f"{cost.channels[each.channel]:,.2f} {cost.currency}"
            if each.channel in cost.channels
            else "unknown"
        )
        rows.append(
            (
                each.channel,
                each.messages,
                price,
                "unknown" if each.seconds is None else _time(each.seconds),
                "unknown" if each.ends_at is None else _moment(each.ends_at),
                each.basis.removeprefix("unknown: "),
            )
        )
    if not rows:
        return
    if len(rows) > 1 and cost.total is not None:
        of = "" if not cost.unknown else f" without {', '.join(cost.unknown)}"
        rows.append((f"all{of}", None, f"{cost.total:,.2f} {cost.currency}", None, None, None))
    table(
        "Cost and duration",
        ("channel", "messages", "cost", "at work", "done by", "rate by"),
        rows,
        right=("messages", "cost"),
    )


def _print_comparison(previous: Comparison) -> None:
    rows = [
        (
            change.channel,
            change.what,
            change.before,
            change.now,
            f"{change.now - change.before:+,}",
            "new" if change.percent is None and change.now else _change_percent(change.percent),
            "LARGE" if change.is_large else None,
        )
        for change in previous.changes
    ]
    table(
        f"Against {previous.run_key}, decided {_moment(previous.decided_at)}",
        ("channel", "", "then", "now", "change", "percent", "mark"),
        rows,
        right=("then", "now", "change", "percent"),
    )


def _print_overlaps(overlaps: Overlaps) -> None:
    days = overlaps.window / timedelta(days=1)
    if overlaps.campaigns:
        table(
            f"The same people in other campaigns within {days:g} days of it",
            ("campaign", "priority", "people", "runs at (UTC)"),
            [
                (
                    each.campaign,
                    each.priority,
                    each.people,
                    _runs(each.runs_at, assumed=each.is_assumed_daily),
                )
                for each in overlaps.campaigns
            ],
            right=("priority", "people"),
        )
    else:
        out.print(f"No other campaign is scheduled for any of these people within {days:g} days of it")
    if overlaps.unreadable:
        out.print(f"Not looked at, since their specs are not valid: {', '.join(overlaps.unreadable)}")


def _runs(moments: tuple[datetime, ...], *, assumed: bool) -> str:
    shown = ", ".join(f"{moment:%m-%d %H:%M}" for moment in moments[:_SHOWN_RUNS])
    more = f" and {len(moments) - _SHOWN_RUNS} more" if len(moments) > _SHOWN_RUNS else ""
    return f"{shown}{more}" + (", if segments are published once a day" if assumed else "")


def _print_power(power: Power) -> None:
    from kundresa.runs.power import POWER, SIGNIFICANCE

    base = power.base_rate
    rows = [
        (
            each.what,
            f"{each.control} {each.control_people:,} / {each.treated} {each.treated_people:,}",
            "none" if each.detectable is None else f"{each.detectable * 100:.2f} points",
            each.needed,
        )
        for each in power.comparisons
    ]
    table(
        f"Smallest effect that is seen (power {POWER:.0%}, two-sided {SIGNIFICANCE:.0%}), over a base rate "
        f"of {base.rate * 100:.2f} %: {base.basis}",
        ("comparison", "people", "effect", "people needed"),
        rows,
        right=("effect", "people needed"),
    )


def _print_samples(plan: Plan) -> None:
    for sample in plan.samples:
        out.rule(
            f"{sample.channel} to {sample.address}"
            + (f", variant {sample.variant}" if sample.variant else "")
        )
        if sample.subject:
            out.print(f"Subject: {sample.subject}", markup=False, highlight=False)
        out.print(sample.text, markup=False, highlight=False)


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _change_percent(percent: float | None) -> str:
    return "" if percent is None else f"{percent:+.1f} %"


def _moment(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}Z"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
    )
