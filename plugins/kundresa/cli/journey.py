"""``kundresa journey``: checking, starting, running and explaining journeys."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kundresa import settings as configuration
from kundresa.cli.check import print_problems, told
from kundresa.cli.journey_reporting import print_report
from kundresa.cli.journey_testing import Json, Name, json_object, test
from kundresa.cli.output import Exit, out, print_json, table

if TYPE_CHECKING:
    from kundresa.runs.journey_rehearsing import LaterEvent, Rehearsal

journey = typer.Typer(
    no_args_is_help=True,
    help="React to one person while they interact: check, start, run and explain journeys.\n\n"
    "Example: [bold]kundresa journey start abandoned_cart[/bold]",
)
journey.add_typer(test, name="test")


@journey.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Journeys (default: all).")] = None,
    json: Json = False,
) -> None:
    """Check journeys, their templates and what they name, without running anything.

    Example: [bold]kundresa journey check abandoned_cart[/bold]
    """
    from kundresa.channels import known_account
    from kundresa.runs.journey_checking import check_journeys

    checked = check_journeys(configuration.load(), names or [], account_of=known_account)
    problems = [problem for each in checked for problem in each.problems]
    if json:
        print_json({each.campaign: told(each.problems, each.advice) for each in checked})
    else:
        print_problems(problems, [problem for each in checked for problem in each.advice])
        out.print(f"{len(checked)} checked, {len(problems)} problems")
    if problems:
        raise typer.Exit(Exit.PROBLEMS)


@journey.command()
def start(name: Name) -> None:
    """Start a journey: from now on people may enter. Also after a pause, and after an edit.

    People inside stay on the version that they entered on; repeated without an edit, nothing changes. The
    files are checked first, and frozen.

    Example: [bold]kundresa journey start abandoned_cart[/bold]
    """
    from kundresa.runs.journeys import start_journey

    row = start_journey(configuration.load(), name)
    out.print(
        f"{name} is running, version {row.version}. Its DAG, or kundresa journey run {name}, moves people"
    )


Answer = Annotated[
    list[str] | None,
    typer.Option(
        help="What a webhook step is answered: STEP=FILE.json, or STEP=failed; repeatable. "
        "Without, it is answered with none of its fields."
    ),
]


@journey.command()
def record() -> None:
    """Bring the news about all journeys' messages into the account and the measurement marts.

    What came back about any message (bounces, opens, clicks) is counted too, as of the last build.
    The warehouse's DAG does it after each build, and every campaign's run does it with its own. Caps of
    campaigns do not wait for it: a decision reads what journeys have sent and hold at that moment.

    Example: [bold]kundresa journey record[/bold]
    """
    from kundresa.runs.journey_accounts import record_journeys

    days = record_journeys(configuration.load())
    out.print(f"{days} days of journeys had news" if days else "no day of a journey had news")


@journey.command()
def pause(
    name: Name,
    discard: Annotated[
        bool, typer.Option("--discard", help="Leave out what happens meanwhile, instead of keeping it.")
    ] = False,
) -> None:
    """Let nothing move and nothing leave, from the next window on, until it is started again.

    Everybody stays where they are. What happens meanwhile counts when it goes on; with --discard events,
    changes of segments and reactions do not, those included that no run has acted on when it is paused.
    Waits, and what becomes of messages and calls, count either way.

    Example: [bold]kundresa journey pause abandoned_cart --discard[/bold]
    """
    from kundresa.runs.journeys import pause_journey
    from kundresa.spec.vocabulary import JourneyState

    state = JourneyState.DISCARDING if discard else JourneyState.HELD
    pause_journey(configuration.load(), name, state)
    meanwhile = "is left out" if discard else "is kept"
    out.print(f"{name} is paused; what happens meanwhile {meanwhile}. kundresa journey start {name} goes on")


@journey.command()
def stop(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """End a journey for good: everybody inside leaves, what has not left is not sent.

    Example: [bold]kundresa journey stop abandoned_cart --yes[/bold]
    """
    from kundresa.runs.journeys import stop_journey

    if not yes:
        typer.confirm(f"End {name} for good? It cannot be started again.", abort=True)
    left = stop_journey(configuration.load(), name)
    out.print(f"{name} is stopped; {left:,} people were inside")


@journey.command()
def run(
    name: Name,
    stay: Annotated[int, typer.Option(min=0, help="Seconds to go on as things happen.")] = 0,
    json: Json = False,
) -> None:
    """Move everybody who can move, and send what that comes to: what the journey's DAG does.

    Through the sender accounts in the environment. Repeated, it does what is due by then, and nothing twice.

    Example: [bold]kundresa journey run abandoned_cart --stay 60[/bold]
    """
    from kundresa.channels import resolve_account
    from kundresa.runs.journeys import run_journey

    done = run_journey(
        configuration.load(),
        name,
        owner=f"command line {os.getpid()} {uuid.uuid4().hex[:8]}",
        account_of=lambda account: resolve_account(account, os.environ),
        stay=timedelta(seconds=stay),
    )
    if json:
        print_json(asdict(done))
        return
    out.print(
        f"{name} is {done.state or 'not started'}: {done.events:,} events, {done.entered:,} entered, "
        f"{done.moved:,} moved, {done.ended:,} ended, {done.accepted:,} messages sent"
        + (f", {done.called:,} calls answered or given up" if done.called else "")
        + (f"; next at {done.next_at:%Y-%m-%d %H:%M:%S}Z" if done.next_at else "")
    )
    if done.in_test:
        told_counts = ", ".join(f"{count:,} {what}" for what, count in done.in_test.items())
        out.print(f"in its test: {told_counts}")
    if done.test_failure:
        out.print(f"its test went wrong: {done.test_failure}", markup=False)


@journey.command()
def show(
    name: Annotated[
        str | None, typer.Argument(metavar="JOURNEY", help="Default: all, one line each.")
    ] = None,
    json: Json = False,
) -> None:
    """Show where people are, what became of the messages, and what let nobody in.

    Example: [bold]kundresa journey show abandoned_cart[/bold]
    """
    from kundresa.runs.journey_reports import journey_report, list_journeys

    settings = configuration.load()
    if name is None:
        lines = [asdict(each) for each in list_journeys(settings)]
        if json:
            print_json(lines)
            return
        right = ("entered", "inside", "left", "sent")  # what 80 columns hold
        names = ("journey", "state", *right)
        table("Journeys", names, [tuple(each[column] for column in names) for each in lines], right=right)
        return
    report = journey_report(settings, name)
    if json:
        print_json(asdict(report))
        return
    print_report(report)


@journey.command()
def plan(
    name: Name,
    days: Annotated[int, typer.Option(min=1, max=90, help="How many days of events to play.")] = 7,
    answer: Answer = None,
    json: Json = False,
) -> None:
    """Play a journey on the events of the last days: who would have entered, where they would be, what would
    have been sent. Nothing is written and nothing is sent.

    Example: [bold]kundresa journey plan abandoned_cart --days 14[/bold]
    """
    from kundresa.channels import known_account
    from kundresa.runs.journey_planning import plan_journey

    planned = plan_journey(
        configuration.load(), name, days=days, answers=_answers(answer), account_of=known_account
    )
    if json:
        print_json(asdict(planned))
        return
    for warning in planned.warnings:
        out.print(f"[yellow]Warning:[/yellow] {warning}")
    out.print(
        f"{name} since {planned.since:%Y-%m-%d %H:%M}Z: {planned.events:,} events, "
        f"{planned.entered:,} would enter"
    )
    rows = [
        (step, what, count)
        for step, found in planned.messages.items()
        for what, count in sorted(found.items())
    ]
    table("Messages", ("step", "", "messages"), rows, right=("messages",))
    people = [(f"at {step}", count) for step, count in planned.steps.items()]
    people += [(f"ended: {reason}", count) for reason, count in planned.ended.items()]
    people += [(f"not let in: {reason}", count) for reason, count in planned.skips.items()]
    table("People", ("", "people"), people, right=("people",))
    _print_supposed(planned.supposed)


@journey.command()
def rehearse(  # noqa: PLR0917  typer gives each option by name
    name: Name,
    person: Annotated[
        str, typer.Argument(help="Profile id, email address, phone number, CRM or account id.")
    ],
    data: Annotated[str, typer.Option(help="The entry event's data, a JSON object.")] = "{}",
    then: Annotated[
        list[str] | None, typer.Option(help="What happens later: EVENT AFTER [JSON], repeatable.")
    ] = None,
    answer: Answer = None,
    to: Annotated[
        list[str] | None,
        typer.Option(help="Sends its emails to this address, marked \\[Proof]; repeatable."),
    ] = None,
    json: Json = False,
) -> None:
    """Play one person through a journey, every wait skipped: where they would come, what they would read.

    Nothing is written, and nothing is sent but the copies that --to asks for: the person gets none. Events
    that are waited for do not come, unless --then says so.

    Example: [bold]kundresa journey rehearse abandoned_cart anna@example.com --data '{"cart_id": "1",
    "cart_value": 80}' --then 'order_placed 30m {"order_id": "2", "order_value": 80}'[/bold]
    """
    from kundresa.channels import resolve_account
    from kundresa.runs.journey_rehearsing import rehearse_journey
    from kundresa.runs.proofs import send_rehearsal
    from kundresa.spec.vocabulary import MessageState

    settings = configuration.load()
    rehearsed = rehearse_journey(
        settings,
        name,
        person,
        data=json_object(data),
        then=[_later(each) for each in then or []],
        answers=_answers(answer),
    )
    sent = []
    if to:
        sent = send_rehearsal(
            settings, rehearsed, to, account_of=lambda each: resolve_account(each, os.environ)
        )
    proofs = [(each.address, each.name, each.receipt.state.value, each.receipt.detail or "") for each in sent]
    if json:
        document = asdict(replace(rehearsed, emails=()))
        del document["emails"]  # their text is in the messages
        columns = ("address", "step", "state", "detail")
        print_json(document | {"proofs": [dict(zip(columns, row, strict=True)) for row in proofs]})
    else:
        _print_rehearsal(name, rehearsed)
        if proofs:
            table("Proofs", ("address", "step", "state", ""), proofs)
    if any(each.receipt.state is not MessageState.ACCEPTED for each in sent):
        raise typer.Exit(Exit.PROBLEMS)


def _print_rehearsal(name: str, rehearsed: Rehearsal) -> None:
    if not rehearsed.moves:
        out.print(f"{rehearsed.profile_id} would not enter: {', '.join(rehearsed.skips)}", markup=False)
    _print_way(f"{rehearsed.profile_id} in {name}", rehearsed.moves)
    for message in rehearsed.messages:
        out.print(f"\n{message.step}: {message.reason or 'sent'}", markup=False, highlight=False)
        out.print(message.text, markup=False, highlight=False)
    _print_supposed(rehearsed.supposed)


def _print_supposed(supposed: Mapping[str, str]) -> None:
    for step, what in supposed.items():
        out.print(f"supposed: {step} {what}; --answer {step}=FILE.json says otherwise", markup=False)


def _answers(texts: list[str] | None) -> dict[str, dict[str, Any] | None]:
    found: dict[str, dict[str, Any] | None] = {}
    for text in texts or []:
        step, _, file = text.partition("=")
        if not step or not file:
            raise typer.BadParameter(f"{text!r} is not STEP=FILE.json, or STEP=failed")
        try:
            found[step] = None if file == "failed" else json_object(Path(file).read_text())
        except OSError as error:
            raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    return found


def _print_way(title: str, moves: Iterable[Mapping[str, str]]) -> None:
    rows = [
        (f"{datetime.fromisoformat(move['at']):%Y-%m-%d %H:%M:%S}Z", move["step"], move["why"])
        for move in moves
    ]
    table(title, ("at", "step", "why"), rows)


def _later(text: str) -> LaterEvent:
    from kundresa.runs.journey_rehearsing import LaterEvent
    from kundresa.spec.fields import parse_duration

    event, _, rest = text.strip().partition(" ")
    after, _, data = rest.strip().partition(" ")
    try:
        return LaterEvent(event, parse_duration(after), json_object(data or "{}"))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}, as in 'order_placed 30m'") from None


@journey.command()
def explain(
    person: Annotated[
        str, typer.Argument(help="Profile id, email address, phone number, CRM or account id.")
    ],
    name: Name,
    in_test: Annotated[
        bool, typer.Option("--test", help="In its test that is under way, or in the last one.")
    ] = False,
    json: Json = False,
) -> None:
    """Say what happened to a person in a journey, step by step, and why they did or did not get a message.

    Example: [bold]kundresa journey explain anna@example.com abandoned_cart[/bold]
    """
    from kundresa.runs.journey_reports import explain_journey
    from kundresa.runs.journey_testing import explain_test

    told_of = (explain_test if in_test else explain_journey)(configuration.load(), person, name)
    if json:
        print_json(asdict(told_of))
        return
    if not told_of.entries:
        out.print(f"{person} has never entered {name}; kundresa journey show {name} says what let nobody in")
    for entry in told_of.entries:
        key = f" ({entry.instance_key})" if entry.instance_key else ""
        _print_way(f"{told_of.profile_id}, entry {entry.entry}{key}", entry.moves)
        for call in entry.calls:
            why = _why(call["reason"], call["detail"])
            kept = "".join(f", {name}: {value}" for name, value in call["response"].items())
            out.print(f"{call['step']}: {call['outcome']}{why}{kept}", markup=False)
        for message in entry.messages:
            why = _why(message["reason"], (message["delivery"] or {}).get("detail"))
            full = message["cap"] or message["capacity"]
            limit = f", {full} had no room" if full else ""
            leaves_at = message["send_at"] or message["not_before"]
            is_waiting = message["outcome"] == "under_way" and (
                message["send_at"] is not None or leaves_at > message["reached_at"]
            )
            later = f", leaves {leaves_at:%Y-%m-%d %H:%M}Z" if is_waiting else ""
            out.print(f"{message['step']}: {message['outcome']}{why}{limit}{later}", markup=False)


def _why(reason: str | None, detail: str | None) -> str:
    said = ": ".join(filter(None, (reason, detail)))
    return f" ({said})" if reason else ""
