"""A journey from the event to the mailbox, over a small publication: what leaves, what does not and why."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import policy
from email.parser import BytesParser
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.integration.runs.shop import JOURNEY, NOW, PEOPLE, Shop, publish
from typer.testing import CliRunner

from kundresa import settings as configuration
from kundresa import warehouse
from kundresa.channels import AccountError, account_from_uri
from kundresa.cli.journey import journey
from kundresa.feedback.webhooks import Report
from kundresa.journeys import walking
from kundresa.journeys.outgoing import message_of
from kundresa.runs.feedback import record_reports
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.journey_reports import explain_journey, journey_report, list_journeys
from kundresa.runs.journey_rounds import JourneyRun
from kundresa.runs.journeys import forget_ended, has_work, pause_journey, run_journey, stop_journey
from kundresa.runs.messages import find_message
from kundresa.runs.mirror import render_mirror
from kundresa.spec.buckets import bucket
from kundresa.spec.policies import Policies
from kundresa.spec.vocabulary import FeedbackKind, JourneyState
from kundresa.store import JourneyNotFound, JourneyStopped
from kundresa.warehouse.exports import journey_day_path


def test_everybody_gets_what_they_may_get_and_the_others_a_reason(shop: Shop) -> None:
    before = len(shop.arrived())
    shop.start()
    for who in PEOPLE:
        shop.event(who, value=60)
    done = shop.run()
    assert (done.entered, done.accepted, done.next_at) == (4, 0, NOW + timedelta(hours=1))
    assert not has_work(shop.settings, "cart", shop.now)
    done = shop.run(hours=1)
    assert (done.decided, done.accepted) == (5, 2)
    new = shop.arrived()[before:]
    assert sorted((each.channel, each.recipient) for each in new) == [
        ("email", "anna@shop.example"),
        ("sms", "+46701234567"),
    ]
    mail = BytesParser(policy=policy.default).parsebytes(new[0].body)
    assert mail["Subject"] == "Anna: 60"
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "none" in html
    assert "2 January 2026" in html
    assert b"60" in next(each.body for each in new if each.channel == "sms")
    assert {who: shop.outcome(who) for who in PEOPLE} == {
        "anna": [("sent", None)],
        "bo": [("not_sent", "consent_denied")],
        "eva": [("not_sent", "contact_point_missing"), ("sent", None)],
        "ida": [("not_sent", "consent_unknown")],
    }
    assert {who: shop.step(who) for who in PEOPLE} == {
        "anna": "rest",
        "bo": "refused",
        "eva": "rest",
        "ida": "refused",
    }
    assert shop.run().accepted == 0
    assert len(shop.arrived()) == before + 2


def test_a_message_can_be_found_and_shown_again_long_after(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60, note="red shoes")
    shop.run()
    shop.run(hours=1)
    with shop.store() as store:
        [message] = store.journey_messages.of("p-anna", "cart")
        found = find_message(shop.settings, store, message.message_id)
        assert found is not None
        assert found["address"] == "anna@shop.example"
        page = render_mirror(shop.settings, store, message.message_id)
    assert (page.subject, "red shoes" in page.html) == ("Anna: 60", True)
    told = explain_journey(shop.settings, "anna@shop.example", "cart")
    assert [(move["step"], move["why"]) for move in told.entries[0].moves] == [
        ("pause", "entered"),
        ("mail", "waited"),
        ("rest", "sent"),
    ]
    [line] = told.entries[0].messages
    assert (line["outcome"], line["delivery"]["state"]) == ("sent", "accepted")
    assert "anna@" not in str(line["address"])
    report = journey_report(shop.settings, "cart")
    assert {each.step: each.people for each in report.steps if each.people} == {"rest": 1}
    assert next(each.messages for each in report.steps if each.step == "mail") == {"sent": 1}
    assert [(each.journey, each.state) for each in list_journeys(shop.settings)] == [("cart", "running")]


def test_feedback_about_a_journeys_message_is_about_its_line_of_the_account(shop: Shop) -> None:
    shop.start()
    shop.event("eva", value=60)
    shop.run()
    shop.run(hours=1)
    with shop.store() as store:
        sent = list(store.journey_messages.of("p-eva", "cart"))[1]
        provider_id = store.ledger.lines([sent.message_id])[sent.message_id].provider_id
        report = Report("1", FeedbackKind.DELIVERED, "sms", provider_id=provider_id or "")
        record_reports(shop.settings, store, Policies(), "gateway", [report], shop.now)
        [row] = store.feedback.all_rows()
        told = (row["message_id"], row["profile_id"], row["kind"])
        assert told == (sent.message_id, "p-eva", "delivered")
        # To the second: what is on its way now is exported as reserved, what was sent as sent.
        export_journeys(shop.settings, store, shop.now)
    [day] = warehouse.journey_days_due(shop.settings)
    lines = pq.read_table(journey_day_path(shop.settings, day)).to_pylist()
    told = {each["step"]: (each["verdict"], each["reason"], each["is_counted"]) for each in lines}
    assert told == {
        "mail": ("exclude", "contact_point_missing", False),
        "text": ("send", None, True),
    }
    [text] = [each for each in lines if each["step"] == "text"]
    assert (text["message_id"], text["message_state"], text["topic"]) == (
        sent.message_id,
        "accepted",
        "offers",
    )


def test_what_a_stopped_journey_did_not_send_is_free_again(shop: Shop) -> None:
    shop.accounts["mails"] = "smtp://127.0.0.1:9"  # nobody listens: the message waits for a retry
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    shop.run(hours=1)
    with shop.store() as store:
        assert len(store.journey_accounts.counted(["p-anna"], NOW)) == 1
    stop_journey(shop.settings, "cart", clock=lambda: shop.now)
    with shop.store() as store:
        assert store.journey_accounts.counted(["p-anna"], NOW) == []
    assert shop.outcome("anna") == [("not_sent", "run_cancelled")]


def test_an_opt_out_and_a_suppression_hold_at_once(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    with shop.store() as store:
        store.opt_outs.record(
            channel="email",
            address="anna@shop.example",
            source="page",
            recorded_at=shop.now + timedelta(minutes=59),
        )
        store.suppressions.add(
            channel="sms", address="+46701234567", reason="manual", source="cli", recorded_at=shop.now
        )
    shop.event("eva", value=1)
    shop.run(minutes=1)
    shop.run(hours=1)
    assert shop.outcome("anna") == [("not_sent", "consent_denied")]
    assert shop.outcome("eva")[1] == ("not_sent", "suppressed")


def test_quiet_hours_delay_a_message_and_an_order_meanwhile_cancels_it(shop: Shop) -> None:
    shop.policies('quiet_hours: [{start: "13:30", end: "15:00"}]')
    shop.journey(
        JOURNEY.replace("next: rest", "next: rest\n    valid_for: 3h")
        .replace("on: {", "on: {delayed: late, ")
        .replace("  refused:", "  late: {kind: wait, duration: 1d, next: end}\n  refused:")
    )
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    done = shop.run(hours=1)
    assert (done.decided, done.accepted) == (1, 0)
    assert done.next_at == datetime(2026, 11, 23, 14, tzinfo=UTC)
    assert shop.run(minutes=59).accepted == 0
    assert shop.run(minutes=1).accepted == 1
    assert shop.outcome("anna") == [("delayed", None)]
    assert shop.step("anna") == "late"


def test_who_orders_while_a_message_waits_does_not_get_it(shop: Shop) -> None:
    shop.policies('quiet_hours: [{start: "13:30", end: "15:00"}]')
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    shop.run(hours=1)
    shop.event("anna", "order")
    shop.run(minutes=30)
    assert shop.run(hours=1).accepted == 0
    assert shop.outcome("anna") == [("not_sent", "run_cancelled")]


def test_what_is_sent_after_an_experiment_carries_its_variant_into_the_ledger(shop: Shop) -> None:
    arms = "variants: [{name: plain, go: pause}, {name: gift, go: pause}]"
    shop.journey(JOURNEY.replace("steps:\n", f"steps:\n  try: {{kind: experiment, {arms}}}\n"))
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    shop.run(hours=1)
    expected = "plain" if bucket("experiment|journey cart|try", "p-anna") < 5000 else "gift"
    with shop.store() as store:
        [sent] = store.journey_messages.of("p-anna", "cart")
        assert store.ledger.lines([sent.message_id])[sent.message_id].variant == sent.variant == expected
        export_journeys(shop.settings, store, shop.now)
    [day] = warehouse.journey_days_due(shop.settings)
    [line] = pq.read_table(journey_day_path(shop.settings, day)).to_pylist()
    assert line["variant"] == expected


def test_a_pause_holds_people_and_messages_until_it_goes_on(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    pause_journey(shop.settings, "cart", JourneyState.HELD, clock=lambda: shop.now)
    assert shop.run(hours=1).state is JourneyState.HELD
    assert not has_work(shop.settings, "cart", shop.now)
    shop.start()
    assert has_work(shop.settings, "cart", shop.now)
    assert shop.run().accepted == 1


def test_stopped_for_good(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    assert stop_journey(shop.settings, "cart", clock=lambda: shop.now) == 1
    assert shop.run(hours=1).accepted == 0
    with pytest.raises(JourneyStopped):
        shop.start()
    with pytest.raises(JourneyNotFound):
        stop_journey(shop.settings, "other", clock=lambda: shop.now)


def test_an_account_that_refuses_holds_nobody_else_up(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    shop.event("eva", value=60)
    shop.run()
    shop.accounts["mails"] = "nothing://127.0.0.1"
    with pytest.raises(AccountError):
        shop.run(hours=1)
    assert shop.outcome("eva")[1] == ("sent", None)
    shop.accounts["mails"] = shop.sandbox.ports.smtp_uri
    assert shop.run().accepted == 1
    assert shop.outcome("anna") == [("sent", None)]


def test_an_edit_is_for_who_enters_after_it(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    shop.journey(**{"m.subject.j2": "New: {{ event.value }}"})
    shop.start()
    shop.start()
    before = len(shop.arrived())
    shop.run(hours=1)
    assert shop.arrived()[before:][0].subject == "Anna: 60"
    assert journey_report(shop.settings, "cart").version == 2


def test_a_merged_profile_is_found_under_its_new_id(shop: Shop) -> None:
    with warehouse.PublishedPeople(shop.settings) as people:
        found = people.facts(["p-old", "p-anna", "p-none"], ["first_name", "trait_of_a_journey"])
        assert {key: (each.profile["first_name"], each.segments) for key, each in found.items()} == {
            "p-old": ("Anna", {"vip"}),
            "p-anna": ("Anna", {"vip"}),
        }
    index = warehouse.PeopleIndex(shop.settings)
    asked = {
        ("email", "anna@shop.example"),
        ("email", "x@x"),
        ("profile_id", "p-old"),
        ("profile_id", "p-none"),
    }
    assert index.resolve(asked) == {
        ("email", "anna@shop.example"): "p-anna",
        ("profile_id", "p-old"): "p-anna",
    }
    assert index.merged(["p-anna", "p-none"]) == {"p-old": "p-anna"}
    assert index.merged(["p-old"]) == index.merged(["p-old", "p-anna"]) == {"p-old": "p-anna"}
    assert index.merged(["p-bo", "p-none"]) == {}


def test_nothing_is_taken_for_a_stranger_before_anything_is_published(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    (shop.settings.published / "current.json").unlink()
    with pytest.raises(warehouse.NothingPublished):
        shop.run()
    publish(replace(shop.settings, home=shop.settings.home / "again"))
    (shop.settings.published / "current.json").write_text(
        json.dumps({"build_id": "20261123T040000.000000Z", "published_at": NOW.isoformat()})
    )
    assert shop.run().entered == 1


def test_a_run_that_stays_does_what_comes_meanwhile_and_ends_in_time(shop: Shop) -> None:
    shop.start()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        shop.now += timedelta(seconds=600)
        if len(slept) == 1:
            shop.event("anna", value=60)

    def run(stay: timedelta, idle: timedelta | None = None) -> JourneyRun:
        return run_journey(
            shop.settings,
            "cart",
            owner=f"stays {shop.now}",
            account_of=lambda name: account_from_uri(shop.accounts[name], name=name),
            clock=lambda: shop.now,
            stay=stay,
            idle=idle,
            sleep=sleep,
        )

    assert run(timedelta(hours=2)).accepted == 1
    assert shop.now >= NOW + timedelta(hours=2)
    assert len(slept) == 12
    assert run(timedelta(hours=9), timedelta(minutes=30)).accepted == 0
    assert len(slept) == 12 + 3


@pytest.mark.parametrize(
    ("reentrance", "is_stopped", "removed"),
    [("never", False, 0), ("never", True, 1), ("always", False, 1), ("30d", False, 1), ("60d", False, 0)],
)
def test_nobody_is_forgotten_whom_a_rule_of_reentrance_remembers(
    shop: Shop, reentrance: str, is_stopped: bool, removed: int
) -> None:
    shop.journey(JOURNEY.replace("topic:", f"reentrance: {reentrance}\ntopic:"))
    shop.start()
    shop.event("anna", value=60)
    shop.event("anna", "order")
    shop.run()
    if is_stopped:
        stop_journey(shop.settings, "cart", clock=lambda: shop.now)
    now = NOW + timedelta(days=40)
    with shop.store() as store:
        assert forget_ended(store, now - timedelta(days=20), now) == removed


def test_who_is_set_aside_is_told_of_and_the_others_get_their_message(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(trail: Any, *rest: Any) -> Any:
        if trail.event["value"] == 61:
            raise ZeroDivisionError
        return message_of(trail, *rest)

    monkeypatch.setattr(walking, "message_of", broken)
    shop.journey(JOURNEY)
    shop.start()
    shop.event("anna", value=60)
    shop.event("bo", value=61)
    shop.run()
    shop.run(hours=1)
    monkeypatch.setattr(configuration, "load", lambda: shop.settings)
    told = CliRunner().invoke(journey, ["show", "cart"], env={"COLUMNS": "200"})
    assert told.exit_code == 0, told.output
    assert "2 entered = 2 inside + 0 left" in told.output
    assert "set aside: 1; the log names whom" in told.output
    assert shop.step("bo") == "pause"
