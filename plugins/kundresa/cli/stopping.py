"""Commands that halt a run and let it go on."""

from __future__ import annotations

from typing import Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import out

RunKey = Annotated[str, typer.Argument(metavar="RUN", help="As `kundresa status` shows it.")]


def stop(
    run_key: RunKey,
    reason: Annotated[
        str, typer.Option(help="One line, for the account and the next shift.")
    ] = "stopped on the command line",
) -> None:
    """Stop a run until it is resumed: nothing more leaves, from each worker's next window on.

    What has been handed over is settled; the rest waits for as long as the run is valid. What has not left by
    then is in the account as `run_stopped`. In Airflow its deliver tasks are deferred meanwhile and hold no
    slot. To end a run for good: `kundresa cancel`.

    Example: [bold]kundresa stop winback--20261123T090000Z --reason "the landing page is down"[/bold]
    """
    from kundresa.runs import stages

    run = stages.stop_run(configuration.load(), run_key, reason)
    out.print(
        f"{run_key} is stopped since {run.stopped_at:%Y-%m-%d %H:%M:%S}Z ({run.stop_detail}). "
        f"It can be resumed until {run.valid_until:%Y-%m-%d %H:%M}Z: kundresa resume {run_key}",
        markup=False,
        highlight=False,
    )


def resume(run_key: RunKey) -> None:
    """Let a stopped run go on. Whoever has got the message does not get it again.

    Deliver tasks that wait in Airflow go on by themselves within seconds. Without Airflow, run it again with
    its date (`kundresa run`).

    Example: [bold]kundresa resume winback--20261123T090000Z[/bold]
    """
    from kundresa.runs import stages

    run, was_stopped = stages.resume_run(configuration.load(), run_key)
    again = f"kundresa run {run.campaign} --logical-date {run.logical_at.isoformat()}"
    out.print(
        f"{run_key} goes on. Its DAG run notices by itself; without Airflow: {again}"
        if was_stopped
        else f"{run_key} was not stopped",
        markup=False,
        highlight=False,
    )
