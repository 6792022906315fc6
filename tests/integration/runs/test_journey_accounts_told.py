"""A journey's day in ``account`` and its messages in ``explain``: in the words of a campaign's run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

# The shop of the journeys' tests, and its sandbox.
from tests.integration.runs.shop import NOW, PEOPLE, Shop

from kundresa import warehouse
from kundresa.runs.accounting import read_account
from kundresa.runs.explained import Explanation
from kundresa.runs.explaining import explain, why_not_considered
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.rules_told import Told
from kundresa.spec.keys import account_key, journey_day_of, run_key
from kundresa.store import JourneyNotFound, RunNotFound
from kundresa.warehouse.exports import journey_day_path

DAY = account_key("cart", NOW)
TOMORROW = NOW + timedelta(days=1)


@pytest.fixture
def played(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Anna has got a mail and Eva a text; Bo and Ida nothing."""
    monkeypatch.setattr(warehouse, "person_decisions", lambda *_: [])  # no campaign has run
    shop.start()
    for who in PEOPLE:
        shop.event(who, value=60)
    shop.run()
    shop.run(hours=1)
    return shop


def account(shop: Shop, key: str, at: datetime = TOMORROW) -> dict[str, Any]:
    found = read_account(shop.settings, key, clock=lambda: at)
    assert found is not None
    return found


def told(shop: Shop, who: str, campaign: str | None = None) -> list[Explanation]:
    return explain(shop.settings, f"{who}@shop.example", campaign)


def test_a_day_adds_up_in_the_words_of_a_run(played: Shop) -> None:
    found = account(played, DAY)

    assert (found["run_key"], found["campaign"]) == (DAY, "journey cart")
    assert (found["state"], found["close_reason"]) == ("closed", "completed")
    assert found["channels"] == {
        "email": {
            "considered": 4,
            "sent": 1,
            "not_sent": {"consent_denied": 1, "consent_unknown": 1, "contact_point_missing": 1},
            "sum": 4,
            "adds_up": True,
            "decided_send": 1,
        },
        "sms": {
            "considered": 1,
            "sent": 1,
            "not_sent": {},
            "sum": 1,
            "adds_up": True,
            "decided_send": 1,
        },
    }
    assert found["people"] == {"considered": 4, "reached": 2}
    assert account(played, DAY, NOW + timedelta(hours=2))["state"] == "checked", "the day is not over"
    assert account(played, account_key("cart", TOMORROW))["channels"] == {}


def test_it_says_the_same_as_the_warehouse_gets(played: Shop) -> None:
    with played.store() as store:
        export_journeys(played.settings, store, played.now)
    lines = pq.read_table(journey_day_path(played.settings, DAY)).to_pylist()
    found = account(played, DAY)["channels"]
    for channel, part in found.items():
        own = [each for each in lines if each["channel"] == channel]
        assert part["considered"] == len(own)
        assert part["sent"] == sum(each["message_state"] == "accepted" for each in own)
        assert part["decided_send"] == sum(each["verdict"] == "send" for each in own)


def test_a_standing_run_has_an_account_of_its_step(played: Shop) -> None:
    with played.store() as store:
        [sent] = store.journey_messages.of("p-anna")
        key = sent.run_key or ""
    found = account(played, key)

    assert (found["run_key"], found["campaign"], found["state"]) == (key, "journey cart", "checked")
    assert [*found["channels"]] == ["email"]
    assert found["channels"]["email"]["considered"] == 4
    assert found["channels"]["email"]["adds_up"]


def test_what_is_under_way_is_a_line(played: Shop) -> None:
    played.accounts["mails"] = "smtp://127.0.0.1:9"  # nobody listens
    with played.store() as store, store.database.write() as connection:
        connection.execute(text("delete from journey_positions where profile_id = 'p-anna'"))
    played.event("anna", value=60)
    played.run()
    played.run(hours=1)
    found = account(played, DAY)

    assert found["channels"]["email"]["not_sent"]["pending"] == 1
    assert found["channels"]["email"]["adds_up"]
    assert (found["state"], found["close_reason"]) == ("checked", None)
    assert [each.outcome for each in told(played, "anna")] == ["deferred", "accepted"]


