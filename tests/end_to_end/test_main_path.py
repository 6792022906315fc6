"""The whole path without Airflow: the same stages, called by the command line."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from email import policy
from email.parser import BytesParser
from types import SimpleNamespace

import pytest

from kundresa import warehouse
from kundresa.runs.journey_limits import Taken
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.journey_rules import MessageRules
from kundresa.sandbox import counts
from kundresa.spec.journey_outcomes import REASONS
from kundresa.spec.journey_steps import MessageStep
from kundresa.spec.loading import load_campaign
from kundresa.spec.policies import load_policies
from kundresa.store import open_store


def assert_adds_up(shop, account):
    """The account's own sums, and its ``sent`` against what the sandbox counted."""
    for channel, part in account["channels"].items():
        assert part["considered"] == part["sent"] + sum(part["not_sent"].values()), (channel, part)
        received = shop.received(account["run_key"], channel)
        assert len(received) == part["sent"], (channel, part, len(received))
        doubles = {
            to: count for to, count in Counter(each.recipient for each in received).items() if count > 1
        }
        assert not doubles


def assert_journeys_decide_alike(shop, name):
    """What a journey's rules say of each person is what the decision has said, where both have the rule."""
    campaign = load_campaign(shop.settings.campaigns / name)
    policies = load_policies(shop.settings.project / "dags")
    now = datetime.now(tz=UTC)
    told = warehouse.query(shop.settings, "select * from decisions where campaign = $name", name=name)
    with open_store(shop.settings.store_url) as store, JourneyPeople(shop.settings) as people:
        for channel in campaign.channels:
            lines = {line["profile_id"]: line for line in told if line["channel"] == channel.kind}
            step = MessageStep.model_validate({"kind": "message", "channel": channel.model_dump()})
            rules = MessageRules(step, campaign.topic, policies, now=now)
            places = Taken(people, (store,), now=now)
            known = rules.look_up(store, people, [*lines], taken=[], places=places)
            for profile_id, line in lines.items():
                failed = [each for each in (line["failed_rules"] or "").split(",") if each in REASONS]
                refused = rules.refusal(
                    SimpleNamespace(profile_id=profile_id),
                    known.recipients.get(profile_id),
                    suppressed=known.suppressed,
                    answers=known.answers,
                )
                assert refused == (failed[0] if failed else None), line


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("campaign", ["winback", "spring_sale"])
def test_account_adds_up_against_what_arrived_and_running_again_sends_nobody_twice(shop, campaign):
    account = shop.run(campaign)
    assert account["close_reason"] == "completed"
    assert sum(part["sent"] for part in account["channels"].values()) > 20
    assert_adds_up(shop, account)

    assert_journeys_decide_alike(shop, campaign)

    again = shop.run(campaign)
    assert again == account
    assert_adds_up(shop, again)
    shown = shop.json("account", account["run_key"])
    assert shown == account


def test_experiment_holdout_and_channels_are_all_in_the_account(shop):
    account = shop.run("spring_sale")
    assert set(account["channels"]) == {"email", "sms"}
    email = account["channels"]["email"]
    assert email["not_sent"]["holdout"] > 0
    subjects = Counter(each.subject for each in shop.received(account["run_key"], "email"))
    assert len(subjects) >= 2, subjects


def test_messages_are_well_formed_and_carry_one_click_unsubscribe(shop):
    account = shop.run("winback")
    for each in shop.received(account["run_key"], "email"):
        message = BytesParser(policy=policy.default).parsebytes(each.body)
        assert not message.defects
        assert message.get_content_type() == "multipart/alternative"
        assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        url = re.fullmatch(r"<(http[^>]+/u/[^>]+)>", message["List-Unsubscribe"].replace(" ", ""))
        assert url, message["List-Unsubscribe"]
        for part in message.iter_parts():
            assert url[1] in part.get_content()


def test_a_run_that_starts_after_its_validity_is_closed_with_a_reason(shop):
    account = shop.run("winback", logical_date="2026-01-05T09:00:00+00:00")
    assert account["close_reason"] == "expired"
    assert account["channels"] == {}
    assert not shop.received(account["run_key"], "email")


