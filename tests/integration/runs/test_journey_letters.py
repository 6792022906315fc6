"""Letters of a journey: they wait for their file, in which each person is once, and what comes of it moves
people on."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.integration.runs import shop as installation
from tests.integration.runs.shop import EARLIER, Shop

from kundresa import warehouse
from kundresa.channels.folder import Folder
from kundresa.runs import journey_messages
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.journey_checking import check_journeys
from kundresa.runs.journey_explaining import explain_messages
from kundresa.runs.journey_planning import plan_journey
from kundresa.runs.journey_rehearsing import rehearse_journey
from kundresa.runs.journey_reports import explain_journey, journey_report
from kundresa.runs.print_results import read_print_results
from kundresa.spec.problems import SpecError
from kundresa.warehouse.exports import journey_day_path

JOURNEY = """
owner: crm
description: A letter.
entry: {event: cart}
exit: [{event: order}]
topic: offers
steps:
  letter:
    kind: message
    channel:
      kind: direct_mail
      template: l
      account: printer
      layout: {columns: [{name: message_id}, {name: name}, {name: value}]}
    collect: {at: "18:00", time_zone: Europe/Stockholm, days: [mon, tue, wed, thu, fri]}
    on: {not_sent: refused}
  posted: {kind: wait_for, reaction: delivered, to: letter, within: 20d, timeout: refused}
  rest: {kind: wait, duration: 1d, next: end}
  refused: {kind: wait, duration: 1d}
"""
ROW = (
    "{% block message_id %}{{ message_id }}{% endblock %}"
    "{% block name %}{{ profile.first_name }}{% endblock %}{% block value %}{{ event.value }}{% endblock %}"
)
FILE_AT = datetime(2026, 11, 23, 17, tzinfo=UTC)
"""Monday, 18:00 in Stockholm; the shop's clock begins at 12:00 UTC of that day."""
HOMES = ("anna", "bo", "ida")
"""Eva has none. Anna and Ida have said yes to letters, Bo has said no."""


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    known = installation.rows()
    known["contact_points"] += [
        {
            "profile_id": f"p-{who}",
            "channel": "direct_mail",
            "address": f"Storgatan {number}, 903 26 Umeå, SE",
            "is_valid": True,
        }
        for number, who in enumerate(HOMES, 1)
    ]
    known["consents"] += [
        {
            "profile_id": f"p-{who}",
            "channel": "direct_mail",
            "topic": "offers",
            "status": "no" if who == "bo" else "yes",
            "source": "shop",
            "recorded_at": EARLIER,
        }
        for who in HOMES
    ]
    monkeypatch.setattr(installation, "rows", lambda: known)
    made: Shop = request.getfixturevalue("shop")
    (tmp_path / "out").mkdir()
    made.accounts["printer"] = f"file://{tmp_path / 'out'}"
    made.journey(JOURNEY, **{"l.row.j2": ROW})
    return made


@pytest.fixture
def printed(tmp_path: Path) -> Callable[[], list[list[list[str]]]]:
    """The rows of each file that the printer sees, by name and value."""

    def read() -> list[list[list[str]]]:
        files = [each for each in (tmp_path / "out").iterdir() if not each.name.startswith(".")]
        rows = [[*csv.reader(file.read_text().splitlines())] for file in files]
        return [sorted(row[1:] for row in each[1:]) for each in rows]

    return read


Printed = Callable[[], list[list[list[str]]]]


def test_letters_of_a_day_are_one_file(letters: Shop, printed: Printed) -> None:
    assert [each.problems for each in check_journeys(letters.settings)] == [()]
    # Nobody is woken by a print file.
    letters.policies('quiet_hours: [{start: "15:00", end: "09:00"}]')
    letters.start()
    letters.event("anna", value=60)
    done = letters.run()
    assert (done.decided, done.next_at) == (0, FILE_AT)
    for number, who in enumerate(("bo", "eva", "ida")):
        letters.event(who, value=number)
        assert letters.run(hours=1).decided == 0
    [step, *_] = journey_report(letters.settings, "cart").steps
    assert step.does == (
        "direct_mail `l` by account `printer`, in a file made mon, tue, wed, thu, fri at `18:00`"
        " (Europe/Stockholm)"
    )
    assert step.messages == {"under_way": 4}
    told = explain_journey(letters.settings, "p-anna", "cart").entries[0].messages[0]
    assert (told["outcome"], told["send_at"], told["not_before"]) == ("under_way", None, FILE_AT)
    assert printed() == []
    letters.now = FILE_AT
    letters.run()
    assert printed() == [[["Anna", "60"], ["Ida", "2"]]]
    assert letters.outcome("anna") == letters.outcome("ida") == [("sent", None)]
    assert letters.outcome("bo") == [("not_sent", "consent_denied")]
    assert letters.outcome("eva") == [("not_sent", "contact_point_missing")]
    # After it was made the next one is Tuesday's; of a weekend, Monday's.
    letters.journey(JOURNEY.replace("topic:", "reentrance: always\ntopic:"), **{"l.row.j2": ROW})
    letters.start()
    letters.event("anna", "order")
    letters.event("anna", value=61)
    assert letters.run(seconds=1).next_at == FILE_AT + timedelta(days=1)
    assert letters.run(days=1).accepted == 1
    letters.event("ida", "order")
    letters.run(days=3)
    letters.event("ida", value=9)
    assert letters.run(minutes=1).next_at == FILE_AT + timedelta(days=7)
    assert sorted(printed()) == [[["Anna", "60"], ["Ida", "2"]], [["Anna", "61"]]]


