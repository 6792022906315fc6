"""What caps a run is under, as the models read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kundresa.runs.capping import RuleSetNotFound, run_caps
from kundresa.spec.campaign import Campaign
from kundresa.spec.fields import time_zones
from kundresa.spec.policies import Policies
from kundresa.spec.vocabulary import ChannelKind

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


def caps(policies: dict, **campaign):
    spec = Campaign.model_validate(
        {
            "name": "sale",
            "owner": "crm",
            "description": "A sale.",
            "schedule": "manual",
            "audience": {"include": ["known"]},
            "topic": "offers",
            "channels": [{"kind": "sms", "template": "text", "account": "texts", "sender": "Shop"}],
            "quality": {"rows": {"min": 0, "max": 10}},
            **campaign,
        }
    )
    return run_caps(
        spec, Policies.model_validate(policies), decided_at=NOW, valid_until=NOW + timedelta(days=1)
    )


WEEKLY = {"name": "weekly", "max": 3, "within": "7d"}
DAILY = {"name": "daily", "max": 1, "period": "day", "channels": ["sms"], "topics": ["offers"]}


def test_a_rolling_cap_counts_every_channel_and_topic_unless_it_says_which():
    [cap] = caps({"pressure": {"default": [WEEKLY]}})
    assert (cap.cap, cap.max_messages, cap.window_seconds, cap.counted_per) == ("weekly", 3, 604_800, "")
    assert (cap.channels, cap.topics, tuple(cap.periods)) == (tuple(ChannelKind), None, ())


def test_a_calendar_cap_has_every_period_that_a_message_can_fall_into():
    [cap] = caps({"pressure": {"default": [DAILY | {"counted_per": "region"}]}})
    day = datetime(2026, 3, 1, tzinfo=UTC)
    assert list(cap.periods) == [
        ("UTC", day + n * timedelta(days=1), day + (n + 1) * timedelta(days=1)) for n in (0, 1)
    ]
    assert (cap.channels, cap.topics, cap.counted_per) == (("sms",), ("offers",), "region")
    assert (cap.window_seconds, cap.is_recipient_time) == (None, False)


def test_a_cap_in_the_recipients_time_has_the_periods_of_every_zone_and_of_none():
    [cap] = caps({"pressure": {"default": [DAILY | {"time_zone": "recipient"}]}})
    assert cap.is_recipient_time
    assert {zone for zone, _, _ in cap.periods} == {"", *time_zones()}
    unknown = [(start, end) for zone, start, end in cap.periods if zone == ""]
    assert unknown == [(start, end) for zone, start, end in cap.periods if zone == "UTC"]
    for zone in ("", "Asia/Kolkata", "Pacific/Kiritimati"):
        of_zone = [(start, end) for name, start, end in cap.periods if name == zone]
        assert of_zone[0][0] <= NOW
        assert of_zone[-1][1] > NOW + timedelta(days=1)


def test_a_campaign_is_under_the_sets_that_it_names_and_under_the_default_when_it_names_none():
    sets = {"default": [WEEKLY], "extra": [DAILY]}
    assert [cap.cap for cap in caps({"pressure": sets})] == ["weekly"]
    assert [cap.cap for cap in caps({"pressure": sets}, rule_sets=["extra", "default"])] == [
        "daily",
        "weekly",
    ]
    assert caps({"pressure": sets}, rule_sets=[]) == ()
    assert caps({"pressure": {"extra": [DAILY]}}) == ()


def test_a_set_that_is_not_there_is_an_error():
    with pytest.raises(RuleSetNotFound, match=r"no set 'exra'.*there are: extra"):
        caps({"pressure": {"extra": [DAILY]}}, rule_sets=["exra"])


def test_a_topic_that_is_exempt_from_consent_is_never_capped():
    topics = {"offers": {"consent": "exempt", "because": "A test."}}
    assert caps({"topics": topics, "pressure": {"default": [WEEKLY]}}) == ()