def test_an_opt_out_and_a_suppression_before_the_run_are_reasons_of_the_account(shop):
    planned = shop.json("plan", "winback")["channels"]["email"]
    first = shop.run("winback")
    people = [each.recipient for each in shop.received(first["run_key"], "email")][:3]
    shop.kundresa("opt-out", people[0])
    shop.kundresa("opt-out", people[1], "--topic", "another_topic")
    shop.kundresa("suppress", people[2])
    second = shop.run("winback", logical_date=shop.logical_date.replace("+00:00", ".000001+00:00"))
    got = {each.recipient for each in shop.received(second["run_key"], "email")}
    assert people[0] not in got
    assert people[1] in got
    assert people[2] not in got
    assert first["channels"]["email"]["sent"] == planned["send"]
    assert second["channels"]["email"]["sent"] == planned["send"] - 2
    assert second["channels"]["email"]["not_sent"]["suppressed"] == 1
    assert_adds_up(shop, second)


def test_a_failed_gate_sends_nothing_and_the_account_says_so(shop):
    shop.change("winback", {"quality": {"rows": {"min": 100_000, "max": 200_000}}})
    done = shop.run("winback", code=1)
    assert "100,000" in done.stderr
    [run] = shop.json("status")
    assert run["close_reason"] == "quality_gate_failed"
    again = json.loads(shop.run("winback", code=1).stdout)
    assert again == json.loads(done.stdout)
    email = again["channels"]["email"]
    assert email["sent"] == 0
    assert email["not_sent"]["quality_gate_failed"] == email["decided_send"] > 0
    assert_adds_up(shop, again)


def test_an_empty_audience_is_an_account_of_nobody(shop):
    segment = shop.project / "dbt_project" / "models" / "segments" / "open_complaints.sql"
    segment.write_text(
        "{{ config(tags=['segment']) }}\nselect profile_id from {{ ref('profiles') }} where false\n"
    )
    shop.kundresa("build")
    shop.change(
        "winback", {"audience": {"include": ["open_complaints"]}, "quality": {"rows": {"min": 0, "max": 10}}}
    )
    account = shop.run("winback")
    assert account["close_reason"] == "completed"
    assert account["people"] == {"considered": 0, "reached": 0}
    assert all(part["considered"] == 0 for part in account["channels"].values())


@pytest.mark.usefixtures("cold")
def test_plan_sends_and_records_nothing_and_says_what_run_then_does(shop):
    before = {path: path.stat().st_mtime_ns for path in shop.home.rglob("warehouse.duckdb")}
    planned = shop.json("plan", "spring_sale")
    assert {path: path.stat().st_mtime_ns for path in shop.home.rglob("warehouse.duckdb")} == before
    assert shop.json("status") == []
    assert counts(shop.sandbox.home / "sandbox") == []
    account = shop.run("spring_sale")
    for channel, part in planned["channels"].items():
        assert part["considered"] == account["channels"][channel]["considered"]
        assert part["send"] == account["channels"][channel]["sent"]
        assert part["not_sent"] == account["channels"][channel]["not_sent"]
    assert planned["samples"]


@pytest.mark.usefixtures("cold")
def test_explain_tells_each_persons_line(shop):
    account = shop.run("spring_sale")
    received = shop.received(account["run_key"], "email")[0]
    explained = shop.json("explain", received.recipient, "spring_sale")
    email = next(each for each in explained if each["channel"] == "email" and each["outcome"] == "accepted")
    assert {rule["result"] for rule in email["rules"]} == {"passed", "not_asked"}
    assert email["delivery"]["state"] == "accepted"
    shop.kundresa("explain", "nobody@nowhere.example", code=3)


@pytest.mark.usefixtures("cold")
def test_commands_refuse_what_is_not_there(shop):
    assert "winback" in shop.kundresa("plan", "winbak", code=3).stderr
    shop.kundresa("account", "winback--20200101T000000Z", code=3)
    shop.kundresa("run", "winback", "--logical-date", "yesterday", code=2)
    assert json.loads(shop.kundresa("check", "--json").stdout) == {"spring_sale": [], "winback": []}
