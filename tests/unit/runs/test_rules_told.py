"""What each rule looked at, in words and in values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kundresa.runs.rules_told import Facts, RuleResult, local_time, tell_rules
from kundresa.spec.campaign import Campaign
from kundresa.spec.policies import Policies
from kundresa.spec.vocabulary import Consent, DecisionReason

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DECISION: dict[str, Any] = {
    "channel": "email",
    "address": "anna@shop.example",
    "failed_rules": "",
    "entity_id": "",
    "excluded_by_segment": None,
    "already_sent_at": None,
    "sample_bucket": None,
    "suppression_reason": None,
    "consent_status": "yes",
    "time_zone": None,
    "cap": None,
    "cap_messages": None,
    "outranked_by": None,
    "priority": 50.0,
    "size_rank": None,
    "capacity": None,
    "capacity_rank": None,
    "budget_spent": None,
    "global_holdout_bucket": 17,
    "holdout_bucket": 18,
    "send_at": NOW,
}
EMAIL = {"kind": "email", "template": "t", "account": "a", "sender": "Shop <a@shop.example>"}
SMS = {"kind": "sms", "template": "t", "account": "a", "sender": "Shop"}
WAITED = "had no place when it was reached: it leaves in the first period that has one"
WARM_UP = {"warm_ups": [{"domain": "new.example", "start": "2026-01-01", "steps": [{"days": 1, "max": 5}]}]}
CAPS = {"pressure": {"default": [{"name": "weekly", "max": 3, "within": "7d"}]}}


def rules(
    decision: dict[str, Any] | None = None,
    *,
    spec: dict[str, Any] | None = None,
    policies: dict[str, Any] | None = None,
    **facts: Any,
) -> dict[str, RuleResult]:
    """Rule → what is told of it."""
    audience = {"include": ["everybody"], **(spec or {}).pop("audience", {})}
    campaign = Campaign.model_validate(
        {
            "name": "sale",
            "owner": "crm",
            "description": "A sale.",
            "schedule": "manual",
            "audience": audience,
            "topic": "updates",
            "channels": [EMAIL],
            "quality": {"rows": {"min": 0, "max": 10}},
            **(spec or {}),
        }
    )
    values = {"consent": Consent.YES, "decided_at": NOW, "valid_until": NOW + timedelta(days=1), **facts}
    told = tell_rules(
        {**DECISION, **(decision or {})},
        Facts(spec=campaign, policies=Policies.model_validate(policies or {}), **values),
    )
    return {each.rule: each for each in told}


def told(*words: Any, **options: Any) -> tuple[str, str]:
    rule, decision = words
    found = rules(decision, **options)[rule]
    return str(found.result), found.value


def test_every_rule_is_told_in_its_order_and_one_is_the_reason():
    found = rules({"failed_rules": "suppressed,holdout", "suppression_reason": "complaint"})
    assert list(found) == [str(reason) for reason in DecisionReason]
    assert [rule for rule, each in found.items() if each.decided] == ["suppressed"]
    assert [rule for rule, each in found.items() if each.result == "failed"] == ["suppressed", "holdout"]


def test_what_nobody_asked_is_not_called_passed():
    assert {rule for rule, each in rules().items() if each.result == "not_asked"} == {
        "in_excluded_segment",
        "already_sent",
        "not_in_sample",
        "not_on_allow_list",
        "time_zone_unknown",
        "out_of_hours",
        "another_entity_chosen",
        "another_channel_chosen",
        "capped",
        "outranked",
        "over_max_size",
        "over_warm_up",
        "over_capacity",
        "over_budget",
        "global_holdout",
        "holdout",
    }


@pytest.mark.parametrize("rule", list(DecisionReason))
def test_what_failed_is_told_as_failed_whatever_policies_and_spec_say_now(rule):
    found = rules({"failed_rules": rule.value})
    assert found[rule].result == "failed"
    assert found[rule].decided


@pytest.mark.parametrize(
    ("decision", "options", "rule", "expected"),
    [
        (
            {"excluded_by_segment": "recent", "failed_rules": "in_excluded_segment"},
            {
                "spec": {"audience": {"exclude": ["recent"]}},
                "memberships": [{"segment": "recent", "entered_at": NOW - timedelta(days=2)}],
            },
            "in_excluded_segment",
            ("failed", "in recent since 2026-11-21 12:00Z"),
        ),
        (
            {},
            {"spec": {"audience": {"exclude": ["recent", "cross"]}}},
            "in_excluded_segment",
            ("passed", "in none of recent, cross"),
        ),
        (
            {"already_sent_at": NOW, "failed_rules": "already_sent"},
            {"spec": {"audience": {"again": "30d"}}},
            "already_sent",
            ("failed", "the last one is of 2026-11-23 12:00Z"),
        ),
        (
            {"sample_bucket": 1250, "failed_rules": "not_in_sample"},
            {"spec": {"audience": {"sample": 12.5}}},
            "not_in_sample",
            ("failed", "bucket 1250 of 10,000, in the sample below 1250"),
        ),
        ({}, {}, "contact_point_missing", ("passed", "email address a…@shop.example")),
        (
            {"address": None, "failed_rules": "contact_point_missing"},
            {},
            "contact_point_missing",
            ("failed", "email address missing"),
        ),
        (
            {"failed_rules": "address_invalid"},
            {"invalid_reason": "no domain"},
            "address_invalid",
            ("failed", "a…@shop.example: no domain"),
        ),
        ({"address": None}, {}, "suppressed", ("not_asked", "no address")),
        (
            {"suppression_reason": "complaint", "failed_rules": "suppressed"},
            {"suppressions": [{"reason": "complaint", "source": "feedback", "recorded_at": NOW}]},
            "suppressed",
            ("failed", "complaint, from feedback, 2026-11-23 12:00Z"),
        ),
        (
            {"consent_status": "no", "failed_rules": "consent_denied"},
            {
                "answers": [
                    {"status": "no", "topic": "*", "source": "preferences", "recorded_at": NOW},
                    {"status": "yes", "topic": "updates", "source": "crm", "recorded_at": NOW},
                ]
            },
            "consent_denied",
            (
                "failed",
                "consent for email × updates: no to every topic, from preferences, 2026-11-23 12:00Z",
            ),
        ),
        (
            {"consent_status": "unknown"},
            {"consent": Consent.NOT_NO},
            "consent_unknown",
            ("not_asked", "consent for email × updates: unknown; this topic needs none"),
        ),
        (
            {"consent_status": "unknown", "failed_rules": "consent_unknown"},
            {},
            "consent_unknown",
            ("failed", "consent for email × updates: unknown"),
        ),
        (
            {"failed_rules": "time_zone_unknown"},
            {"spec": {"send_time": {"at": "09:00"}}},
            "time_zone_unknown",
            ("failed", "unknown, for which the campaign says exclude"),
        ),
        (
            {"time_zone": "Asia/Tokyo"},
            {"spec": {"send_time": {"at": "21:00"}}},
            "out_of_hours",
            ("passed", "may leave from 2026-11-23 12:00Z on, Mon 21:00 in Asia/Tokyo"),
        ),
        (
            {},
            {"spec": {"send_time": {"at": "21:00", "unknown_time_zone": "Europe/Paris"}}},
            "out_of_hours",
            ("passed", "may leave from 2026-11-23 12:00Z on, Mon 13:00 in Europe/Paris"),
        ),
        (
            {"failed_rules": "out_of_hours"},
            {},
            "out_of_hours",
            ("failed", "no permitted time until 2026-11-24 12:00Z"),
        ),
        (
            {"entity_id": "o-1"},
            {"spec": {"audience": {"one_per": "person"}}},
            "another_entity_chosen",
            ("passed", "one message per person"),
        ),
        (
            {"failed_rules": "duplicate_address"},
            {"others_at_address": ["p-1"]},
            "duplicate_address",
            ("failed", "one message per address, p-1 has the same"),
        ),
        (
            {"failed_rules": "another_channel_chosen"},
            {"spec": {"channels": [SMS, EMAIL]}, "chosen_channels": ["sms"]},
            "another_channel_chosen",
            ("failed", "first_possible of sms, email: sms"),
        ),
        ({}, {"policies": CAPS}, "capped", ("passed", "no cap is reached")),
        (
            {"cap": "weekly", "cap_messages": 3, "failed_rules": "capped"},
            {"policies": CAPS},
            "capped",
            ("failed", "cap weekly is full: 3 of 3 messages count"),
        ),
        (
            {"cap": "gone", "cap_messages": 1, "failed_rules": "capped"},
            {"policies": CAPS},
            "capped",
            ("failed", "cap gone is full: 1 message counts"),
        ),
        (
            {
                "cap": "weekly",
                "cap_messages": 3,
                "outranked_by": "news--1",
                "priority": 62.5,
                "failed_rules": "outranked",
            },
            {"policies": CAPS},
            "outranked",
            (
                "failed",
                "news--1 took the last place: cap weekly is full: 3 of 3 messages count, priority 62.5",
            ),
        ),
        (
            {"cap": "weekly", "cap_messages": 3, "outranked_by": "news--20261125T090000Z"},
            {"policies": CAPS},
            "outranked",
            (
                "passed",
                (
                    "news--20261125T090000Z is planned, and goes first: "
                    "cap weekly is full: 3 of 3 messages count, priority 50"
                ),
            ),
        ),
        (
            {"cap": "weekly", "cap_messages": 3, "outranked_by": "news--1", "failed_rules": "outranked"},
            {"policies": CAPS},
            "capped",
            ("passed", "earlier messages leave room"),
        ),
        (
            {"priority": None},
            {"policies": CAPS},
            "outranked",
            ("passed", "nobody went first, no priority"),
        ),
        (
            {"size_rank": 1001, "failed_rules": "capped,over_max_size"},
            {"spec": {"audience": {"max_size": {"messages": 1000, "score": "value"}}}},
            "over_max_size",
            ("failed", "place 1,001 by value, 1,000 at most"),
        ),
        (
            {"capacity": "call_centre", "capacity_rank": 501, "failed_rules": "over_capacity"},
            {},
            "over_capacity",
            ("failed", "place 501 of call_centre is one that it has not"),
        ),
        (
            {
                "capacity": "new.example/google",
                "capacity_rank": 501,
                "failed_rules": "over_warm_up,over_capacity",
            },
            {},
            "over_warm_up",
            ("failed", "place 501 of new.example/google is more than that day of the warm-up has"),
        ),
        (
            {
                "capacity": "new.example/google",
                "capacity_rank": 501,
                "failed_rules": "over_warm_up,over_capacity",
            },
            {},
            "over_capacity",
            ("failed", "used up as well; the record names the warm-up, which is asked first"),
        ),
        (
            {},
            {"policies": WARM_UP},
            "over_warm_up",
            ("passed", "that day's messages of its sending domain are not used up"),
        ),
        (
            {},
            {"policies": {"capacities": [{"name": "desk", "max": 5, "period": "day"}]}},
            "over_capacity",
            ("passed", "no capacity is used up"),
        ),
        (
            {"capacity": "desk"},
            {},
            "over_capacity",
            ("passed", f"desk {WAITED}"),
        ),
        (
            {"capacity": "new.example/google"},
            {},
            "over_warm_up",
            ("passed", f"new.example/google {WAITED}"),
        ),
        (
            {"capacity": "new.example/google"},
            {"policies": {"capacities": [{"name": "desk", "max": 5, "period": "day"}]}},
            "over_capacity",
            ("passed", "no capacity is used up"),
        ),
        (
            {"capacity": "desk", "failed_rules": "over_capacity"},
            {},
            "over_capacity",
            ("failed", "desk has no place at a time at which it might leave"),
        ),
        (
            {"capacity": "new.example/google", "failed_rules": "over_warm_up"},
            {},
            "over_warm_up",
            ("failed", "new.example/google has no place on a day on which it might leave"),
        ),
        (
            {"budget_spent": 100.04, "failed_rules": "over_budget"},
            {"spec": {"budget": {"amount": 100, "per": "month"}}},
            "over_budget",
            ("failed", "100.04 of 100.00 per month with this message"),
        ),
        ({"global_holdout_bucket": None}, {}, "global_holdout", ("not_asked", "not asked")),
        (
            {},
            {"policies": {"global_holdout": {"percent": 1}}},
            "global_holdout",
            ("passed", "bucket 17 of 10,000, held out below 100 by today's policies"),
        ),
        (
            {"failed_rules": "holdout"},
            {"spec": {"holdout": {"percent": 0.19}}},
            "holdout",
            ("failed", "bucket 18 of 10,000, held out below 19"),
        ),
    ],
)
def test_what_a_rule_looked_at(decision, options, rule, expected):
    assert told(rule, decision, **options) == expected


def test_an_exempt_topic_has_no_caps_no_quiet_hours_and_no_global_holdout():
    policies = {
        **CAPS,
        "quiet_hours": [{"start": "21:00", "end": "08:00"}],
        "global_holdout": {"percent": 5},
        "topics": {"updates": {"consent": "exempt", "because": "It is part of the order."}},
    }
    found = rules(policies=policies, consent=Consent.EXEMPT)
    asked = {rule for rule, each in found.items() if each.result != "not_asked"}
    assert not asked & {"capped", "outranked", "out_of_hours", "time_zone_unknown", "global_holdout"}
    for_offers = rules(policies={**policies, "topics": {}})
    assert for_offers["capped"].result == for_offers["out_of_hours"].result == "passed"


def test_no_whole_address_is_in_the_values():
    for each in rules({"failed_rules": "address_invalid,suppressed"}).values():
        assert "anna@" not in f"{each.value}{dict(each.values)}"


def test_the_values_are_those_that_decided():
    found = rules({"holdout_bucket": 123}, spec={"holdout": {"percent": 5}})
    assert dict(found["holdout"].values) == {"bucket": 123, "held_out_below": 500, "percent": 5}
    timed = rules({"time_zone": "Europe/Stockholm"}, spec={"send_time": {"at": "13:00"}})
    assert timed["out_of_hours"].values["send_at_local"] == "2026-11-23T13:00+01:00"


@pytest.mark.parametrize("zone", [None, "", "no/zone", "../../etc/passwd", "CET+1"])
def test_an_unknown_zone_has_no_local_time(zone):
    assert local_time(NOW, zone) is None