def test_what_turns_out_late_is_in_the_next_file(letters: Shop, printed: Printed) -> None:
    """As after an hour in which nothing ran: no file of its own for who came before the last one."""
    letters.start()
    letters.event("anna", value=60)
    letters.run()
    letters.event("ida", value=61)
    letters.now = FILE_AT + timedelta(minutes=1)
    assert letters.run().accepted == 1
    assert printed() == [[["Anna", "60"]]]
    letters.now = FILE_AT + timedelta(days=1)
    assert letters.run().accepted == 1
    assert [["Ida", "61"]] in printed()


def test_who_says_no_or_orders_before_the_file_is_made_is_not_in_it(letters: Shop, printed: Printed) -> None:
    letters.start()
    for who in ("anna", "ida"):
        letters.event(who, value=60)
    letters.run()
    with letters.store() as store:
        store.opt_outs.record(
            channel="direct_mail",
            address="Storgatan 1, 903 26 Umeå, SE",
            profile_id="p-anna",
            source="call",
            recorded_at=letters.now,
        )
    letters.event("ida", "order")
    letters.run(hours=1)
    letters.now = FILE_AT
    letters.run()
    assert printed() == []
    assert letters.outcome("anna") == [("not_sent", "consent_denied")]
    assert letters.outcome("ida") == [("not_sent", "run_cancelled")]


def test_what_the_printer_says_moves_people_on(letters: Shop, tmp_path: Path) -> None:
    letters.start()
    for who in ("anna", "ida"):
        letters.event(who, value=60)
    letters.run()
    letters.now = FILE_AT
    letters.run()
    with letters.store() as store:
        ids = {who: next(store.journey_messages.of(f"p-{who}", "cart")).message_id for who in ("anna", "ida")}
    results = tmp_path / "results.csv"
    results.write_text(f"message_id,status\n{ids['anna']},posted\n{ids['ida']},returned\n")
    told = read_print_results(letters.settings, results, clock=lambda: letters.now)
    assert (told.counts, told.problems) == ({"delivered": 1, "bounced": 1}, [])
    assert [*told.without_result.values()] == [0]
    letters.run(hours=1)
    assert (letters.step("anna"), letters.step("ida")) == ("rest", "posted")
    with letters.store() as store:
        address = "Storgatan 3, 903 26 Umeå, SE"
        assert store.suppressions.active(channel="direct_mail", addresses=[address])
        export_journeys(letters.settings, store, letters.now)
    [day] = warehouse.journey_days_due(letters.settings)
    lines = pq.read_table(journey_day_path(letters.settings, day)).to_pylist()
    assert [(each["channel"], each["verdict"], each["message_state"]) for each in lines] == [
        ("direct_mail", "send", "accepted")
    ] * 2


def test_a_capacity_puts_letters_off_to_another_file(letters: Shop, printed: Printed) -> None:
    letters.policies("capacities: [{name: printer, max: 1, period: day, channels: [direct_mail]}]")
    letters.journey(JOURNEY.replace("    on: {not", "    valid_for: 3d\n    on: {not"), **{"l.row.j2": ROW})
    letters.start()
    for who in ("anna", "ida"):
        letters.event(who, value=60)
    letters.run()
    letters.now = FILE_AT
    assert letters.run().next_at == FILE_AT + timedelta(days=1)
    [[[first, _]]] = printed()
    letters.run(days=1)
    assert sorted(name for file in printed() for name, _ in file) == ["Anna", "Ida"]
    other = "ida" if first == "Anna" else "anna"
    assert letters.outcome(other) == [("delayed", None)]


