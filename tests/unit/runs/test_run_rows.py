"""What a spec and the policies come to when a run is decided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kundresa.runs.deciding import _passes
from kundresa.runs.run_rows import open_run_row
from kundresa.spec.campaign import Campaign
from kundresa.spec.policies import Policies
from kundresa.spec.vocabulary import Consent, Trigger
from kundresa.store import NewRun

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def campaign(name: str = "sale", audience: dict | None = None, **changes) -> Campaign:
    return Campaign.model_validate(
        {
            "name": name,
            "owner": "crm",
            "description": "A sale.",
            "schedule": "manual",
            "audience": {"include": ["everybody"]} | (audience or {}),
            "topic": "offers",
            "channels": [{"kind": "sms", "template": "text", "account": "texts", "sender": "Shop"}],
            "quality": {"rows": {"min": 0, "max": 10}},
            **changes,
        }
    )


def run(name: str = "sale", at: datetime = NOW) -> NewRun:
    key = f"{name}--{at:%Y%m%dT%H%M%SZ}"
    return NewRun(key, name, at, Trigger.MANUAL, "{}", "0" * 64, at, at + timedelta(days=1))


def row(spec: Campaign, policies: dict | None = None):
    return open_run_row(run(spec.name), spec, Policies.model_validate(policies or {}), NOW)


@pytest.mark.parametrize(
    ("again", "since"),
    [
        ("always", None),
        ("never", datetime(1970, 1, 1, tzinfo=UTC)),
        ("30d", NOW - timedelta(days=30)),
        ("10m", NOW - timedelta(minutes=10)),
    ],
)
def test_again_is_an_instant_and_history_is_read_from_there(again, since):
    found = row(campaign(audience={"again": again}))
    assert (found.not_again_since, found.history_from) == (since, since)


def test_the_audience_is_written_out():
    audience = {"one_per": "person", "sample": 12.5, "max_size": {"messages": 7, "score": "value"}}
    found = row(campaign(audience=audience, priority_score="recency", channel_choice="preferred"))
    assert (found.one_per, found.sample_percent, found.sample_salt) == ("person", 12.5, "sample|sale")
    assert (found.max_size, found.size_score, found.priority_score) == (7, "value", "recency")
    assert found.channel_choice == "preferred"


def test_nothing_is_asked_by_default():
    found = row(campaign())
    assert (found.one_per, found.sample_percent, found.max_size) == ("entity", 100, None)
    assert (found.size_score, found.priority_score) == ("", "")
    assert (found.consent, found.is_allow_listed, found.global_holdout_percent) == (Consent.YES, False, 0)


@pytest.mark.parametrize(("given", "is_listed"), [(None, False), ([], True), (["@shop.example"], True)])
def test_an_empty_allow_list_is_one_and_none_is_not(given, is_listed):
    assert row(campaign(), {"allow_list": given}).is_allow_listed is is_listed


def test_an_exempt_topic_knows_no_global_holdout_and_keeps_its_own():
    policies = {
        "topics": {
            "order_updates": {"consent": "exempt", "because": "Part of the order."},
            "survey": {"consent": "not_no", "because": "Asked at the counter."},
        },
        "global_holdout": {"percent": 10, "rotates": "month"},
    }
    own = {"holdout": {"percent": 3}}
    found = row(campaign(topic="order_updates", **own), policies)
    assert (found.consent, found.global_holdout_percent, found.holdout_percent) == (Consent.EXEMPT, 0, 3)
    found = row(campaign(topic="survey", **own), policies)
    assert (found.consent, found.global_holdout_percent, found.holdout_percent) == (Consent.NOT_NO, 10, 3)
    assert found.global_holdout_salt == "global_holdout|2026-11"
    assert row(campaign(**own), policies).consent is Consent.YES


def passes(*runs: tuple[NewRun, Campaign]) -> list[list[str]]:
    return [[each.run_key for each, _ in together] for together in _passes(runs)]


def test_runs_of_a_campaign_that_asks_who_got_it_are_decided_one_after_the_other():
    days = [NOW + timedelta(days=number) for number in range(3)]
    careful, careless = campaign("careful", {"again": "never"}), campaign("careless")
    backfill = [(run("careful", day), careful) for day in reversed(days)]
    others = [(run("careless", day), careless) for day in days]
    first, second, third = passes(*backfill, *others)
    assert set(first) == {"careful--20261123T120000Z", *(each.run_key for each, _ in others)}
    assert (second, third) == (["careful--20261124T120000Z"], ["careful--20261125T120000Z"])


def test_runs_of_two_campaigns_that_ask_are_decided_together():
    both = [(run(name), campaign(name, {"again": "1d"})) for name in ("a", "b")]
    assert passes(*both) == [["a--20261123T120000Z", "b--20261123T120000Z"]]


def test_a_run_that_asks_comes_after_those_of_before_it_asked():
    later = NOW + timedelta(days=1)
    found = passes((run("a", later), campaign("a", {"again": "never"})), (run("a"), campaign("a")))
    assert found == [["a--20261123T120000Z"], ["a--20261124T120000Z"]]


def test_no_run_is_no_pass():
    assert passes() == []
