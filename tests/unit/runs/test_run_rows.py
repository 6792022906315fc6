"""What a spec and the policies come to when a run is decided."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kundresa.runs.deciding import _passes
from kundresa.runs.limits import CostNotFound
from kundresa.runs.planning import late_waves
from kundresa.runs.run_rows import open_run_row
from kundresa.spec.campaign import Campaign
from kundresa.spec.policies import Policies
from kundresa.spec.vocabulary import ChannelKind, Consent, Trigger
from kundresa.spec.waves import Waves, wave_starts
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


CAPACITIES = [
    {"name": "gateway", "max": 5, "period": "day", "time_zone": "Europe/Stockholm", "channels": ["sms"]},
    {"name": "desk", "max": 9, "period": "month", "campaigns": ["other"]},
    {"name": "weeks", "max": 7, "period": "week"},
    {"name": "mail", "max": 7, "period": "week", "channels": ["email"]},
]


def test_a_run_draws_on_the_capacities_of_its_campaign_in_their_order():
    found = row(campaign(), {"capacities": CAPACITIES})
    drawn = {each.capacity: (each.level, each.channels, each.campaigns) for each in found.capacities}
    # In one pass those that no message can share. The desk is another campaign's, and still before the weeks.
    assert drawn == {
        "gateway": (1, ("sms",), None),
        "weeks": (3, tuple(ChannelKind), None),
        "mail": (4, ("email",), None),
    }
    gateway = found.capacities[0]
    # 12:00 UTC is in a day of Stockholm that began at 23:00 UTC; the run is valid until noon of the next.
    day, start = timedelta(days=1), datetime(2026, 11, 22, 23, tzinfo=UTC)
    assert gateway.periods == ((start, start + day, 5), (start + day, start + 2 * day, 5))
    # The week of the 23rd is the earliest that any of them asks about.
    assert found.history_from == start


def test_outside_its_dates_a_capacity_has_room_for_nothing():
    dates = [{"first": f"2026-11-{day}", "last": f"2026-11-{day}", "max": 3} for day in (20, 24, 30)]
    found = row(campaign(), {"capacities": [{"name": "printer", "dates": dates}]})
    days = [datetime(2026, 11, day, tzinfo=UTC) for day in (21, 24, 25)]
    # What is over before the decision, or comes after the validity, is left out.
    assert found.capacities[0].periods == ((days[0], days[1], 0), (days[1], days[2], 3))
    # Where there is room for nothing, nobody asks what was there before.
    assert found.history_from == days[1]


COSTS = {"costs": {"currency": "EUR", "per_message": {"email": 0.0005, "sms": 0.04}}}


def test_a_budget_is_in_millionths_for_each_channel_and_month():
    found = row(campaign(budget={"amount": 2.5, "per": "month", "time_zone": "Europe/Stockholm"}), COSTS)
    november = datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert [(each.channel, each.cost_micros, each.budget_micros) for each in found.budgets] == [
        ("email", 500, 2_500_000),
        ("sms", 40_000, 2_500_000),
    ]
    assert {(each.is_shared, each.starts_at) for each in found.budgets} == {(True, november)}
    assert found.history_from == november


def test_what_one_run_may_spend_asks_for_no_history():
    found = row(campaign(budget={"amount": 1}), COSTS)
    assert {each.is_shared for each in found.budgets} == {False}
    assert found.history_from is None
    assert row(campaign(), COSTS).budgets == ()


def test_a_budget_without_costs_is_refused():
    with pytest.raises(CostNotFound, match="does not say what a message by sms costs"):
        row(campaign(budget={"amount": 1}), {"costs": {"currency": "EUR", "per_message": {"email": 1}}})


def test_waves_share_the_buckets_and_start_one_after_the_other():
    found = row(campaign(waves={"shares": [0.5, 24.5, 75], "every": "3h"}))
    assert found.wave_salt == "wave|sale--20261123T120000Z"
    assert [(each.wave, each.bucket_from, each.bucket_to) for each in found.waves] == [
        (1, 0, 50),
        (2, 50, 2500),
        (3, 2500, 10_000),
    ]
    assert [each.starts_at for each in found.waves] == [NOW + timedelta(hours=hours) for hours in (0, 3, 6)]
    assert (row(campaign()).wave_salt, row(campaign()).waves) == ("", ())


def test_waves_by_count_have_places_and_the_rest_is_everybody_else():
    found = row(campaign(waves={"counts": [1000, 10_000, "rest"]}))
    assert [(each.wave, each.place_from, each.place_to) for each in found.waves] == [
        (1, 1, 1001),
        (2, 1001, 11_001),
        (3, 11_001, None),
    ]
    assert {(each.bucket_from, each.bucket_to) for each in found.waves} == {(None, None)}
    assert [each.starts_at for each in found.waves] == [NOW + timedelta(hours=hours) for hours in (0, 2, 4)]


def starts(zone: str, *when: tuple[int | str, str]) -> list[datetime]:
    given = [{"day" if isinstance(day, int) else "date": day, "at": at} for day, at in when]
    counts = [*range(1, len(when)), "rest"]
    spec = campaign(
        waves={"counts": counts, "starts": given, "time_zone": zone}, delivery={"valid_for": "14d"}
    )
    return [each.starts_at for each in row(spec).waves]


def test_waves_start_at_local_times_of_the_days_from_the_decision_on():
    """Decided 12:00 UTC, which is 17:30 in Kolkata: nine o'clock is over there, so it leaves at once."""
    found = starts("Asia/Kolkata", (0, "09:00"), (0, "18:00"), (1, "00:00"))
    assert found == [NOW, NOW + timedelta(minutes=30), NOW + timedelta(hours=6, minutes=30)]
    # In Auckland it is the 24th already.
    assert starts("Pacific/Auckland", (0, "00:00"), (1, "00:00"))[1] == datetime(2026, 11, 24, 11, tzinfo=UTC)


