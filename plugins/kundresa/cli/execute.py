"""Commands that do what the DAGs do, without Airflow."""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.progress import Progress

from kundresa import settings as configuration
from kundresa.cli.output import Exit, account_rows, err, out, print_json, progress, table

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def parse_instant(text: str | None) -> datetime | None:
    """An ISO 8601 date or time; without a zone it is UTC.

    Raises:
        typer.BadParameter: for anything else.
    """
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no ISO 8601 date or time, for example 2026-11-23T09:00"
        ) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def build(
    as_of: Annotated[str | None, typer.Option(help="Build as of this UTC instant (default: now).")] = None,
    accept_segment: Annotated[
        list[str] | None,
        typer.Option(help="Take this segment into use although it is out of its bounds (repeatable)."),
    ] = None,
    json: Json = False,
) -> None:
    """Check the sources, build the warehouse, check the marts, publish them: what the warehouse DAG does.

    Segments that it leaves at their last good state are named at the end; `kundresa segments` says why.

    Examples: [bold]kundresa build[/bold] · [bold]kundresa build --accept-segment lapsed_customers[/bold]
    """
    from kundresa.runs import stages
    from kundresa.warehouse import segment_lines

    settings = configuration.load()
    with progress(quiet=json) as bars:
        task = bars.add_task("warehouse", total=4)

        def step(name: str) -> None:
            bars.update(task, description=name)

        step("checking sources")
        stages.check_sources(settings)
        bars.advance(task)
        build_id = stages.build_warehouse(
            settings, as_of=parse_instant(as_of), accepted_segments=accept_segment or (), progress=step
        )
        bars.advance(task)
        step("checking marts")
        stages.check_marts(settings, build_id)
        bars.advance(task)
        stages.promote(settings, build_id)
        bars.update(task, completed=4, description="published")
    held = [line for line in segment_lines(settings) if line.held_reason]
    if json:
        print_json({"build_id": build_id, "held_segments": [line.segment for line in held]})
    else:
        out.print(f"Published build {build_id} in {settings.published / 'builds' / build_id}")
        for line in held:
            out.print(
                f"Held at its last good state: {line.segment} ({line.held_reason}); see kundresa segments"
            )


def run(
    campaign: Annotated[str, typer.Argument(help="Folder name under dags/campaigns.")],
    logical_date: Annotated[
        str | None,
        typer.Option(help="The date the run is for, ISO 8601 (default: now). The same date is the same run."),
    ] = None,
    json: Json = False,
) -> None:
    """Run a campaign here and now, stage by stage, through the sender accounts in the environment.

    Running it again with the same date sends nothing twice. Where messages wait for their send time, or for a
    receiving server, it says from when on to run it again; the exit code is 5. When the quality gate refuses,
    nothing is sent, the account says so, and the exit code is 1.

    Example: [bold]kundresa run winback --logical-date 2026-11-23T09:00[/bold]
    """
    from kundresa.quality import GateFailed
    from kundresa.runs import stages
    from kundresa.spec.vocabulary import Trigger

    settings = configuration.load()
    logical_at = parse_instant(logical_date) or _new_date(settings, campaign)
    again = f"kundresa run {campaign} --logical-date {logical_at.isoformat()}"
    err.print(f"The same run again: {again}", markup=False, highlight=False)
    owner = f"command line {os.getpid()} {uuid.uuid4().hex[:8]}"
    refusal: GateFailed | None = None
    with progress(quiet=json) as bars:
        task = bars.add_task("open", total=None)
        opened = stages.open_run(settings, campaign, logical_at, Trigger.COMMAND_LINE)
        bars.update(task, description="decide")
        stages.decide_run(
            settings, opened.run_key, progress=lambda line: bars.update(task, description=f"decide: {line}")
        )
        bars.update(task, description="check")
        try:
            stages.check_run(settings, opened.run_key)
        except GateFailed as error:
            refusal = error
        bars.remove_task(task)
        later, stopped = _deliver(settings, opened.run_key, owner, bars)
        task = bars.add_task("record", total=None)
        stages.record_run(settings, opened.run_key)
        if later is None:
            bars.update(task, description="reconcile")
            stages.reconcile_run(settings, opened.run_key)
        bars.remove_task(task)
    if stopped:
        err.print(f"{opened.run_key} is stopped; first kundresa resume {opened.run_key}, then {again}")
        raise typer.Exit(Exit.BUSY)
    if later is not None:
        err.print(f"{opened.run_key}: some messages wait. From {later:%Y-%m-%d %H:%M:%S}Z on: {again}")
        raise typer.Exit(Exit.BUSY)
    report = stages.report_run(settings, opened.run_key)
    if json:
        print_json(report)
    else:
        out.print(opened.message)
        table(
            f"Account of {opened.run_key}", ("channel", "", "people"), account_rows(report), right=("people",)
        )
    if refusal is not None:
        raise refusal