def test_a_plan_a_rehearsal_and_an_explanation_know_letters(letters: Shop) -> None:
    for who in ("anna", "bo"):
        letters.event(who, value=60)
    letters.now += timedelta(hours=9)
    planned = plan_journey(letters.settings, "cart", days=1, clock=lambda: letters.now)
    assert planned.messages == {"letter": {"sent": 1, "consent_denied": 1}}
    rehearsed = rehearse_journey(
        letters.settings, "cart", "p-anna", data={"value": 7}, clock=lambda: letters.now
    )
    [message] = rehearsed.messages
    assert (message.at, message.reason) == (FILE_AT + timedelta(days=1), None)
    assert "Anna" in message.text
    letters.start()
    letters.event("anna", value=60)
    letters.run()
    letters.policies('quiet_hours: [{start: "15:00", end: "09:00"}]')
    [waiting] = explain_messages(letters.settings, "p-anna")
    assert (waiting.outcome, waiting.send_at) == ("pending", FILE_AT + timedelta(days=1))
    letters.now = FILE_AT + timedelta(days=1)
    letters.run()
    [sent] = explain_messages(letters.settings, "p-anna")
    assert (sent.outcome, sent.channel) == ("accepted", "direct_mail")
    assert "not_asked" in {str(each.result) for each in sent.rules if each.rule == "out_of_hours"}


def test_a_file_whose_answer_was_lost_is_asked_for_and_nobody_moves_before(
    letters: Shop, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters.start()
    for who in ("anna", "ida"):
        letters.event(who, value=60)
    letters.run()
    letters.now = FILE_AT
    with monkeypatch.context() as broken:
        broken.setattr(Folder, "_flush", lambda _: (_ for _ in ()).throw(TimeoutError(110, "timed out")))
        lost = letters.run()
    assert (lost.accepted, lost.next_at) == (0, FILE_AT + timedelta(minutes=5))
    assert letters.outcome("anna") == [("", None)]
    assert letters.step("anna") == "letter"
    with letters.store() as store:
        store.opt_outs.record(
            channel="direct_mail",
            address="Storgatan 1, 903 26 Umeå, SE",
            profile_id="p-anna",
            source="call",
            recorded_at=letters.now,
        )
    assert letters.run(minutes=5).accepted == 2
    assert printed() == [[["Anna", "60"], ["Ida", "60"]]]
    assert letters.outcome("anna") == letters.outcome("ida") == [("sent", None)]


_OTHER = "    channel: {kind: sms, template: t, account: texts, sender: Shop}\n"


@pytest.mark.parametrize(
    ("text", "row", "problem"),
    [
        (JOURNEY.replace("    collect:", "    # collect:"), ROW, "direct_mail needs 'collect'"),
        (
            JOURNEY.replace("    collect:", "    quiet_hours: skip\n    collect:"),
            ROW,
            "quiet hours hold no letters back",
        ),
        (
            JOURNEY[: JOURNEY.index("    channel:")] + _OTHER + JOURNEY[JOURNEY.index("    collect:") :],
            ROW,
            "only direct_mail is collected",
        ),
        (JOURNEY, ROW.replace("block value", "block valeu"), "no {% block value %}"),
    ],
)
def test_letters_need_a_time_and_nothing_else_has_one(
    letters: Shop, text: str, row: str, problem: str
) -> None:
    letters.journey(text, **{"l.row.j2": row})
    with pytest.raises(SpecError, match=re.escape(problem)):
        letters.start()


class Broken:
    """Hands everything over, and never says so."""

    def __init__(self, sender: Any) -> None:
        self._sender = sender

    def send(self, window: Any) -> Any:
        list(self._sender.send(window))
        raise ConnectionResetError("before any answer")
        yield

    def close(self) -> None:
        self._sender.close()


@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
@pytest.mark.parametrize("idempotent", ["true", "false"])
def test_what_is_unknown_is_asked_again_only_where_its_receiver_knows_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, policy: str, idempotent: str
) -> None:
    """Or by policy; and until then nobody moves on."""
    text = installation.JOURNEY.replace("topic: offers", f"topic: offers\npolicy: {policy}")
    mark = "&" if "?" in shop.accounts["texts"] else "?"
    shop.accounts["texts"] += f"{mark}idempotent={idempotent}"
    shop.journey(text)
    shop.start()
    shop.event("eva", value=60)
    shop.run()
    before = len(shop.arrived())
    opened = journey_messages.open_sender
    with monkeypatch.context() as broken:
        broken.setattr(journey_messages, "open_sender", lambda *a, **k: Broken(opened(*a, **k)))
        with pytest.raises(ConnectionResetError):
            shop.run(hours=1)
    assert len(shop.arrived()) == before + 1
    shop.run()
    if (policy, idempotent) == ("at_most_once", "false"):
        assert shop.outcome("eva")[1] == ("not_sent", "outcome_unknown")
        assert shop.run(minutes=10).accepted == 0
        assert len(shop.arrived()) == before + 1
        return
    assert shop.outcome("eva")[1] == ("", None)
    assert shop.step("eva") == "text"
    assert shop.run(minutes=10).accepted == 1
    assert shop.outcome("eva")[1] == ("sent", None)
    assert {each.message_id for each in shop.arrived()[before:]} == {shop.arrived()[-1].message_id}
