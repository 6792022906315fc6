"""Frozen specs: nothing is lost, and the hash says the content and nothing but the content."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kundresa.spec.campaign import (
    AssetSchedule,
    Audience,
    Campaign,
    CronSchedule,
    Delivery,
    Holdout,
    MaxSize,
    Quality,
    RowBounds,
)
from kundresa.spec.channels import EmailChannel, SmsChannel
from kundresa.spec.experiment import Experiment, Variant
from kundresa.spec.frozen import freeze, thaw
from kundresa.spec.vocabulary import ChannelChoice, DeliveryPolicy, OnePer

KNOWN_HASH = "2e6d15b66c5903f575b2731927e3b5b7170f5a6170430b21203b34de39f48fee"

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
TEXTS = st.text(alphabet=st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20)
PERCENTS = st.integers(0, 5000).map(lambda hundredths: hundredths / 100)
SCHEDULES = st.one_of(
    st.just("manual"),
    st.just(AssetSchedule(on="segments")),
    st.builds(
        CronSchedule, cron=st.sampled_from(["0 9 * * 2", "*/5 * * * *"]), time_zone=st.just("Asia/Tokyo")
    ),
)
EMAIL = st.builds(
    EmailChannel,
    kind=st.just("email"),
    template=NAMES,
    account=NAMES,
    sender=st.just("Åsa <a@shop.example>"),
    reply_to=st.sampled_from([None, "b@shop.example"]),
)
SMS = st.builds(SmsChannel, kind=st.just("sms"), template=NAMES, account=NAMES, sender=st.just("Shop"))
VARIANTS = st.builds(
    Variant, name=NAMES, weight=st.integers(1, 1000), templates=st.dictionaries(st.just("email"), NAMES)
)
AUDIENCES = st.builds(
    Audience,
    include=st.lists(NAMES, min_size=1, max_size=3, unique=True).map(tuple),
    again=st.one_of(
        st.sampled_from(["always", "never"]),
        st.integers(600, 366 * 86_400).map(lambda seconds: timedelta(seconds=seconds)),
    ),
    one_per=st.sampled_from(OnePer),
    sample=st.integers(1, 10_000).map(lambda hundredths: hundredths / 100),
    max_size=st.one_of(
        st.none(),
        st.builds(MaxSize, messages=st.integers(1, 10**9), score=st.one_of(st.none(), NAMES)),
    ),
)
CAMPAIGNS = st.builds(
    Campaign,
    name=NAMES,
    owner=TEXTS,
    description=TEXTS,
    schedule=SCHEDULES,
    audience=AUDIENCES,
    topic=NAMES,
    priority=st.integers(0, 100),
    channels=st.one_of(st.tuples(EMAIL), st.tuples(EMAIL, SMS), st.tuples(SMS, EMAIL)),
    channel_choice=st.sampled_from(ChannelChoice),
    holdout=st.builds(Holdout, percent=PERCENTS),
    experiment=st.one_of(
        st.none(),
        st.builds(
            Experiment,
            name=NAMES,
            variants=st.lists(VARIANTS, min_size=2, max_size=4, unique_by=lambda each: each.name).map(tuple),
        ),
    ),
    quality=st.builds(
        Quality,
        rows=st.builds(RowBounds, min=st.integers(0, 10), max=st.integers(10, 10**9)),
        max_change_percent=st.floats(0.001, 1e6),
    ),
    delivery=st.builds(
        Delivery,
        policy=st.sampled_from(DeliveryPolicy),
        valid_for=st.integers(600, 1_209_600).map(lambda seconds: timedelta(seconds=seconds)),
        window=st.integers(1, 1000),
    ),
)
TEMPLATES = st.dictionaries(st.text(max_size=12), st.text(max_size=60), max_size=3)


@given(campaign=CAMPAIGNS, templates=TEMPLATES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_thaw_gives_back_what_was_frozen(campaign, templates):
    frozen = freeze(campaign, templates)
    assert thaw(frozen.json) == (campaign, templates)
    assert freeze(*thaw(frozen.json)) == frozen
    assert frozen.json.isascii()
    assert "\0" not in frozen.json
    assert len(frozen.hash) == 64


@given(left=CAMPAIGNS, right=CAMPAIGNS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_hashes_are_equal_exactly_when_the_content_is(left, right):
    assert (freeze(left, {}).hash == freeze(right, {}).hash) == (left == right)


def campaign(**changes) -> Campaign:
    data = {
        "name": "winback",
        "owner": "crm",
        "description": "Wins back.",
        "schedule": {"cron": "0 9 * * 2"},
        "audience": {"include": ["lapsed_customers"]},
        "topic": "offers",
        "channels": [{"kind": "sms", "template": "winback", "account": "sms_main", "sender": "Shop"}],
        "quality": {"rows": {"min": 0, "max": 10}},
    }
    return Campaign.model_validate({**data, **changes})


def test_the_hash_is_this_one_on_every_machine():
    """A change here means that runs opened before a release no longer match their spec after it."""
    assert freeze(campaign(), {"winback.txt.j2": "Hej Åsa 👋\n"}).hash == KNOWN_HASH


def test_order_and_spelling_do_not_count_but_content_does():
    templates = {"a.txt.j2": "1", "b.txt.j2": "2"}
    reference = freeze(campaign(delivery={"valid_for": "48h"}), templates)
    turned = dict(reversed(templates.items()))
    assert freeze(campaign(delivery={"valid_for": "2d", "window": 100}), turned) == reference
    assert freeze(campaign(delivery={"valid_for": "48h"}, priority=51), templates).hash != reference.hash
    assert (
        freeze(campaign(delivery={"valid_for": "48h"}), {**templates, "b.txt.j2": "2 "}).hash
        != reference.hash
    )


def test_the_hash_does_not_depend_on_pythons_own():
    code = "import sys; from kundresa.spec.frozen import *; print(freeze(*thaw(sys.stdin.read())).hash)"
    frozen = freeze(campaign(), {"b": "x", "a": "y"})
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=frozen.json,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == frozen.hash


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"spec": {}, "templates": {}}', '{"spec": {}, "templates": {"a": 1}}']
)
def test_thaw_refuses_other_texts(text):
    with pytest.raises(ValueError):  # noqa: PT011  # the type is the contract; each message differs
        thaw(text)


def test_defaults_are_written_out():
    spec = json.loads(freeze(campaign(), {}).json)["spec"]
    assert spec["delivery"] == {
        "policy": "at_most_once",
        "valid_for": "84h",
        "late_after": "1h",
        "batch_size": 5000,
        "window": 100,
    }
