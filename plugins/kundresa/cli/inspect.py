"""Commands that answer questions about runs and people."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime, time
from typing import Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.explain_output import print_explanation
from kundresa.cli.output import Exit, account_rows, err, out, print_json, table
from kundresa.spec.keys import run_key as run_key_of
from kundresa.spec.vocabulary import MessageState, RunState

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def status(
    campaign: Annotated[str | None, typer.Option(help="Only this campaign.")] = None,
    state: Annotated[RunState | None, typer.Option(help="Only runs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    json: Json = False,
) -> None:
    """List runs, newest first, with what has become of their messages so far, and whether they are late; and
    receiving domains that are left alone for now.

    Example: [bold]kundresa status --campaign winback[/bold]
    """
    from kundresa.store import open_store

    with open_store(configuration.load().store_url) as store:
        runs = [
            (run, store.ledger.counts(run.run_key))
            for run in store.runs.list(campaign=campaign, state=state, limit=limit)
        ]
        warnings = store.late_warnings.of([run.run_key for run, _ in runs])
        resting = store.rests.all(now=datetime.now(tz=UTC))
    documents = [
        {
            "run_key": run.run_key,
            "campaign": run.campaign,
            "logical_at": run.logical_at,
            "trigger": run.trigger,
            "state": run.state,
            "close_reason": run.close_reason,
            "close_detail": run.close_detail,
            "stopped_at": run.stopped_at,
            "stop_detail": run.stop_detail,
            "messages": [asdict(count) for count in counts],
            "late": [asdict(each) for each in warnings if each.run_key == run.run_key],
        }
        for run, counts in runs
    ]
    if json:
        print_json(documents)
        return
    rows = [
        (
            run.run_key,
            f"{run.state}, stopped" if run.stopped_at and not run.close_reason else run.state,
            run.close_reason,
            ", ".join(f"{count.messages:,} {count.channel} {count.state}" for count in counts),
        )
        for run, counts in runs
    ]
    table("Runs", ("run", "state", "closed as", "messages"), rows)
    for warning in warnings:
        out.print(warning.detail, markup=False)
    for each in resting:
        until = f"{each.rest.until:%H:%M:%S}Z"
        told = f"{each.account}: {each.domain} is left alone until {until}: {each.rest.detail}"
        out.print(told, markup=False)


def account(
    run_key: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="As `kundresa status` shows it, or a day of a journey: journey.NAME--DATE."
        ),
    ],
    json: Json = False,
) -> None:
    """Show a run's account: considered = sent + each reason, per channel. Exit code 1 if it does not add up.

    A day of a journey, journey.abandoned_cart--20261123T000000Z or --2026-11-23, counts what is on its way as
    `pending`; so does one of its standing runs.

    Example: [bold]kundresa account winback--20261123T090000Z --json[/bold]
    """
    from kundresa.runs.accounting import read_account

    settings = configuration.load()
    run_key = _whole_key(run_key)
    report = read_account(settings, run_key)
    if report is None:
        stopped = _stopped_line(settings, run_key)
        err.print(
            stopped or f"{run_key} has not been reconciled yet; `kundresa status` shows where it stands",
            markup=False,
            highlight=False,
        )
        raise typer.Exit(Exit.BUSY)
    adds_up = all(part["adds_up"] for part in report["channels"].values())
    if json:
        print_json(report)
    else:
        because = f" ({report['close_reason']})" if report["close_reason"] else ""
        closed = report["state"] + because
        table(
            f"Account of {run_key}, {closed}",
            ("channel", "", "people"),
            account_rows(report),
            right=("people",),
        )
        if report.get("stopped_at"):
            out.print(
                f"Stopped at {report['stopped_at']} and never resumed: {report['stop_detail']}", markup=False
            )
        for channel, lines in report.get("delivered_since", {}).items():
            out.print(
                f"{channel}: of those with outcome_unknown, {lines:,} were reported delivered since",
                markup=False,
            )
        people = report["people"]
        out.print(
            f"{people['considered']:,} people considered, {people['reached']:,} reached on some channel"
        )
    if not adds_up:
        raise typer.Exit(Exit.PROBLEMS)


def _whole_key(text: str) -> str:
    """A day of a journey by its key, or by its date alone."""
    name, _, day = text.rpartition("--")
    try:
        at = datetime.combine(date.fromisoformat(day), time(), UTC)
    except ValueError:
        return text
    return run_key_of(name, at)


def _stopped_line(settings: configuration.Settings, run_key: str) -> str | None:
    """Where a stopped run stands, in one line; None when it is not stopped, or closed."""
    from kundresa.store import open_store

    with open_store(settings.store_url) as store:
        run = store.runs.require(run_key)
        if run.stopped_at is None or run.state is RunState.CLOSED:
            return None
        counts = store.ledger.counts(run_key)
        waiting = store.ledger.pending(run_key).total
    sent = sum(count.messages for count in counts if count.state is MessageState.ACCEPTED)
    return (
        f"{run_key} is stopped since {run.stopped_at:%Y-%m-%d %H:%M:%S}Z: {run.stop_detail}. {sent:,} sent, "
        f"{waiting:,} wait until {run.valid_until:%Y-%m-%d %H:%M}Z; `kundresa resume {run_key}` lets it go on"
    )


def explain(
    person: Annotated[
        str,
        typer.Argument(
            help="Profile id, or an identifier or address of any kind; crm_id:… is that one alone."
        ),
    ],
    campaign: Annotated[str | None, typer.Argument(help="Only this campaign, or journey.")] = None,
    json: Json = False,
) -> None:
    """Say why this person did or did not get a campaign, or a message of a journey, rule by rule.

    Example: [bold]kundresa explain anna@example.com spring_sale[/bold]
    """
    from kundresa.runs.explaining import explain as explain_person
    from kundresa.runs.explaining import why_not_considered

    settings = configuration.load()
    explained = explain_person(settings, person, campaign)
    if json:
        print_json([asdict(each) for each in explained])
        return
    if not explained:
        out.print(f"No run has considered {person}" + (f" for {campaign}" if campaign else ""), markup=False)
        if campaign:
            out.print(f"{person} is {why_not_considered(settings, person, campaign)}", markup=False)
    for each in explained:
        print_explanation(each)
