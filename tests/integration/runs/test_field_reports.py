"""What went wrong in journeys for others, from the event to the mailbox (``tests/unit/test_field_reports.py``
has the list)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.integration.runs.shop import CAPPED, JOURNEY, ONE_A_DAY, WITH_CART_ID, Shop

from kundresa.feedback.webhooks import Report
from kundresa.runs.feedback import record_reports
from kundresa.runs.journey_reports import journey_report
from kundresa.spec.policies import Policies
from kundresa.spec.vocabulary import BounceClass, FeedbackKind

SECOND_MAIL = (
    "    kind: message\n"
    "    channel: {kind: email, template: m, account: mails, sender: Shop <hello@shop.example>}\n"
)
REMINDED_TWICE = JOURNEY.replace(
    "rest: {kind: wait, duration: 1d, next: end}",
    "rest: {kind: wait, duration: 1d}\n  again:\n" + SECOND_MAIL + "    next: end",
)


@pytest.mark.parametrize(
    ("kind", "bounce_class", "reason"),
    [
        (FeedbackKind.UNSUBSCRIBED, None, "consent_denied"),
        (FeedbackKind.BOUNCED, BounceClass.HARD, "suppressed"),
        (FeedbackKind.COMPLAINED, None, "suppressed"),
        (FeedbackKind.BOUNCED, BounceClass.SOFT, None),
    ],
)
def test_who_says_no_or_bounces_while_they_wait_gets_nothing_more(
    shop: Shop,
    kind: FeedbackKind,
    bounce_class: BounceClass | None,
    reason: str | None,
) -> None:
    """Field report 12: what they do not get has one line, with its reason, and they are in no step."""
    shop.journey(REMINDED_TWICE)
    shop.start()
    before = len(shop.arrived())
    shop.event("anna", value=60)
    shop.run()
    assert shop.run(hours=1).accepted == 1
    assert shop.step("anna") == "rest"
    with shop.store() as store:
        [first] = store.journey_messages.of("p-anna", "cart")
        report = Report("1", kind, "email", message_id=first.message_id, bounce_class=bounce_class)
        record_reports(shop.settings, store, Policies(), "mails", [report], shop.now + timedelta(hours=1))
    done = shop.run(days=1)
    last = ("sent", None) if reason is None else ("not_sent", reason)
    assert (done.decided, done.accepted) == (1, int(reason is None))
    assert shop.outcome("anna") == [("sent", None), last]
    assert [each.recipient for each in shop.arrived()[before:]] == ["anna@shop.example"] * (1 + done.accepted)
    again = next(each for each in journey_report(shop.settings, "cart").steps if each.step == "again")
    assert (dict(again.messages), again.people, again.adds_up) == ({reason or "sent": 1}, 0, True)
    # Nor is anything waiting that would be tried for ever.
    assert shop.step("anna") is None
    assert (shop.run(days=30).accepted, len(shop.arrived()) - before) == (0, 1 + done.accepted)


def test_who_had_enough_today_is_tried_tomorrow_and_gets_it(capped: Shop) -> None:
    """Field report 21: the journey is told, and can ask again."""
    capped.journey(
        CAPPED.replace(
            "late: {kind: wait, duration: 1d, next: end}", "late: {kind: wait, duration: 1d, next: mail}"
        )
    )
    capped.start()
    before = len(capped.arrived())
    for cart_id, value in (("1", 60), ("2", 70)):
        capped.event("anna", value=value, cart_id=cart_id)
    capped.run()
    assert capped.run(hours=1).accepted == 1
    with capped.store() as store:
        assert {each.step for each in store.journey_positions.of("cart", ["p-anna"])} == {"rest", "late"}
    assert capped.run(hours=23, minutes=59).accepted == 0
    assert capped.run(minutes=1).accepted == 1
    assert sorted(each.subject for each in capped.arrived()[before:]) == ["Anna: 60", "Anna: 70"]
    assert sorted(reason or outcome for outcome, reason in capped.outcome("anna")) == [
        "capped",
        "sent",
        "sent",
    ]


def test_what_leaves_at_once_and_what_recurs_is_counted_and_stopped(shop: Shop) -> None:
    """Field report 23: no pause between event and message, and the event comes again and again."""
    (shop.settings.project / "dags" / "events.yaml").write_text(WITH_CART_ID)
    shop.policies(ONE_A_DAY)
    shop.journey(CAPPED.replace("  pause: {kind: wait, duration: 1h}\n", ""))
    shop.start()
    before = len(shop.arrived())
    shop.event("anna", value=1, cart_id="1")
    shop.event("anna", value=2, cart_id="2")
    assert shop.run().accepted == 1
    for number in range(3, 6):
        shop.event("anna", value=number, cart_id=str(number))
        assert shop.run(seconds=1).accepted == 0
    assert sorted(shop.outcome("anna"), key=str) == [("not_sent", "capped")] * 4 + [("sent", None)]
    # Its own cap holds for a day and no longer.
    shop.event("anna", value=6, cart_id="6")
    assert shop.run(hours=23).accepted == 0
    shop.now += timedelta(hours=1)
    shop.event("anna", value=7, cart_id="7")
    assert shop.run().accepted == 1
    assert len(shop.arrived()) == before + 2
