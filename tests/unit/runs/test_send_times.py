"""Which first instants a run has, by time zone and country."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kundresa.runs.send_times import SendHours, run_openings
from kundresa.spec.campaign import Campaign
from kundresa.spec.fields import time_zones
from kundresa.spec.policies import Policies
from kundresa.spec.send_time import SendTime

NOW = datetime(2026, 11, 24, 20, 30, tzinfo=UTC)  # a Tuesday; 21:30 in Stockholm, 15:30 in New York
NIGHT = {"start": "21:00", "end": "08:00"}
WINDOW = {"window": {"start": "09:00", "end": "18:00"}}


def campaign(send_time: dict[str, Any] | None = None) -> Campaign:
    return Campaign.model_validate(
        {
            "name": "sale",
            "owner": "crm",
            "description": "A sale.",
            "schedule": "manual",
            "audience": {"include": ["known"]},
            "topic": "offers",
            "channels": [{"kind": "sms", "template": "text", "account": "texts", "sender": "Shop"}],
            "quality": {"rows": {"min": 0, "max": 10}},
            "send_time": send_time,
        }
    )


def policies(*quiet_hours: dict[str, Any], consent: str = "yes") -> Policies:
    topic = {"consent": consent, "because": "they ordered it"}
    return Policies.model_validate({"topics": {"offers": topic}, "quiet_hours": list(quiet_hours)})


def openings(
    spec: Campaign, policy: Policies, *, hours: int = 24
) -> dict[tuple[str, str], datetime | None] | None:
    found = run_openings(spec, policy, decided_at=NOW, valid_until=NOW + timedelta(hours=hours))
    if found is None:
        return None
    by_place = {(each.time_zone, each.country): each.opens_at for each in found}
    assert len(by_place) == len(found)
    return by_place


def at(hour: int, *, day: int = 25, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_without_hours_there_is_nothing_to_look_up():
    assert openings(campaign(), policies()) is None
    assert openings(campaign({"unknown_time_zone": "UTC"}), policies()) is None


def test_every_zone_has_its_opening():
    found = openings(campaign(WINDOW), policies())
    assert {zone for zone, _ in found} == set(time_zones())
    assert {country for _, country in found} == {""}
    assert found["Europe/Stockholm", ""] == at(8)
    assert found["America/New_York", ""] == NOW
    assert found["Asia/Kolkata", ""] == at(3, minute=30)


def test_an_opening_after_the_validity_is_none():
    assert openings(campaign(WINDOW), policies(), hours=11)["Europe/Stockholm", ""] is None
    assert openings(campaign(WINDOW), policies(), hours=12)["Europe/Stockholm", ""] == at(8)


def test_quiet_hours_hold_in_the_countries_that_they_name_besides_those_of_everybody():
    found = openings(campaign(), policies(NIGHT, {"days": ["wed"], "countries": ["FR", "DE"]}), hours=72)
    assert {country for _, country in found} == {"", "DE", "FR"}
    assert found["Europe/Paris", ""] == at(7)
    assert found["Europe/Paris", "FR"] == found["Europe/Paris", "DE"] == at(7, day=26)
    assert found["America/New_York", "FR"] == NOW


@pytest.mark.parametrize("consent", ["yes", "not_no"])
def test_a_topic_that_asks_for_consent_has_quiet_hours(consent):
    assert openings(campaign(), policies(NIGHT, consent=consent)) is not None


def test_an_exempt_topic_has_no_quiet_hours_but_its_own_window():
    assert openings(campaign(), policies(NIGHT, consent="exempt")) is None
    evening = {"window": {"start": "18:00", "end": "22:00"}}
    found = openings(campaign(evening), policies(NIGHT, consent="exempt"))
    assert found["Europe/Stockholm", ""] == NOW


def test_people_without_a_zone_have_the_one_that_the_campaign_names():
    found = openings(campaign(WINDOW | {"unknown_time_zone": "Asia/Tokyo"}), policies(), hours=48)
    assert found["", ""] == found["Asia/Tokyo", ""] == at(0)


def test_without_a_zone_only_a_country_without_hours_opens():
    quiet = policies(NIGHT | {"countries": ["FR"]})
    found = openings(campaign(), quiet)
    assert {country: when for (zone, country), when in found.items() if not zone} == {"": NOW}
    found = openings(campaign(WINDOW), quiet)
    assert "" not in {zone for zone, _ in found}
    found = openings(campaign({"unknown_time_zone": "Europe/Paris"}), quiet)
    assert {country: when for (zone, country), when in found.items() if not zone} == {"": NOW, "FR": at(7)}


# --------------------------------------------------------------------- asked again when messages are sent


def send_hours(send_time: dict[str, Any] | None, *quiet_hours: dict[str, Any]) -> SendHours:
    parsed = None if send_time is None else SendTime.model_validate(send_time)
    quiet = policies(*quiet_hours).quiet_hours
    return SendHours(parsed, quiet, decided_at=NOW, valid_until=NOW + timedelta(hours=36))


def person(time_zone: str | None, country: str | None = "SE") -> dict[str, Any]:
    return {"time_zone": time_zone, "profile": {"country": country}}


def test_without_hours_every_moment_will_do():
    hours = send_hours(None)
    assert hours.opens_at(person("Europe/Stockholm"), NOW) == NOW
    assert hours.opens_at(person(None), NOW) == NOW


def test_a_late_message_waits_for_the_end_of_the_night_in_its_own_zone():
    hours = send_hours(None, NIGHT)
    stockholm, new_york = person("Europe/Stockholm"), person("America/New_York", "US")
    assert hours.opens_at(stockholm, NOW) == at(7)
    assert hours.opens_at(new_york, NOW) == NOW
    assert hours.opens_at(stockholm, at(7)) == at(7)
    assert hours.opens_at(new_york, at(2)) == at(13)  # 21:00 of the day before in New York


def test_the_window_holds_on_and_at_is_not_waited_for_again():
    hours = send_hours({"at": "09:00"} | WINDOW)
    assert hours.opens_at(person("Europe/Stockholm"), at(8, minute=5)) == at(8, minute=5)
    assert hours.opens_at(person("Europe/Stockholm"), at(17)) == at(8, day=26)
    assert hours.opens_at(person("America/New_York"), at(23)) is None  # opens at 14:00, valid until 08:30


def test_who_was_not_excluded_when_decided_waits_like_the_others():
    hours = send_hours({"outside": "exclude"} | WINDOW)
    assert hours.opens_at(person("Europe/Stockholm"), at(17)) == at(8, day=26)


def test_hours_of_a_country_hold_for_its_people_when_sent_too():
    hours = send_hours(None, NIGHT | {"countries": ["FR"]})
    assert hours.opens_at(person("Europe/Paris", "FR"), NOW) == at(7)
    assert hours.opens_at(person("Europe/Paris", "BE"), NOW) == NOW
    assert hours.opens_at(person("Europe/Paris", None), NOW) == NOW


def test_people_without_a_zone_are_held_by_the_one_that_stands_for_theirs():
    assert send_hours({"unknown_time_zone": "Europe/Paris"}, NIGHT).opens_at(person(None), NOW) == at(7)
    assert send_hours({"unknown_time_zone": "Europe/Paris"}, NIGHT).opens_at(person("Mars"), NOW) == at(7)
    assert send_hours(None, NIGHT).opens_at(person(None), NOW) == NOW


def hourly(
    best_hour: dict[str, Any], policy: Policies, *, decided_at: datetime = NOW, hours: int = 48, **more: Any
) -> dict[tuple[str, int | None], datetime | None]:
    """The openings of a campaign that asks for the best hour, by zone and hour, for most countries."""
    found = run_openings(
        campaign({"best_hour": best_hour, **more}),
        policy,
        decided_at=decided_at,
        valid_until=decided_at + timedelta(hours=hours),
    )
    assert found is not None
    by_hour = {(each.time_zone, each.hour): each.opens_at for each in found if each.country == ""}
    assert len(by_hour) == len([each for each in found if each.country == ""])
    return by_hour


def test_every_hour_of_the_day_is_waited_for_and_who_has_none_leaves_at_once():
    found = hourly({}, policies())
    assert {hour for _, hour in found} == {None, *range(24)}
    assert found["Europe/Stockholm", None] == NOW
    assert found["Europe/Stockholm", 22] == at(21, day=24)
    assert found["Europe/Stockholm", 21] == at(20)  # half past nine: tomorrow
    assert found["Asia/Kolkata", 9] == at(3, minute=30)
    assert found["America/New_York", 16] == at(21, day=24)


def test_each_hour_is_where_at_would_have_it():
    window = {"start": "09:00", "end": "18:00", "days": ["thu"]}
    quiet = policies(NIGHT)
    found = hourly({}, quiet, window=window)
    for hour in range(24):
        send_time = {"window": window, "at": f"{hour:02d}:00"} if 9 <= hour < 18 else None
        if send_time is None:
            continue
        fixed = openings(campaign(send_time), quiet, hours=48)
        assert {zone: fixed[zone, ""] for zone in time_zones()} == {
            zone: found[zone, hour] for zone in time_zones()
        }
    # In the night: moved to the next permitted minute.
    assert found["Europe/Stockholm", 3] == at(8, day=26)


def test_an_hour_that_comes_later_than_one_waits_for_it_is_none():
    found = hourly({"within": "6h"}, policies(NIGHT | {"start": "23:00"}))
    assert found["Europe/Stockholm", 22] == at(21, day=24)
    assert found["Europe/Stockholm", 3] == at(7)  # within six hours, and quiet until eight
    assert found["Europe/Stockholm", 4] == found["Europe/Stockholm", None] == NOW
    to_the_second = hourly({"within": "1h"}, policies(), decided_at=at(20))
    assert to_the_second["UTC", 21] == at(21)
    assert to_the_second["UTC", 22] == at(20)


def test_the_day_of_25_hours_and_the_hour_that_does_not_exist():
    # 2026-10-25 in Stockholm: two o'clock comes at 00:00Z and at 01:00Z.
    autumn = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    found = hourly({}, policies(), decided_at=autumn)
    assert found["Europe/Stockholm", 2] == datetime(2026, 10, 25, 0, tzinfo=UTC)
    assert found["Europe/Stockholm", 1] == datetime(2026, 10, 26, 0, tzinfo=UTC)  # 24 h 30 min later
    between = hourly({}, policies(), decided_at=datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    assert between["Europe/Stockholm", 2] == datetime(2026, 10, 26, 1, tzinfo=UTC)  # the first has been
    # 2026-03-29: from 01:59:59 to 03:00:00.
    spring = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
    found = hourly({}, policies(), decided_at=spring)
    assert (
        found["Europe/Stockholm", 2] == found["Europe/Stockholm", 3] == datetime(2026, 3, 29, 1, tzinfo=UTC)
    )


def test_without_a_zone_there_is_no_hour_unless_the_campaign_names_one():
    assert "" not in {zone for zone, _ in hourly({}, policies())}
    found = hourly({}, policies(), unknown_time_zone="Asia/Tokyo")
    assert found["", 9] == found["Asia/Tokyo", 9] == at(0)


def test_an_hour_beyond_the_validity_is_none():
    assert hourly({}, policies(), hours=2)["UTC", 22] == at(22, day=24)
    assert hourly({}, policies(), hours=1)["UTC", 22] is None


def test_at_delivery_the_best_hour_is_not_waited_for_again():
    hours = SendHours(
        SendTime.model_validate({"best_hour": {}}), (), decided_at=NOW, valid_until=NOW + timedelta(days=1)
    )
    row = {"time_zone": "Europe/Stockholm", "profile": {"country": "SE"}}
    assert hours.opens_at(row, NOW) == NOW
