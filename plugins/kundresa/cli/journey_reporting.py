"""How ``kundresa journey show`` tells where a journey stands."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from kundresa.cli.output import out, table

if TYPE_CHECKING:
    from kundresa.runs.journey_reports import JourneyReport
    from kundresa.store import JourneyTest


def print_report(report: JourneyReport) -> None:
    """The steps with who is at them, and what adds up to what."""
    from kundresa.runs.journey_reports import steps_as_rows
    from kundresa.spec.vocabulary import JourneySkip

    columns = ("version", "step", "kind", "people", "reached", "messages")
    title = f"{report.journey}: {report.state}, version {report.version}"
    table(title, columns, steps_as_rows(report), right=("version", "people", "reached"))
    if report.next_turn_at:
        by = f"; events that wait: {report.readings:,}" if report.readings else ""
        out.print(f"more of its audience enter from {_moment(report.next_turn_at)} on{by}")
    out.print(
        f"{report.entered:,} entered = {report.inside:,} inside + {report.left:,} left"
        + ("" if report.adds_up else "; this, or a step, does NOT add up")
    )
    skips = dict(report.skips)
    aside = skips.pop(JourneySkip.SET_ASIDE, 0)
    for what, counts in (("ended", report.ended), ("let nobody in", skips)):
        if counts:
            told_counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))
            out.print(f"{what}: {told_counts}")
    if report.test:
        _print_test(report, report.test)
    if aside:
        out.print(f"set aside: {aside:,}; the log names whom an error kept from moving")


def _print_test(report: JourneyReport, test: JourneyTest) -> None:
    if test.test != report.journey:
        out.print(f"{test.test} is under way: kundresa journey test show {report.journey}")
    if test.failed_at:
        again = f"; left alone until {_moment(test.again_at)}, or the next test send" if test.again_at else ""
        told = f"{test.test} went wrong at {_moment(test.failed_at)}: {test.failure}{again}"
        out.print(told, markup=False)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"