@pytest.mark.parametrize(
    "harm",
    [
        "delete from messages where profile_id = 'p-anna'",
        "update messages set state = 'failed' where profile_id = 'p-anna'",
        "update journey_messages set outcome = 'not_sent', reason = 'capped' where profile_id = 'p-anna'",
        "update journey_messages set reason = null where profile_id = 'p-bo'",
    ],
)
def test_it_does_not_add_up_when_the_journey_and_the_ledger_differ(played: Shop, harm: str) -> None:
    with played.store() as store, store.database.write() as connection:
        connection.execute(text(harm))

    found = account(played, DAY)["channels"]

    assert not found["email"]["adds_up"]
    assert found["sms"]["adds_up"]


def test_a_line_of_the_ledger_that_no_message_stands_behind_is_seen(played: Shop) -> None:
    with played.store() as store:
        [sent] = store.journey_messages.of("p-anna")
        with store.database.write() as connection:
            connection.execute(text("delete from journey_messages where profile_id = 'p-anna'"))
    assert not account(played, sent.run_key or "")["channels"]["email"]["adds_up"]


def test_keys_that_nothing_stands_behind(played: Shop) -> None:
    with pytest.raises(JourneyNotFound):
        account(played, account_key("other", NOW))
    with pytest.raises(RunNotFound):
        account(played, "winback--20261123T090000Z")
    assert journey_day_of(DAY) == ("cart", datetime(2026, 11, 23, tzinfo=UTC))
    for other in (run_key("cart", NOW), run_key("journey.cart", NOW), run_key("cart.mail.v1", NOW), "x"):
        assert journey_day_of(other) is None


def test_explain_tells_each_rule_up_to_the_one_that_decided(played: Shop) -> None:
    [line] = told(played, "bo")

    assert (line.run_key, line.campaign, line.step) == (DAY, "journey cart", "mail")
    assert (line.outcome, line.reason, line.channel) == ("exclude", "consent_denied", "email")
    rules = {each.rule: each for each in line.rules}
    assert [each.rule for each in line.rules if each.decided] == ["consent_denied"]
    assert rules["consent_denied"].result is Told.FAILED
    assert "email × offers: no" in rules["consent_denied"].value
    assert rules["contact_point_missing"].result is Told.PASSED
    assert rules["consent_unknown"].result is rules["global_holdout"].result is Told.NOT_ASKED
    assert "bo@" not in str(line)


def test_explain_of_who_got_it_and_of_who_has_no_address(played: Shop) -> None:
    [sent] = told(played, "anna")
    assert (sent.outcome, sent.reason, sent.delivery["state"]) == ("accepted", None, "accepted")  # type: ignore[index]
    assert not [each for each in sent.rules if each.result is Told.FAILED]
    mail, text_message = sorted(told(played, "eva"), key=lambda each: each.channel)
    assert (mail.reason, mail.address) == ("contact_point_missing", None)
    assert mail.rules[0].value == "email address missing"
    assert (text_message.step, text_message.outcome) == ("text", "accepted")


def test_explain_takes_a_journeys_name(played: Shop) -> None:
    assert len(told(played, "anna", "cart")) == len(told(played, "anna", "journey cart")) == 1
    assert told(played, "anna", "other") == []
    why = why_not_considered(played.settings, "anna@shop.example", "cart")
    assert "kundresa journey explain anna@shop.example cart" in why


def test_on_the_command_line(played: Shop) -> None:
    environment = os.environ | {
        "KUNDRESA_PROJECT": str(played.settings.project),
        "KUNDRESA_HOME": str(played.settings.home),
        "KUNDRESA_SECRET": "s",
    }

    def kundresa(*words: str) -> subprocess.CompletedProcess[str]:
        program = [str(Path(sys.executable).parent / "kundresa"), *words]
        return subprocess.run(program, env=environment, capture_output=True, text=True, check=False)

    done = kundresa("account", "journey.cart--2026-11-23", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run_key"] == DAY
    with played.store() as store, store.database.write() as connection:
        connection.execute(text("delete from messages where profile_id = 'p-anna'"))
    done = kundresa("account", DAY)
    assert done.returncode == 1
    assert "DOES NOT ADD UP" in done.stdout
    assert kundresa("account", "journey.none--2026-11-23").returncode != 0