def _deliver(
    settings: configuration.Settings, run_key: str, owner: str, bars: Progress
) -> tuple[datetime | None, bool]:
    """All batches, one after the other. Returns when to go on with those that wait, and whether the run is
    stopped."""
    from kundresa.channels import resolve_account
    from kundresa.delivery import Halt
    from kundresa.runs import stages

    later: datetime | None = None
    stopped = False
    for part in stages.run_channels(settings, run_key):
        sizes = stages.plan_batches(settings, run_key, part.kind)
        if warning := stages.warn_expected(settings, run_key, part.kind):
            err.print(warning[0], markup=False, highlight=False, soft_wrap=True)
        account = resolve_account(part.account, os.environ)
        task = bars.add_task(f"deliver {part.kind}", total=sum(sizes.values()))
        done = 0
        for number, size in sizes.items():
            while True:
                bars.update(task, completed=done)
                result = stages.deliver(
                    settings,
                    run_key,
                    part.kind,
                    number,
                    owner=owner,
                    account=account,
                    progress=lambda count, task=task: bars.advance(task, count),  # type: ignore[misc]
                )
                if result.halted is not Halt.PACED or result.retry_at is None:
                    break
                # Nobody else will come again: here there is no slot to give back.
                time.sleep(max(0.0, (result.retry_at - datetime.now(tz=UTC)).total_seconds()))
            done += size
            if result.retry_at is not None:
                later = min(later or result.retry_at, result.retry_at)
            stopped = stopped or result.halted is Halt.RUN_STOPPED
    return later, stopped


def _new_date(settings: configuration.Settings, campaign: str) -> datetime:
    """Now, for a run without a date; unless one of the campaign is unfinished, which a new one would repeat.

    Raises:
        RunNotFinished: naming the command that goes on with it.
    """
    from kundresa.runs.accounting import RunNotFinished
    from kundresa.store import open_store

    now = datetime.now(tz=UTC)
    with open_store(settings.store_url) as store:
        for run in store.runs.unfinished():
            if run.campaign == campaign and now <= run.valid_until:
                raise RunNotFinished(
                    f"{run.run_key} is not finished; a new run would send to everybody again. Go on with: "
                    f"kundresa run {campaign} --logical-date {run.logical_at.isoformat()}, or give a date"
                )
    return now.replace(microsecond=0)


def cancel(
    run_key: Annotated[str, typer.Argument(help="As `kundresa status` shows it.")],
    reason: Annotated[str, typer.Option(help="One line for the account.")] = "cancelled on the command line",
) -> None:
    """Stop a run for good: messages that have not left are withheld, within one window.

    Example: [bold]kundresa cancel winback--20261123T090000Z --reason "wrong voucher"[/bold]
    """
    from kundresa.runs import stages

    settings = configuration.load()
    stages.cancel_run(settings, run_key, reason)
    out.print(f"{run_key} is cancelled. Its DAG run, or `kundresa maintain`, makes the account")


def maintain(json: Json = False) -> None:
    """Apply the retention settings and close runs whose validity is over: what the maintenance DAG does.

    Example: [bold]kundresa maintain[/bold]
    """
    from kundresa.runs import stages

    settings = configuration.load()
    removed = stages.apply_retention(settings, datetime.now(tz=UTC))
    if json:
        print_json(removed)
    else:
        table("Maintenance", ("what", "count"), list(removed.items()), right=("count",))
    if removed["runs stuck"]:
        raise typer.Exit(Exit.PROBLEMS)


def migrate() -> None:
    """Create the operational store's tables, or bring them up to date. Safe to repeat.

    Example: [bold]kundresa migrate[/bold]
    """
    from kundresa.store import open_store

    with open_store(configuration.load().store_url):
        out.print("The operational store is up to date")
