"""The rules for a journey's message, each at its boundary, and the row that is kept of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from kundresa.runs.journey_rows import read_row, row_of, row_text
from kundresa.runs.journey_rules import MessageRules
from kundresa.spec.journey_steps import MessageStep
from kundresa.spec.policies import Policies
from kundresa.store import JourneyMessage, LatestAnswers
from kundresa.warehouse import Recipient

NOW = datetime(2026, 11, 23, 21, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOBODY = LatestAnswers({}, {}, {})
ANNA = Recipient(
    {"country": "SE", "time_zone": "Europe/Stockholm"}, "anna@shop.example", True, NOW - HOUR, None
)
MESSAGE = JourneyMessage(
    message_id="m",
    version=1,
    step="say",
    profile_id="p-anna",
    instance_key="",
    entry=1,
    move=1,
    reached_at=NOW,
    valid_until=NOW + 12 * HOUR,
    channel="email",
    run_key="r",
    event_json="{}",
    journey="cart",
    state="open",
    not_before=NOW,
    is_delayed=False,
    batch_number=None,
    row_json=None,
    outcome=None,
    reason=None,
    settled_at=None,
    topic="offers",
    variant="ten",
    send_at=None,
    cap=None,
    sender_domain=None,
    address_domain=None,
    capacity=None,
)
NIGHT = {"quiet_hours": [{"start": "21:00", "end": "08:00"}]}


def decide(
    *,
    policies=None,
    recipient=ANNA,
    message=MESSAGE,
    suppressed=None,
    answers=NOBODY,
    quiet="delay",
    now=NOW,
    topic="offers",
):
    step = MessageStep.model_validate(
        {
            "kind": "message",
            "channel": {"kind": "email", "template": "a", "account": "b", "sender": "a@shop.example"},
            "quiet_hours": quiet,
        }
    )
    rules = MessageRules(step, topic, Policies.model_validate(policies or {}), now=now)
    return rules.decide(message, recipient, suppressed=suppressed or {}, answers=answers)


def test_who_said_yes_and_has_an_address_gets_it():
    assert decide().is_send


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"recipient": None}, "contact_point_missing"),
        ({"recipient": replace(ANNA, address=None)}, "contact_point_missing"),
        ({"recipient": replace(ANNA, is_address_valid=False)}, "address_invalid"),
        ({"suppressed": {"anna@shop.example": "hard_bounce"}}, "suppressed"),
        ({"policies": {"allow_list": []}}, "not_on_allow_list"),
        ({"policies": {"allow_list": ["@other.example"]}}, "not_on_allow_list"),
        ({"policies": {"allow_list": ["@shop.example"]}}, None),
        ({"recipient": replace(ANNA, granted_at=None)}, "consent_unknown"),
        ({"recipient": replace(ANNA, denied_at=NOW - HOUR)}, "consent_denied"),
        ({"recipient": replace(ANNA, denied_at=NOW - 2 * HOUR)}, None),
        ({"answers": LatestAnswers({}, {"p-anna": NOW}, {})}, "consent_denied"),
        ({"answers": LatestAnswers({}, {}, {"anna@shop.example": NOW})}, "consent_denied"),
        ({"answers": LatestAnswers({"p-anna": NOW}, {"p-anna": NOW - HOUR}, {})}, None),
        ({"now": NOW + 12 * HOUR}, None),
        ({"now": NOW + 12 * HOUR + timedelta(seconds=1)}, "run_expired"),
    ],
)
def test_each_rule_at_its_boundary(change, reason):
    decided = decide(**change)
    assert decided.reason == reason
    assert decided.is_send is (reason is None)


def test_what_a_topic_needs():
    unknown = replace(ANNA, granted_at=None)
    softer = {"topics": {"offers": {"consent": "not_no", "because": "they are customers"}}}
    exempt = {"topics": {"offers": {"consent": "exempt", "because": "they ordered"}}, **NIGHT}
    assert decide(recipient=unknown, policies=softer).is_send
    assert decide(recipient=unknown, policies=exempt).is_send
    assert decide(recipient=replace(unknown, denied_at=NOW), policies=exempt).reason == "consent_denied"


def test_in_quiet_hours_it_is_delayed_or_skipped():
    assert decide(policies=NIGHT).again_at == datetime(2026, 11, 24, 7, tzinfo=UTC)
    assert decide(policies=NIGHT, quiet="skip").reason == "out_of_hours"
    assert decide(policies=NIGHT, now=NOW - 2 * HOUR).is_send
    assert decide(policies=NIGHT, message=replace(MESSAGE, valid_until=NOW + HOUR)).reason == "run_expired"
    nowhere = replace(ANNA, profile={"country": "SE", "time_zone": None})
    assert decide(policies=NIGHT, recipient=nowhere).reason == "time_zone_unknown"
    elsewhere = {"quiet_hours": [{"start": "21:00", "end": "08:00", "countries": ["NO"]}]}
    assert decide(policies=elsewhere).is_send


def test_some_are_held_out_of_everything_but_what_they_ordered():
    held = {"global_holdout": {"percent": 50}}
    found = [decide(policies=held, message=replace(MESSAGE, profile_id=f"p{each}")) for each in range(200)]
    assert 70 <= sum(each.reason == "global_holdout" for each in found) <= 130
    held["topics"] = {"offers": {"consent": "exempt", "because": "they ordered"}}
    assert all(
        decide(policies=held, message=replace(MESSAGE, profile_id=f"p{each}")).is_send for each in range(20)
    )


def test_a_row_comes_back_as_it_was():
    profile = {"since": date(2026, 1, 2), "at": NOW, "spend": Decimal("1.50"), "name": "Ä", "none": None}
    row = row_of(MESSAGE, replace(ANNA, profile=profile), {"value": 60, "items": ["a"]})
    assert read_row(row_text(row)) == row
    with pytest.raises(TypeError, match="bytes"):
        row_text({"x": b""})
