"""What a cap leaves a person, at its boundaries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from filelock import FileLock

from kundresa import settings as configuration
from kundresa.runs.capping import RuleSetNotFound
from kundresa.runs.journey_caps import Allowance, alone, caps_of
from kundresa.spec.journey import Journey
from kundresa.spec.policies import Policies
from kundresa.spec.pressure import Cap
from kundresa.store import CountedMessage
from kundresa.warehouse import Recipient

NOW = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def person(profile_id: str = "p1", zone: str | None = "Europe/Stockholm") -> Recipient:
    return Recipient({"profile_id": profile_id, "time_zone": zone}, "a@x.test", True, None, None)


def had(at: datetime, who: str = "p1", *, name: str = "m", channel: str = "email", topic: str = "offers"):
    return CountedMessage(name, who, channel, topic, at)


def full(cap: dict, *messages: CountedMessage, who: Recipient | None = None, members=None) -> bool:
    caps = [Cap.model_validate({"name": "a", "max": 1} | cap)]
    allowance = Allowance(caps, {"orders"}, messages, members or {}, [])
    return allowance.full("new", who or person(), NOW) is not None


ROLLING = {"within": "1d"}


@pytest.mark.parametrize(
    ("away", "counts"), [(-DAY, False), (-DAY + SECOND, True), (DAY - SECOND, True), (DAY, False)]
)
def test_a_rolling_cap_counts_less_than_its_window_on_both_sides(away, counts):
    assert full(ROLLING, had(NOW + away)) is counts


def test_a_calendar_cap_counts_the_persons_own_day():
    """It is 00:30 of the 24th in Stockholm, and 23:30 of the 23rd in UTC."""
    day = {"period": "day", "time_zone": "recipient"}
    midnight = NOW - timedelta(minutes=30)
    assert full(day, had(midnight))
    assert not full(day, had(midnight - SECOND))
    assert full(day, had(midnight + DAY - SECOND))
    assert not full(day, had(midnight + DAY))
    for unknown in (None, "Mars/Olympus"):  # as in UTC
        assert full(day, had(midnight - SECOND), who=person(zone=unknown))
        assert not full(day, had(midnight + DAY - SECOND), who=person(zone=unknown))
    assert full({"period": "day", "time_zone": "UTC"}, had(midnight - SECOND))


def test_a_cap_counts_its_channels_and_topics():
    assert not full({**ROLLING, "channels": ["sms"]}, had(NOW))
    assert full({**ROLLING, "channels": ["sms"]}, had(NOW, channel="sms"))
    assert not full({**ROLLING, "topics": ["news"]}, had(NOW))
    assert not full(ROLLING, had(NOW, topic="orders"))
    assert full({**ROLLING, "topics": ["orders"]}, had(NOW, topic="orders"))


def test_a_message_that_is_reserved_does_not_stop_itself_and_none_at_all_stops_everybody():
    assert not full(ROLLING, had(NOW, name="new"))
    assert full({**ROLLING, "max": 0})


def test_a_household_is_counted_together():
    household = {**ROLLING, "counted_per": "region"}
    members = {"region": {"p1": ["p1", "p2"]}}
    assert full(household, had(NOW, "p2"), members=members)
    assert not full(household, had(NOW, "p3"), members=members)
    assert not full(household, had(NOW, "p2"))  # without a value each is alone


def test_what_is_decided_counts_for_who_is_decided_next_and_the_first_full_cap_is_named():
    caps = [
        Cap.model_validate({"name": "b", "max": 2, "within": "1d"}),
        Cap.model_validate({"name": "a", "max": 2, "within": "7d"}),
        Cap.model_validate({"name": "c", "max": 1, "within": "1d", "channels": ["sms"]}),
    ]
    taken: list[CountedMessage] = []
    allowance = Allowance(caps, (), [had(NOW)], {}, taken)
    assert allowance.full("new", person(), NOW) is None
    allowance.take("new", person(), "email", "offers", NOW)
    assert [each.message_id for each in taken] == ["new"]
    assert allowance.full("next", person(), NOW) == "a"
    assert allowance.full("next", person("p2"), NOW) is None


def test_a_step_is_under_the_caps_of_its_sets_that_count_it():
    policies = Policies.model_validate(
        {
            "topics": {"orders": {"consent": "exempt", "because": "they ordered"}},
            "pressure": {
                "default": [
                    {"name": "all", "max": 1, "within": "1d"},
                    {"name": "texts", "max": 1, "within": "1d", "channels": ["sms"]},
                    {"name": "news", "max": 1, "within": "1d", "topics": ["news"]},
                ],
                "strict": [{"name": "strict", "max": 1, "within": "9d"}],
            },
        }
    )

    def names(**changes) -> list[str]:
        channel = {"kind": "email", "template": "m", "account": "a", "sender": "a@shop.example"}
        step = {"kind": "message", "channel": channel}
        spec = {
            "name": "cart",
            "owner": "crm",
            "description": "The cart.",
            "entry": {"event": "cart"},
            "topic": "offers",
            "steps": {"mail": step},
        }
        journey = Journey.model_validate(spec | changes)
        return [cap.name for cap in caps_of(journey.message_campaign("mail"), policies)]

    assert names() == ["all"]
    assert names(topic="news") == ["all", "news"]
    assert names(rule_sets=["strict", "default"]) == ["strict", "all"]
    assert names(rule_sets=[]) == names(topic="orders") == []
    with pytest.raises(RuleSetNotFound, match="lax"):
        names(rule_sets=["lax"])


def test_nobody_counts_while_somebody_else_decides(tmp_path):
    settings = configuration.load({"KUNDRESA_HOME": str(tmp_path / "home")})
    with alone(settings) as first:
        assert first
    with FileLock(settings.home / "decide.lock"), alone(settings) as is_alone:
        assert not is_alone
    with alone(settings) as again:
        assert again
