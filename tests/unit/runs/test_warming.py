"""What a sending domain may send to whom on which day, and which runs count on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kundresa.runs.run_rows import open_run_row
from kundresa.runs.warming import run_warm_ups, sender_domain, sending_runs
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import freeze
from kundresa.spec.policies import Policies
from kundresa.spec.vocabulary import Trigger
from kundresa.store import NewRun, Store, open_store

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
POLICIES = Policies.model_validate(
    {
        "providers": {"google": ["gmail.com", "googlemail.com"], "microsoft": ["outlook.com"]},
        "warm_ups": [
            {
                "domain": "new.example",
                "start": "2026-11-24",
                "time_zone": "Europe/Stockholm",
                "steps": [{"days": 1, "max": 100}, {"days": 2, "max": 300}],
                "per_provider": {
                    "google": [{"days": 2, "max": 10}, {"days": 3, "max": 20}],
                    "other": [{"days": 1, "max": 0}],
                },
            }
        ],
    }
)
MIDNIGHT = datetime(2026, 11, 23, 23, tzinfo=UTC)
"""When the first day begins in Stockholm."""
BEFORE = (datetime(1970, 1, 1, tzinfo=UTC), MIDNIGHT, 0)


def campaign(sender: str = "Shop <hello@New.example>", **changes) -> Campaign:
    return Campaign.model_validate(
        {
            "name": "sale",
            "owner": "crm",
            "description": "A sale.",
            "schedule": "manual",
            "audience": {"include": ["everybody"]},
            "topic": "offers",
            "channels": [{"kind": "email", "template": "mail", "account": "mails", "sender": sender}],
            "quality": {"rows": {"min": 0, "max": 10}},
            **changes,
        }
    )


SMS = [{"kind": "sms", "template": "text", "account": "texts", "sender": "Shop"}]


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("Shop <hello@new.example>", "new.example"),
        ('"Shop, Inc. @ home" <hello@News.Shop.EXAMPLE>', "news.shop.example"),
        ("hello@new.example", "new.example"),
    ],
)
def test_the_sending_domain_is_that_of_the_address(sender, domain):
    assert sender_domain(campaign(sender)) == domain
    assert sender_domain(campaign(channels=SMS)) is None


def days(spec: Campaign, first: datetime, last: datetime) -> dict[str, tuple]:
    found = run_warm_ups(spec, POLICIES, decided_at=first, valid_until=last)
    assert {each.domain for each in found} <= {"new.example"}
    return {each.provider: each.days for each in found}


def test_before_its_start_a_domain_sends_nothing_and_then_each_days_step():
    found = days(campaign(), NOW, NOW + 3 * DAY)
    ends = [MIDNIGHT + number * DAY for number in range(4)]
    assert found == {
        "google": (BEFORE, (ends[0], ends[1], 10), (ends[1], ends[2], 10), (ends[2], ends[3], 20)),
        "microsoft": (BEFORE, (ends[0], ends[1], 100), (ends[1], ends[2], 300), (ends[2], ends[3], 300)),
        # After its one step there is no limit.
        "other": (BEFORE, (ends[0], ends[1], 0)),
    }


def test_a_day_that_ends_with_the_validity_and_one_that_begins_with_it():
    instant = timedelta(microseconds=1)
    assert days(campaign(), NOW, MIDNIGHT - instant)["google"] == (BEFORE,)
    assert days(campaign(), MIDNIGHT, MIDNIGHT)["google"] == ((MIDNIGHT, MIDNIGHT + DAY, 10),)
    # The last of google's five days; the day after it the domain is warm everywhere.
    warm = MIDNIGHT + 5 * DAY
    assert days(campaign(), warm - instant, warm + DAY) == {"google": ((warm - DAY, warm, 20),)}
    assert days(campaign(), warm, warm + DAY) == {}


def test_a_day_is_as_long_as_it_is_where_the_clock_changes():
    """In Santiago the clock goes from 24:00 back to 23:00 on 2026-04-04, and the date is shown twice."""
    policies = Policies.model_validate(
        {
            "warm_ups": [
                {
                    "domain": "new.example",
                    "start": "2026-04-04",
                    "time_zone": "America/Santiago",
                    "steps": [{"days": 1, "max": 1}, {"days": 1, "max": 2}, {"days": 1, "max": 3}],
                }
            ]
        }
    )
    start = datetime(2026, 4, 4, 3, tzinfo=UTC)
    (found,) = run_warm_ups(campaign(), policies, decided_at=start, valid_until=start + 4 * DAY)
    assert [limit for _, _, limit in found.days] == [1, 2, 3]
    assert [(end - begin) / timedelta(hours=1) for begin, end, _ in found.days] == [25, 24, 24]


def test_only_what_is_sent_from_the_domain_itself_is_limited():
    for spec in (campaign("a@old.example"), campaign("a@mail.new.example"), campaign(channels=SMS)):
        assert days(spec, NOW, NOW + DAY) == {}


def new_run(spec: Campaign, at: datetime, key: str) -> NewRun:
    frozen = freeze(spec, {"mail.html.j2": "Hello"})
    return NewRun(key, spec.name, at, Trigger.MANUAL, frozen.json, frozen.hash, at, at + 3 * DAY)


def test_history_is_read_from_the_first_day_that_has_a_limit():
    row = open_run_row(new_run(campaign(), NOW, "sale--1"), campaign(), POLICIES, NOW)
    assert row.history_from == MIDNIGHT
    assert [each.address_domains for each in row.warm_ups] == [
        ("gmail.com", "googlemail.com"),
        ("outlook.com",),
        (),
    ]


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


def test_decided_runs_of_the_domain_count_while_they_may_send_today(store: Store):
    runs = {
        "counts": (campaign(), NOW - 5 * DAY, True),
        "over": (campaign(), NOW - 5 * DAY - timedelta(seconds=1), True),
        "undecided": (campaign(), NOW, False),
        "other_domain": (campaign("a@old.example"), NOW, True),
        "texts": (campaign(channels=SMS), NOW, True),
    }
    for key, (spec, at, is_decided) in runs.items():
        store.runs.open(new_run(spec, at, key))
        if is_decided:
            store.runs.mark_decided([key], at=at)
    planned = [(new_run(campaign(), NOW + DAY, "planned"), campaign())]
    assert list(sending_runs(store, POLICIES, NOW, planned)) == [
        {"run_key": "counts", "domain": "new.example"},
        {"run_key": "planned", "domain": "new.example"},
    ]
    assert list(sending_runs(store, Policies(), NOW, planned)) == []
