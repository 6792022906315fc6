"""What stops a run from being decided, or from getting an account, before it may."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from kundresa import settings as configuration
from kundresa.runs.accounting import RunNotFinished, reconcile_run
from kundresa.runs.capping import RuleSetNotFound
from kundresa.runs.deciding import SegmentNotPublished, decide_run
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import freeze
from kundresa.spec.vocabulary import Trigger
from kundresa.store import NewRun, open_store
from kundresa.warehouse import WarehouseError, current_build, promote, published_segments

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path):
    return configuration.load({"KUNDRESA_HOME": str(tmp_path)})


def publish(settings, build_id: str, segments=("known",)):
    folder = settings.published / "builds" / build_id
    folder.mkdir(parents=True)
    (folder / "segments.json").write_text(json.dumps(list(segments)))
    promote(settings, build_id)


def open_run(settings, rule_sets=("default",), **audience):
    campaign = Campaign.model_validate(
        {
            "name": "sale",
            "owner": "crm",
            "description": "A sale.",
            "schedule": "manual",
            "audience": audience,
            "topic": "offers",
            "rule_sets": list(rule_sets),
            "channels": [{"kind": "sms", "template": "text", "account": "texts", "sender": "Shop"}],
            "quality": {"rows": {"min": 0, "max": 10}},
        }
    )
    frozen = freeze(campaign, {"text.txt.j2": "Hello"})
    with open_store(settings.store_url) as store:
        store.runs.open(
            NewRun(
                "sale--x", "sale", NOW, Trigger.MANUAL, frozen.json, frozen.hash, NOW, NOW + timedelta(days=1)
            )
        )


def test_an_excluded_segment_that_is_not_published_does_not_exclude_nobody(settings):
    publish(settings, "20261123T110000.000000Z")
    open_run(settings, include=["known"], exclude=["merged_a_minute_ago"])
    with pytest.raises(SegmentNotPublished, match="merged_a_minute_ago"):
        decide_run(settings, "sale--x", clock=lambda: NOW)
    with open_store(settings.store_url) as store:
        assert store.runs.require("sale--x").decided_at is None


def test_a_run_that_is_still_open_gets_no_account(settings):
    open_run(settings, include=["known"])
    with pytest.raises(RunNotFinished, match="nobody has been decided"):
        reconcile_run(settings, "sale--x", clock=lambda: NOW)
    with open_store(settings.store_url) as store:
        assert store.runs.require("sale--x").account is None


def test_an_undecided_run_past_its_validity_expires_with_an_account_of_nobody(settings):
    open_run(settings, include=["known"])
    late = NOW + timedelta(days=2)
    assert decide_run(settings, "sale--x", clock=lambda: late) == {}
    account = reconcile_run(settings, "sale--x", clock=lambda: late)
    assert (account["close_reason"], account["channels"]) == ("expired", {})


def test_older_marts_are_not_published_over_newer_ones(settings):
    older, newer = "20261122T010000.000000Z", "20261123T010000.000000Z"
    publish(settings, newer, ["a", "b"])
    (settings.published / "builds" / older).mkdir()
    with pytest.raises(WarehouseError, match="later than"):
        promote(settings, older)
    promote(settings, newer)
    assert current_build(settings).build_id == newer
    assert published_segments(settings) == {"a", "b"}


def test_a_set_of_caps_that_is_gone_does_not_mean_that_nothing_is_capped(settings):
    publish(settings, "20261123T110000.000000Z")
    open_run(settings, rule_sets=["taken_out_a_minute_ago"], include=["known"])
    with pytest.raises(RuleSetNotFound, match="taken_out_a_minute_ago"):
        decide_run(settings, "sale--x", clock=lambda: NOW)
    with open_store(settings.store_url) as store:
        assert store.runs.require("sale--x").decided_at is None
