"""``kundresa journey test``: named people go through a journey for real, in seconds, and nobody else."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from json import loads as parse_json
from typing import Annotated, Any

import typer

from kundresa import settings as configuration
from kundresa.cli.journey_reporting import print_report
from kundresa.cli.output import out, print_json, table

test = typer.Typer(
    no_args_is_help=True,
    help="Try a journey on a few people for real, with waits of seconds: nobody else enters, and nothing "
    "of it counts.\n\nExample: [bold]kundresa journey test begin abandoned_cart --person anna@…[/bold]",
)
Name = Annotated[str, typer.Argument(metavar="JOURNEY", help="Folder name under dags/journeys.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@test.command()
def begin(
    name: Name,
    person: Annotated[
        list[str],
        typer.Option(
            help="Who may enter: profile id, email address, phone number, CRM or account id; repeatable."
        ),
    ],
    waits: Annotated[str, typer.Option(help="Nothing is waited for longer: 10s, 2m.")] = "10s",
    time_out: Annotated[
        str | None, typer.Option(help="The journey's time-out, at most (default: as declared).")
    ] = None,
    json: Json = False,
) -> None:
    """Begin a test of a journey as its files say now, beside the journey itself, started or not.

    Its messages really leave, to these people alone, by consent, suppressions and all other rules. The
    journey's DAG, or kundresa journey run, moves them. They enter by their own events, or by those of
    kundresa journey test send, which nothing else hears. Whose a click was is known a minute later, as ever:
    who waits for one goes on then.

    Example: [bold]kundresa journey test begin abandoned_cart --person anna@example.com --waits 5s[/bold]
    """
    from kundresa.runs.journey_testing import begin_test

    made = begin_test(
        configuration.load(),
        name,
        person,
        waits=_duration(waits),
        time_out=None if time_out is None else _duration(time_out),
    )
    if json:
        print_json(asdict(made))
        return
    out.print(
        f"{made.test} has begun, for {len(made.people):,} people; waits take {waits} at most. "
        f"kundresa journey test show {name} says where they are"
    )


@test.command()
def send(
    name: Name,
    event: Annotated[
        str | None, typer.Argument(help="One that the journey looks at; without, the person is let in.")
    ] = None,
    person: Annotated[
        str | None, typer.Option(help="One of the test's people; none for an event about nobody.")
    ] = None,
    data: Annotated[str, typer.Option(help="The event's data, a JSON object.")] = "{}",
) -> None:
    """Let an event happen to a person of the test: nothing hears of it but the test.

    Without an event the person is let in, whatever lets people in otherwise, and whatever its condition.

    Example: [bold]kundresa journey test send abandoned_cart order_placed --person anna@example.com --data
    '{"order_id": "2", "order_value": 80}'[/bold]
    """
    from kundresa.runs.journey_testing import tell_test

    about = tell_test(configuration.load(), name, event=event, person=person, data=json_object(data))
    what = event or "an entry"
    whom = f"about {about}" if about else "about nobody"
    out.print(f"the test of {name} hears of {what}, {whom}, when it is run", markup=False)


@test.command()
def show(name: Name, json: Json = False) -> None:
    """Show where the people of a test are, what became of their messages, and what let nobody in.

    Of the one that is under way, or of the last. What happened to one of them, step by step, tells
    kundresa journey explain PERSON JOURNEY --test.

    Example: [bold]kundresa journey test show abandoned_cart[/bold]
    """
    from kundresa.runs.journey_testing import report_test

    found = report_test(configuration.load(), name)
    if json:
        print_json(asdict(found))
        return
    began, ended = _moment(found.test.began_at), _moment(found.test.ended_at)
    over = f"ended {ended}" if ended else "under way"
    out.print(f"{found.test.test}: began {began}, {over}; waits take {found.longest_wait} s at most")
    print_report(found.report)
    rows = [
        (
            each.profile_id,
            each.instance_key,
            each.step or each.end_reason or "has not entered",
            _moment(each.ended_at or each.since),
            _moment(each.due_at),
        )
        for each in found.testers
    ]
    table("People", ("person", "key", "at", "since", "goes on at"), rows)
    for click in found.held_clicks:
        out.print(
            f"{click.profile_id} has clicked in {click.step}: heard at {_moment(click.heard_at)}, when it is "
            "known to be no machine's",
            markup=False,
        )


@test.command()
def end(name: Name) -> None:
    """End the test of a journey: everybody in it leaves, and what has not left is not sent.

    Example: [bold]kundresa journey test end abandoned_cart[/bold]
    """
    from kundresa.runs.journey_testing import end_test

    over, left = end_test(configuration.load(), name)
    out.print(f"{over.test} is over; {left:,} entries were inside")


def json_object(text: str) -> dict[str, Any]:
    """A JSON object from an option.

    Raises:
        BadParameter: when it is none.
    """
    try:
        found = parse_json(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{text!r} is no JSON object, for example {{}}")
    return found


def _duration(text: str) -> timedelta:
    from kundresa.spec.fields import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}") from None


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z" if at else ""
