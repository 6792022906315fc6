"""Cost, and how long messages take to leave."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kundresa.runs.estimating import Rate, estimate_cost, estimate_durations, within_pace
from kundresa.runs.waterfall import Waterfall
from kundresa.spec.campaign import Campaign
from kundresa.spec.costs import Costs
from kundresa.warehouse import SendHour

NOON = datetime(2026, 11, 23, 12, 40, tzinfo=UTC)
HOUR = timedelta(hours=1)
COSTS = Costs.model_validate({"currency": "EUR", "per_message": {"email": 0.0005, "sms": 0.04}})
SPEC = Campaign.model_validate(
    {
        "name": "sale",
        "owner": "crm",
        "description": "A sale.",
        "schedule": "manual",
        "audience": {"include": ["everybody"]},
        "topic": "updates",
        "channels": [
            {"kind": "email", "template": "t", "account": "a", "sender": "Shop <a@shop.example>"},
            {"kind": "sms", "template": "t", "account": "b", "sender": "Shop"},
        ],
        "quality": {"rows": {"min": 0, "max": 10}},
    }
)


def part(channel, send):
    return Waterfall(channel, send, (), send, {}, {})


def test_the_cost_is_that_of_what_is_sent():
    cost = estimate_cost(COSTS, [part("email", 12_345), part("sms", 3)])
    assert cost.channels == {"email": 6.1725, "sms": 0.12}
    assert (cost.total, cost.currency, cost.unknown) == (6.2925, "EUR", ())


def test_a_channel_without_a_price_is_unknown_and_not_free():
    emails = Costs.model_validate({"currency": "EUR", "per_message": {"email": 0.001}})
    cost = estimate_cost(emails, [part("email", 10), part("sms", 3)])
    assert (cost.total, cost.unknown) == (0.01, ("sms",))
    assert estimate_cost(None, [part("email", 10)]).total is None
    assert estimate_cost(None, [part("email", 10)]).unknown == ("email",)
    assert estimate_cost(COSTS, [part("sms", 0)]).total == 0


@pytest.mark.parametrize(
    ("hours", "seconds", "ends_after"),
    [
        ([(0, 600)], 60, 60),  # at once: not before now, though the hour began earlier
        ([(0, 600), (1, 600)], 120, 20 * 60 + 60),  # idle until one o'clock
        ([(0, 36_000), (1, 600)], 3_660, 3_660),  # what is due at one waits for what was due at noon
    ],
)
def test_each_hour_waits_for_its_time_and_for_the_one_before(hours, seconds, ends_after):
    first = NOON.replace(minute=0)
    due = [SendHour("email", first + hour * HOUR, messages, first + hour * HOUR) for hour, messages in hours]
    [found] = estimate_durations(SPEC, due, {"email": Rate(10.0, "seen")}, planned_at=NOON)
    assert (found.seconds, found.ends_at) == (seconds, NOON + timedelta(seconds=ends_after))
    assert (found.starts_at, found.basis) == (NOON, "seen")


def test_without_an_earlier_run_it_is_unknown():
    due = [SendHour("email", NOON, 5, NOON), SendHour("sms", NOON, 2, NOON)]
    found = estimate_durations(SPEC, due, {"email": None}, planned_at=NOON)
    assert [(each.channel, each.rate, each.seconds, each.ends_at) for each in found] == [
        ("email", None, None, None),
        ("sms", None, None, None),
    ]
    assert all(each.basis.startswith("unknown") for each in found)


def test_nobody_is_faster_than_the_pace_of_the_account():
    seen = Rate(40.0, "seen")
    assert within_pace(seen, "newsletter", None) == within_pace(seen, "newsletter", 40.0) == seen
    assert within_pace(None, "newsletter", None) is None
    for rate in (seen, None):
        slower = within_pace(rate, "newsletter", 5.0)
        assert slower is not None
        assert (slower.per_second, "the pace of the account newsletter" in slower.basis) == (5.0, True)