def test_dates_that_are_over_leave_at_once_and_those_to_come_wait():
    found = starts("UTC", ("2026-11-20", "09:00"), ("2026-11-23", "12:00"), ("2026-11-23", "13:01"))
    assert found == [NOW, NOW, NOW + timedelta(minutes=61)]


def test_a_wave_starts_at_the_first_minute_that_the_clock_has_from_then_on():
    """Berlin's clock goes from 02:00 to 03:00 on 2027-03-28, and twice through 02:30 on 2027-10-31; Samoa
    had no 30 December 2011."""
    waves = {"counts": [1, "rest"], "starts": [{"day": 0, "at": "02:30"}, {"day": 2, "at": "02:30"}]}

    def second(zone: str, decided_at: datetime) -> datetime:
        return wave_starts(Waves.model_validate(waves | {"time_zone": zone}), decided_at)[1]

    assert second("Europe/Berlin", datetime(2027, 3, 26, 12, tzinfo=UTC)) == datetime(
        2027, 3, 28, 1, tzinfo=UTC
    )
    assert second("Europe/Berlin", datetime(2027, 10, 29, 12, tzinfo=UTC)) == datetime(
        2027, 10, 31, 0, 30, tzinfo=UTC
    )
    assert second("Pacific/Apia", datetime(2011, 12, 28, 12, tzinfo=UTC)) == datetime(
        2011, 12, 30, 10, tzinfo=UTC
    )


def test_each_wave_has_openings_of_its_own_and_one_that_is_too_late_has_none():
    """Decided 12:00, valid for a day, open 08:00 to 18:00 UTC: the third wave starts after the validity."""
    night = {"window": {"start": "08:00", "end": "18:00"}}
    spec = campaign(waves={"shares": [10, 20, 70], "every": "15h"}, send_time=night)
    found = {each.wave: each.opens_at for each in row(spec).openings if each.time_zone == "UTC"}
    assert found == {1: NOW, 2: datetime(2026, 11, 24, 8, tzinfo=UTC), 3: None}


def test_a_plan_warns_of_a_wave_that_the_run_is_not_valid_for():
    given = [{"date": "2026-11-23", "at": "13:00"}, {"date": "2026-11-24", "at": "12:01"}]
    found = row(campaign(waves={"counts": [5, "rest"], "starts": given}))
    (warning,) = late_waves(found)
    assert warning.startswith("wave 2 would leave at 2026-11-24 12:01Z, and the run is valid until ")
    assert late_waves(replace(found, valid_until=found.waves[1].starts_at)) == []


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
