"""A test of a journey, from the command that begins it to the mailbox: real messages, and no figure."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.integration.runs.shop import EARLIER, MARTS, NOW, PEOPLE, Shop, rows
from tests.integration.runs.trying import SECONDS, TEST, at, begin, report, tell
from typer.testing import CliRunner

from kundresa.channels import Account, AccountError, account_from_uri
from kundresa.cli.journey import journey
from kundresa.runs.explained import PersonNotFound
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.journey_explaining import explain_messages
from kundresa.runs.journey_rehearsing import UnfitEvent
from kundresa.runs.journey_reports import journey_report, list_journeys
from kundresa.runs.journey_rounds import JourneyRun
from kundresa.runs.journey_testing import (
    NoJourneyTest,
    UnfitTest,
    end_test,
    explain_test,
    report_test,
    tell_test,
)
from kundresa.runs.journeys import has_work, pause_journey, stop_journey
from kundresa.runs.sending import send_as_asked
from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.problems import SpecError
from kundresa.spec.vocabulary import FeedbackKind, JourneyState
from kundresa.store import HeldClick, JourneyNotFound, JourneyTestUnderWay, NewFeedback, Store
from kundresa.warehouse.people_index import write_index

AT_NIGHT = datetime(2026, 11, 23, 22, tzinfo=UTC)


def click(shop: Shop, store: Store) -> None:
    """Anna clicks in the one message that the test has sent her."""
    [message] = store.journey_messages.of("p-anna", TEST)
    clicked = NewFeedback(
        feedback_key="1",
        kind=FeedbackKind.CLICKED,
        channel="email",
        provider="link",
        occurred_at=shop.now,
        received_at=shop.now,
        message_id=message.message_id,
        profile_id="p-anna",
    )
    store.feedback.record([clicked])


def test_a_journey_that_was_never_started_is_tried_on_two_people(shop: Shop) -> None:
    before = len(shop.arrived())
    begin(shop, "anna@shop.example", "p-bo")
    assert not has_work(shop.settings, "cart", shop.now)
    assert at(shop) == {"p-anna": None, "p-bo": None}
    for who in PEOPLE:
        shop.event(who, value=60)
    assert has_work(shop.settings, "cart", shop.now)
    done = shop.run()
    assert (done.state, done.entered, done.next_at) == (None, 0, NOW + timedelta(seconds=SECONDS))
    assert done.in_test["entered"] == 2
    assert at(shop) == {"p-anna": "pause", "p-bo": "pause"}
    done = shop.run(seconds=SECONDS)
    assert (done.in_test["decided"], done.in_test["accepted"], done.accepted) == (2, 1, 0)
    [mail] = shop.arrived()[before:]
    assert (mail.recipient, b"Anna" in mail.body) == ("anna@shop.example", True)
    # Consent holds for who is tested on as for everybody.
    assert at(shop) == {"p-anna": "rest", "p-bo": "refused"}
    found = report(shop)
    assert found.report.skips == {"not_in_test": 2}
    assert found.report.adds_up
    assert (found.test.test, found.longest_wait, found.test.ended_at) == (TEST, SECONDS, None)
    assert {each.due_at for each in found.testers} == {shop.now + timedelta(seconds=SECONDS)}
    way = explain_test(shop.settings, "anna@shop.example", "cart").entries[0]
    assert [(move["step"], move["why"]) for move in way.moves] == [
        ("pause", "entered"),
        ("mail", "waited"),
        ("rest", "sent"),
    ]
    assert [each["outcome"] for each in way.messages] == ["sent"]

    test, left = end_test(shop.settings, "cart", clock=lambda: shop.now)
    assert (test.test, left) == (TEST, 2)
    assert end_test(shop.settings, "cart", clock=lambda: shop.now + timedelta(days=1))[1] == 0
    assert report(shop).test.ended_at == shop.now
    assert at(shop) == {"p-anna": "test_ended", "p-bo": "test_ended"}
    assert report(shop).report.ended == {"test_ended": 2}
    with pytest.raises(JourneyNotFound):
        shop.run()
    with shop.store() as store, pytest.raises(JourneyNotFound):
        store.journeys.require("cart")
    shop.start()
    shop.event("anna", value=60)
    assert shop.run().entered == 1  # `reentrance: never` has not heard of the test


def test_nothing_of_a_test_is_counted(shop: Shop) -> None:
    shop.policies("pressure: {default: [{name: daily, max: 1, within: 1d}]}")
    shop.start()
    begin(shop)
    tell(shop, None, "p-anna", value=1)
    assert shop.run().in_test["entered"] == 1
    assert shop.run(seconds=SECONDS).in_test["accepted"] == 1
    with shop.store() as store:
        assert store.journey_accounts.counted(["p-anna"], EARLIER.replace(tzinfo=UTC)) == []
        day = (NOW - timedelta(days=1), NOW + timedelta(days=9))
        assert store.journey_accounts.counted_between(*day, channels=["email"]) == 0
        assert export_journeys(shop.settings, store, shop.now) == []
        click(shop, store)
        assert list(store.feedback.all_rows()) == []
        assert len(list(store.feedback.rows(NOW, shop.now + timedelta(days=1)))) == 1
    own = journey_report(shop.settings, "cart", clock=lambda: shop.now)
    assert (own.entered, own.skips, own.test) == (0, {}, report(shop).test)
    assert [(each.journey, each.state, each.sent) for each in list_journeys(shop.settings)] == [
        ("cart", "running", 0),
        (TEST, "test", 1),
    ]
    # The cap of one a day has room for what is no test, and that is counted.
    shop.event("anna", value=60)
    assert shop.run().entered == 1
    assert shop.run(hours=1).accepted == 1
    assert shop.outcome("anna") == [("sent", None)]
    with shop.store() as store:
        assert store.journey_accounts.counted_between(*day, channels=["email"]) == 1
    told = explain_messages(shop.settings, "p-anna")
    assert [(each.campaign, each.outcome) for each in told] == [
        (f"journey {TEST}", "accepted"),
        ("journey cart", "accepted"),
    ]


def try_what_is_full(shop: Shop, policies: str) -> None:
    """The journey sends what there is room for, and its test finds none."""
    shop.policies(policies)
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    assert shop.run(hours=1).accepted == 1
    begin(shop)
    tell(shop, "cart", "p-anna", value=1)
    shop.run()
    assert shop.run(seconds=SECONDS).in_test["accepted"] == 0


def test_a_cap_that_is_full_holds_for_a_test(shop: Shop) -> None:
    try_what_is_full(shop, "pressure: {default: [{name: daily, max: 1, within: 1d}]}")
    [message] = explain_test(shop.settings, "p-anna", "cart").entries[0].messages
    assert (message["reason"], message["cap"]) == ("capped", "daily")


def test_quiet_hours_delay_a_test_by_seconds(shop: Shop) -> None:
    shop.policies('quiet_hours: [{start: "21:00", end: "09:00"}]')
    shop.now = AT_NIGHT
    begin(shop)
    tell(shop, "cart", "p-anna", value=1)
    shop.run()
    assert shop.run(seconds=SECONDS).in_test["accepted"] == 0
    with shop.store() as store:
        [message] = store.journey_messages.of("p-anna", TEST)
    assert (message.is_delayed, message.not_before) == (True, shop.now + timedelta(seconds=SECONDS))
    assert shop.run(seconds=SECONDS).in_test["accepted"] == 1
    [told] = explain_test(shop.settings, "p-anna", "cart").entries[0].messages
    assert told["outcome"] == "delayed"
    way = explain_test(shop.settings, "p-anna", "cart").entries[0].moves
    assert [(move["step"], move["why"]) for move in way][-1] == ("rest", "delayed")


def test_a_capacity_without_room_delays_a_test_by_seconds(shop: Shop) -> None:
    try_what_is_full(shop, "capacities: [{name: desk, max: 1, period: day}]")
    assert shop.run(seconds=SECONDS).in_test["accepted"] == 1
    [message] = explain_test(shop.settings, "p-anna", "cart").entries[0].messages
    assert (message["outcome"], message["capacity"]) == ("delayed", "desk")


def test_an_event_by_hand_is_heard_by_the_test_alone(shop: Shop) -> None:
    shop.start()
    begin(shop)
    tell(shop, "cart", "anna@shop.example", value=1)
    done = shop.run()
    assert (done.entered, done.in_test["entered"]) == (0, 1)
    tell(shop, "order", "p-anna")
    done = shop.run()
    assert (done.ended, done.in_test["ended"]) == (0, 1)
    assert at(shop) == {"p-anna": "exit"}


@pytest.mark.parametrize(
    ("event", "person", "data", "error", "said"),
    [
        ("cart", "p-bo", {"value": 1}, UnfitTest, "none of the people"),
        ("cart", "p-anna", {}, UnfitEvent, "'value' of cart is required"),
        (None, "p-anna", {}, UnfitEvent, "'value' of cart is required"),
        ("back", None, {"product": "p"}, UnfitTest, "looks at 'cart' or 'order'"),
        ("order", None, {}, UnfitTest, "Name a person"),
        (None, None, {"value": 1}, UnfitTest, "Name a person"),
        ("cart", "nobody", {"value": 1}, PersonNotFound, "nobody"),
    ],
)
def test_what_nobody_in_a_test_would_hear_is_refused(
    shop: Shop, event: str | None, person: str | None, data: Any, error: type[Exception], said: str
) -> None:
    begin(shop)
    with pytest.raises(error, match=said):
        tell_test(shop.settings, "cart", event=event, person=person, data=data, clock=lambda: shop.now)
    with shop.store() as store:
        assert store.inbox.count() == 0


def test_what_is_no_test_is_refused(shop: Shop) -> None:
    with pytest.raises(UnfitTest, match="expected from 1s to 366d"):
        begin(shop, waits=0)
    with pytest.raises(UnfitTest, match="expected 1 to 100 people, not 101"):
        begin(shop, *["p-anna"] * 101)
    with pytest.raises(PersonNotFound):
        begin(shop, "nobody")
    for call in (end_test, report_test):
        with pytest.raises(NoJourneyTest, match="kundresa journey test begin cart"):
            call(shop.settings, "cart")
    with pytest.raises(NoJourneyTest):
        tell(shop, None, "p-anna", value=1)
    begin(shop)
    with pytest.raises(JourneyTestUnderWay):
        begin(shop)
    for stop in (lambda: stop_journey(shop.settings, TEST), lambda: pause(shop)):
        with pytest.raises(JourneyNotFound):
            stop()
    shop.journey("owner: nobody")
    with pytest.raises(SpecError):
        begin(shop)


def test_a_click_is_heard_of_as_late_as_in_a_journey_and_that_is_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUNDRESA_PROJECT", str(shop.settings.project))
    monkeypatch.setenv("KUNDRESA_HOME", str(shop.settings.home))
    begin(shop)
    tell(shop, None, "p-anna", value=1)
    shop.run()
    shop.run(seconds=SECONDS)
    shop.now = datetime.now(tz=UTC)  # the command line has no other clock
    with shop.store() as store:
        click(shop, store)
    heard_at = shop.now + KNOWN_AFTER
    assert report(shop).held_clicks == (HeldClick("p-anna", "", "mail", heard_at),)
    told = CliRunner().invoke(journey, ["test", "show", "cart"]).output
    assert f"p-anna has clicked in mail: heard at {heard_at:%Y-%m-%d %H:%M:%S}Z" in " ".join(told.split())
    shop.now = heard_at
    assert report(shop).held_clicks == ()


def merge_anna(shop: Shop) -> None:
    """Publish that Anna's profile goes by another id."""
    folder = shop.settings.published / "builds" / "20261124T050000.000000Z"
    for name, some in rows().items():
        told = [{key: "p-new" if value == "p-anna" else value for key, value in row.items()} for row in some]
        if name == "profile_redirects":
            told.append({"profile_id": "p-anna", "current_profile_id": "p-new", "redirected_at": EARLIER})
        (folder / name).mkdir(parents=True)
        schema = pa.schema(list(MARTS[name].items()))
        full = [dict.fromkeys(schema.names) | row for row in told]
        pq.write_table(pa.Table.from_pylist(full, schema), folder / name / "data_0.parquet")
    write_index(folder, ["language", "country"])
    current = {"build_id": folder.name, "published_at": NOW.isoformat()}
    (shop.settings.published / "current.json").write_text(json.dumps(current))


