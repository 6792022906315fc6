"""``kundresa``: checks, plans and runs campaigns, and answers why someone did or did not get one.

Every command reads its place from the environment (``KUNDRESA_HOME``, ``KUNDRESA_STORE_URL`` …). With
``--json`` it prints one JSON document. Exit codes: 0 done, 1 done and found a problem, 2 wrong usage,
3 no such campaign, run or person, 4 something it needs is missing, 5 busy or to be continued later.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

import typer

from kundresa import __version__
from kundresa.cli.output import Exit, err

app = typer.Typer(
    name="kundresa",
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

COMMANDS = {
    "check": "kundresa.cli.check",
    "plan": "kundresa.cli.plan",
    "simulate": "kundresa.cli.simulate",
    "preview": "kundresa.cli.preview",
    "proof": "kundresa.cli.preview",
    "build": "kundresa.cli.execute",
    "run": "kundresa.cli.execute",
    "cancel": "kundresa.cli.execute",
    "stop": "kundresa.cli.stopping",
    "resume": "kundresa.cli.stopping",
    "maintain": "kundresa.cli.execute",
    "migrate": "kundresa.cli.execute",
    "pace": "kundresa.cli.pace",
    "journey": "kundresa.cli.journey",
    "status": "kundresa.cli.inspect",
    "account": "kundresa.cli.inspect",
    "explain": "kundresa.cli.inspect",
    "segments": "kundresa.cli.segments",
    "share": "kundresa.cli.share",
    "opt-out": "kundresa.cli.protect",
    "suppress": "kundresa.cli.protect",
    "serve": "kundresa.cli.serve",
    "deliver": "kundresa.cli.serve",
    "api-key": "kundresa.cli.serve",
    "feedback": "kundresa.cli.feedback",
    "sample": "kundresa.cli.local",
    "sandbox": "kundresa.cli.local",
}
"""Command → the module that holds it, a function of that name (``opt-out`` is ``opt_out``)."""

NOT_FOUND = (
    "AccountNotFound",
    "RunNotFound",
    "CampaignNotFound",
    "UnknownAudienceShare",
    "UnknownJourney",
    "JourneyNotFound",
    "NoJourneyTest",
    "PersonNotFound",
    "NothingPublished",
    "UnknownSegment",
    "UnknownVariant",
)
ENVIRONMENT = (
    "SettingsError",
    "AccountError",
    "BrowserMissing",
    "FilterFailed",
    "FilterMissing",
    "OperationalError",
    "StoreOutOfDate",
    "StoreUnavailable",
    "ConnectionError",
    "PermissionError",
    "ConnectError",
    "MailboxError",
    "ResultFileError",
)
BUSY = (
    "AudienceWaits",
    "BatchBusy",
    "RunNotFinished",
    "JourneyMoved",
    "LeaseLost",
    "ShareUnavailableError",
    "Timeout",
)
PROBLEMS = (
    "AudienceNotReady",
    "SpecError",
    "UnfitAnswer",
    "UnfitEvent",
    "UnfitTest",
    "GateFailed",
    "ProofRefused",
    "ScreenshotFailed",
    "DbtFailed",
    "AccountDoesNotAddUp",
    "RunNotChecked",
    "SegmentNotPublished",
    "StoreError",
    "WarehouseError",
)
"""Errors that a command explains in one line instead of a stack trace, by class name, so that no room has to
be imported to print one. Anything else is a defect and shows its trace."""


def _register() -> None:
    for name, module in COMMANDS.items():
        found: Callable[..., None] | typer.Typer = getattr(import_module(module), name.replace("-", "_"))
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def exit_code(error: BaseException) -> Exit | None:
    """The exit code of an error that is explained, or None for a defect."""
    names = {kind.__name__ for kind in type(error).__mro__}
    for code, known in (
        (Exit.NOT_FOUND, NOT_FOUND),
        (Exit.BUSY, BUSY),
        (Exit.ENVIRONMENT, ENVIRONMENT),
        (Exit.PROBLEMS, PROBLEMS),
    ):
        if names & set(known):
            return code
    return None


def main() -> None:
    """Entry point of the console script."""
    _register()
    try:
        app()
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        err.print(f"[red]{type(error).__name__}[/red]", end=": ")
        err.print(str(error), markup=False, highlight=False)
        sys.exit(code)


if __name__ == "__main__":
    main()
