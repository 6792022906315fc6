"""What each rule looked at, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kundresa.runs.explaining import _rules
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import freeze
from kundresa.spec.vocabulary import DecisionReason, RunState, Trigger
from kundresa.store import Run

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DECISION: dict[str, Any] = {
    "channel": "email",
    "address": "anna@shop.example",
    "failed_rules": "",
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


def rules(decision: dict[str, Any], **audience: Any) -> dict[str, tuple[bool, str]]:
    """Rule → whether it is passed, and what it looked at."""
    spec = Campaign.model_validate(
        {
            "name": "sale",
            "owner": "crm",
            "description": "A sale.",
            "schedule": "manual",
            "audience": {"include": ["everybody"], **audience},
            "topic": "updates",
            "channels": [
                {"kind": "email", "template": "t", "account": "a", "sender": "Shop <a@shop.example>"}
            ],
            "quality": {"rows": {"min": 0, "max": 10}},
        }
    )
    frozen = freeze(spec, {})
    run = Run(
        run_key="sale--1",
        campaign="sale",
        logical_at=NOW,
        trigger=Trigger.MANUAL,
        spec_json=frozen.json,
        spec_hash=frozen.hash,
        opened_at=NOW,
        valid_until=NOW + timedelta(days=1),
        state=RunState.DECIDED,
        decided_at=NOW,
    )
    return {each.rule: (each.passed, each.value) for each in _rules({**DECISION, **decision}, run)}


def test_every_rule_is_told_in_its_order():
    assert list(rules({})) == [str(reason) for reason in DecisionReason]
    assert {passed for passed, _ in rules({}).values()} == {True}


@pytest.mark.parametrize(
    ("decision", "audience", "rule", "told"),
    [
        ({}, {}, "already_sent", (True, "none that is too recent")),
        (
            {"already_sent_at": NOW, "failed_rules": "already_sent"},
            {"again": "30d"},
            "already_sent",
            (False, "the last one is of 2026-11-23 12:00Z"),
        ),
        ({}, {}, "not_in_sample", (True, "no sample")),
        (
            {"sample_bucket": 1250, "failed_rules": "not_in_sample"},
            {"sample": 12.5},
            "not_in_sample",
            (False, "bucket 1250 of 10,000, in the sample below 1250"),
        ),
        ({}, {}, "over_max_size", (True, "no maximum size")),
        (
            {"size_rank": 1001, "failed_rules": "capped,over_max_size"},
            {"max_size": {"messages": 1000}},
            "over_max_size",
            (False, "place 1,001, 1,000 at most"),
        ),
        (
            {"consent_status": "unknown"},
            {},
            "consent_unknown",
            (True, "consent for email × updates: unknown; this topic needs none"),
        ),
        (
            {"consent_status": "unknown", "failed_rules": "consent_unknown"},
            {},
            "consent_unknown",
            (False, "consent for email × updates: unknown"),
        ),
        ({}, {"one_per": "person"}, "another_entity_chosen", (True, "one message per person")),
    ],
)
def test_what_a_rule_looked_at(decision, audience, rule, told):
    assert rules(decision, **audience)[rule] == told


def test_a_line_of_before_a_rule_was_there_is_told_without_it():
    told = rules({"priority": None, "global_holdout_bucket": None})
    assert told["outranked"] == (True, "nobody went first, no priority")
    assert told["global_holdout"] == (True, "not asked")


@pytest.mark.parametrize(
    ("decision", "capped", "outranked"),
    [
        ({}, (True, "no cap is reached"), (True, "nobody went first, priority 50")),
        (
            {"cap": "weekly", "cap_messages": 1, "failed_rules": "capped"},
            (False, "cap weekly is full: 1 message counts"),
            (True, "nobody went first, priority 50"),
        ),
        (
            {
                "cap": "weekly",
                "cap_messages": 3,
                "outranked_by": "news--1",
                "priority": 62.5,
                "failed_rules": "outranked",
            },
            (True, "earlier messages leave room"),
            (
                False,
                "news--1 took the last place: cap weekly is full: 3 messages count, priority 62.5",
            ),
        ),
    ],
)
def test_what_the_caps_said(decision, capped, outranked):
    told = rules(decision)
    assert (told["capped"], told["outranked"]) == (capped, outranked)