def test_who_is_merged_meanwhile_is_shown_as_who_they_are_now(shop: Shop) -> None:
    begin(shop, "p-anna", "p-bo")
    tell(shop, None, "p-anna", value=1)
    shop.run()
    merge_anna(shop)
    # The journey has not heard of it, and then has.
    for _ in range(2):
        assert at(shop) == {"p-new": "pause", "p-bo": None}
        assert len(report(shop).testers) == 2
        shop.event("ida", value=60)
        tell(shop, "cart", "p-new", value=1)
        shop.run()
    with shop.store() as store:
        [moved] = store.journey_positions.of(TEST, ["p-anna", "p-new"])
    assert moved.profile_id == "p-new"


def pause(shop: Shop) -> None:
    pause_journey(shop.settings, TEST, JourneyState.HELD)


def test_a_test_is_of_what_the_files_say_now_beside_the_version_that_runs(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    edited = (shop.settings.journeys / "cart" / "journey.yaml").read_text()
    shop.journey(edited.replace("duration: 1h", "duration: 3d"), **{"m.subject.j2": "Anew"})
    before = len(shop.arrived())
    begin(shop)
    tell(shop, "cart", "p-anna", value=1)
    shop.run()
    assert shop.run(seconds=SECONDS).in_test["accepted"] == 1
    assert b"Subject: Anew" in shop.arrived()[before].body
    assert shop.step("anna") == "pause"
    assert journey_report(shop.settings, "cart").version == 1


def test_a_pause_of_the_journey_does_not_hold_its_test(shop: Shop) -> None:
    shop.start()
    begin(shop)
    pause_journey(shop.settings, "cart", JourneyState.HELD, clock=lambda: shop.now)
    tell(shop, "cart", "p-anna", value=1)
    assert has_work(shop.settings, "cart", shop.now)
    done = shop.run()
    assert (done.state, done.in_test["entered"]) == (JourneyState.HELD, 1)


def test_a_run_without_a_test_tells_of_none(shop: Shop) -> None:
    shop.start()
    assert shop.run() == JourneyRun(JourneyState.RUNNING)


def test_the_command_line_tries_a_journey(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUNDRESA_PROJECT", str(shop.settings.project))
    monkeypatch.setenv("KUNDRESA_HOME", str(shop.settings.home))
    monkeypatch.setenv("KUNDRESA_SECRET", "s")
    monkeypatch.setenv("AIRFLOW_CONN_KUNDRESA_MAILS", shop.accounts["mails"])
    monkeypatch.setenv("AIRFLOW_CONN_KUNDRESA_TEXTS", shop.accounts["texts"])
    before = len(shop.arrived())

    def call(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(journey, words)
        assert done.exit_code == code, (done.output, done.exception)
        return done.output

    begun = call("test", "begin", "cart", "--person", "anna@shop.example", "--waits", "1s")
    assert f"{TEST} has begun, for 1 people; waits take 1s at most" in begun
    assert "has not entered" in call("test", "show", "cart")
    call("test", "begin", "cart", "--person", "p-anna", "--waits", "soon", code=2)
    told = call("test", "send", "cart", "--person", "p-anna", "--data", '{"value": 60}')
    assert "the test of cart hears of an entry, about p-anna" in told
    run = json.loads(call("run", "cart", "--stay", "3", "--json"))
    assert (run["state"], run["in_test"]["accepted"]) == (None, 1)
    [mail] = shop.arrived()[before:]
    assert mail.recipient == "anna@shop.example"
    assert "cart is not started" in call("run", "cart", "--stay", "2")
    shown = json.loads(call("test", "show", "cart", "--json"))
    assert (shown["testers"][0]["end_reason"], shown["longest_wait"]) == ("finished", 1)
    assert "mail: sent" in call("explain", "p-anna", "cart", "--test")
    assert TEST in call("show")
    assert f"{TEST} is over; 0 entries were inside" in call("test", "end", "cart")
    assert "ended" in call("test", "show", "cart")


def test_the_sender_runs_a_test_of_a_journey_that_was_never_started(shop: Shop) -> None:
    def deliver(looks: int = 3, *refused: str) -> list[str]:
        found: list[str] = []
        left = iter(range(looks))

        def account_of(name: str) -> Account:
            if name in refused:
                raise AccountError("refused")
            return account_from_uri(shop.accounts[name], name=name)

        send_as_asked(
            shop.settings,
            ["cart"],
            owner=f"sender {shop.now}",
            account_of=account_of,
            may_go_on=lambda: next(left, None) is not None,
            clock=lambda: shop.now,
            sleep=lambda _: None,
            started=found.extend,
        )
        return found

    with pytest.raises(JourneyNotFound):
        deliver()
    begin(shop)
    tell(shop, None, "p-anna", value=1)
    assert deliver() == [TEST]
    assert at(shop) == {"p-anna": "pause"}
    shop.now += timedelta(seconds=SECONDS)
    deliver(3, "mails")
    assert report(shop).test.failure == "AccountError: refused"
    deliver(20)
    assert at(shop) == {"p-anna": "mail"}
    shop.now += timedelta(minutes=1)
    deliver(20)
    assert at(shop) == {"p-anna": "rest"}
    assert report(shop).test.again_at is None
    end_test(shop.settings, "cart", clock=lambda: shop.now)
    with pytest.raises(JourneyNotFound):
        deliver()
