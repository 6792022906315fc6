"""What capacities and warm-ups leave to a journey's message: each at its boundary, and many against a plain
reference that goes through the periods one by one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundresa.runs.journey_limits import Drawn, Limit, Period, Room, Taken, limits_of
from kundresa.runs.journey_rules import MessageRules
from kundresa.spec.journey import Journey
from kundresa.spec.policies import Policies
from kundresa.spec.vocabulary import DecisionReason
from kundresa.store import JourneyMessage, LatestAnswers
from kundresa.warehouse import Recipient

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
NOBODY = LatestAnswers({}, {}, {})


class Given(Taken):
    """The places that are taken, as given: limit → start of a period → how many."""

    def __init__(self, taken: dict[str, dict[datetime, int]] | None = None) -> None:
        self._counts = {
            (name, at): count for name, some in (taken or {}).items() for at, count in some.items()
        }
        self._exact: set[tuple[str, datetime]] = set()

    def _count(self, limit: Limit, period: Period) -> int:
        return self._counts.setdefault((limit.name, period[0]), 0)

    def _given_back(self, limit: Limit, period: Period) -> int:  # noqa: ARG002  nothing is
        return 0


def message(name: str = "m", **changes: Any) -> JourneyMessage:
    made = JourneyMessage(
        message_id=name,
        version=1,
        step="say",
        profile_id=f"p-{name}",
        instance_key="",
        entry=1,
        move=1,
        reached_at=NOW,
        valid_until=NOW + DAY,
        channel="email",
        run_key="r",
        event_json="{}",
        journey="cart",
        state="open",
        not_before=NOW,
        is_delayed=False,
        batch_number=None,
        row_json=None,
        outcome=None,
        reason=None,
        settled_at=None,
        topic="offers",
        variant=None,
        send_at=None,
        cap=None,
        sender_domain=None,
        address_domain=None,
        capacity=None,
    )
    return replace(made, **changes)


def journey(**step: Any) -> Journey:
    channel = {"kind": "email", "template": "a", "account": "b", "sender": "Shop <hello@Shop.example>"}
    spec = {
        "name": "cart",
        "owner": "crm",
        "description": "The cart.",
        "entry": {"event": "cart"},
        "topic": "offers",
        "steps": {"say": {"kind": "message", "channel": channel} | step},
    }
    return Journey.model_validate(spec)


SMS = {"channel": {"kind": "sms", "template": "a", "account": "b", "sender": "Shop"}}
PUSH = {"channel": {"kind": "push", "template": "a", "account": "b", "platform": "fcm"}}


def names(policies: dict[str, Any], now: datetime = NOW, **step: Any) -> list[str]:
    found = limits_of(
        journey(**step).message_campaign("say"), Policies.model_validate(policies), first=now, last=now + DAY
    )
    return [each.name for each in found]


WARM_UP = {"domain": "shop.example", "start": "2026-11-23", "steps": [{"days": 2, "max": 1}]}
LIMITS = {
    "providers": {"google": ["gmail.com", "googlemail.com"], "web": ["web.example"]},
    "warm_ups": [WARM_UP],
    "capacities": [
        {"name": "all", "max": 1, "period": "day"},
        {"name": "texts", "max": 1, "period": "day", "channels": ["sms"]},
        {"name": "theirs", "max": 1, "period": "day", "campaigns": ["cart"]},
    ],
}


def test_a_step_draws_on_its_domains_warm_up_and_its_channels_capacities():
    warm_up = ["shop.example/google", "shop.example/web", "shop.example/other"]
    assert names(LIMITS) == [*warm_up, "all"]
    assert names(LIMITS, topic="whatever") == [*warm_up, "all"]
    assert names(LIMITS, **SMS) == ["all", "texts"]
    assert names(LIMITS, now=NOW + 2 * DAY) == ["all"]
    elsewhere = {**WARM_UP, "domain": "news.shop.example"}
    assert names({**LIMITS, "warm_ups": [elsewhere]}) == ["all"]
    assert names({}) == []


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("gmail.com", "google"),
        ("googlemail.com", "google"),
        ("web.example", "web"),
        ("x.gmail.com", "other"),
        ("", "other"),
    ],
)
def test_an_address_is_of_one_provider(to, expected):
    policies = Policies.model_validate(LIMITS)
    found = limits_of(journey().message_campaign("say"), policies, first=NOW, last=NOW + DAY)
    held = [each.name for each in found if each.holds(Drawn("email", "shop.example", to))]
    assert held == [f"shop.example/{expected}", "all"]
    assert [each.name for each in found if each.holds(Drawn("email", "other.example", to))] == ["all"]
    assert [each.name for each in found if each.holds(Drawn("push", None, None))] == ["all"]


def test_the_periods_of_a_capacity_that_has_dates_are_all_of_the_time():
    dates = [{"first": "2026-11-24", "last": "2026-11-24", "max": 2}]
    policies = Policies.model_validate({"capacities": [{"name": "desk", "dates": dates}]})
    [limit] = limits_of(journey().message_campaign("say"), policies, first=NOW, last=NOW + DAY)
    assert [each[2] for each in limit.periods] == [0, 2]
    assert limit.period(MIDNIGHT - timedelta(microseconds=1)) == limit.periods[0]
    assert limit.period(MIDNIGHT) == limit.periods[1]
    assert limit.period(MIDNIGHT + DAY) is None  # nobody asks: no message is valid until then


ANNA = Recipient({"country": "SE", "time_zone": "Europe/Stockholm"}, "anna@Gmail.com", True, NOW - HOUR, None)
DESK = {"capacities": [{"name": "desk", "max": 1, "period": "day"}]}


def decide(
    made: JourneyMessage | None = None,
    *,
    policies: dict[str, Any] = DESK,
    taken: dict[str, dict[datetime, int]] | None = None,
    now: datetime = NOW,
    recipient: Recipient = ANNA,
    **step: Any,
):
    rules = MessageRules.of_step(journey(**step), "say", Policies.model_validate(policies), now=now)
    room = Room(rules.limits, Given(taken))
    made = made or message(valid_until=now + journey(**step).messages["say"].valid_for)
    return rules.decide(made, recipient, suppressed={}, answers=NOBODY, room=room)


TODAY = datetime(2026, 11, 23, tzinfo=UTC)
FULL = {"desk": {TODAY: 1}}


def test_full_today_is_tomorrow():
    assert decide(taken={"desk": {TODAY: 0}}).is_send
    decided = decide(taken=FULL)
    assert (decided.again_at, decided.capacity, decided.reason) == (MIDNIGHT, "desk", None)
    skipped = decide(taken=FULL, no_room="skip")
    assert (skipped.again_at, skipped.capacity, skipped.reason) == (None, "desk", "over_capacity")


@pytest.mark.parametrize(("valid_for", "reason"), [("12h", None), ("11h", "over_capacity")])
def test_it_waits_as_long_as_it_is_valid(valid_for, reason):
    decided = decide(taken=FULL, valid_for=valid_for)
    assert decided.reason == reason
    assert decided.again_at == (None if reason else MIDNIGHT)


def test_it_waits_for_the_end_of_quiet_hours_too_also_where_it_does_not_wait_for_that_alone():
    night = {**DESK, "quiet_hours": [{"start": "21:00", "end": "08:00"}]}
    for quiet in ("delay", "skip"):
        decided = decide(policies=night, taken=FULL, quiet_hours=quiet)
        assert decided.again_at == MIDNIGHT + 7 * HOUR
    late = decide(policies=night, taken=FULL, valid_for="18h")
    assert (late.reason, late.again_at) == ("over_capacity", None)
    # Both: who is delayed to the morning has a place of the morning's day.
    evening = decide(policies=night, taken={"desk": {MIDNIGHT: 1}}, now=NOW + 9 * HOUR)
    assert (evening.reason, evening.capacity) == ("over_capacity", "desk")
    evening = decide(policies=night, taken={"desk": {MIDNIGHT: 1}}, now=NOW + 9 * HOUR, valid_for="2d")
    assert evening.again_at == MIDNIGHT + DAY + 7 * HOUR


def test_every_limit_must_have_room_at_the_same_time_and_the_first_in_the_way_is_named():
    policies = {
        "warm_ups": [{**WARM_UP, "steps": [{"days": 9, "max": 1}]}],
        "providers": LIMITS["providers"],
        "capacities": [{"name": "desk", "max": 1, "period": "day", "time_zone": "Asia/Tokyo"}],
    }
    tokyo = datetime(2026, 11, 23, 15, tzinfo=UTC)
    taken = {"shop.example/google": {TODAY: 1}, "desk": {tokyo - DAY: 1, tokyo: 1}}
    decided = decide(policies=policies, taken=taken, valid_for="3d")
    # Google has room from midnight on, the desk not before the day of Tokyo after.
    assert (decided.again_at, decided.capacity) == (tokyo + DAY, "shop.example/google")
    skipped = decide(policies=policies, taken=taken, no_room="skip")
    assert skipped.reason is DecisionReason.OVER_WARM_UP
    other = decide(policies=policies, taken=taken, recipient=replace(ANNA, address="a@x.example"))
    assert (other.again_at, other.capacity) == (None, "desk")


def test_who_waits_for_a_place_has_it():
    waits = message(send_at=MIDNIGHT, not_before=MIDNIGHT, is_delayed=True, valid_until=NOW + DAY)
    full = {"desk": {TODAY: 1, MIDNIGHT: 1}}
    assert decide(waits, taken=full, now=MIDNIGHT).is_send
    assert decide(message(valid_until=NOW + DAY), taken=full, now=MIDNIGHT).reason == "over_capacity"
    # One fewer than was promised: there is no place after all.
    assert decide(waits, taken={"desk": {MIDNIGHT: 2}}, now=MIDNIGHT).reason == "over_capacity"
    # Looked at too early it goes on waiting, and moves nobody.
    assert decide(waits, taken=full).again_at == MIDNIGHT


def test_who_is_held_out_takes_no_place():
    policies = Policies.model_validate(
        {
            "capacities": [{"name": "desk", "max": 30, "period": "day"}],
            "global_holdout": {"percent": 50},
        }
    )
    rules = MessageRules.of_step(journey(), "say", policies, now=NOW)
    taken = Given()
    room = Room(rules.limits, taken)
    found = [rules.decide(message(f"{n}"), ANNA, suppressed={}, answers=NOBODY, room=room) for n in range(40)]
    held_out = sum(each.reason == "global_holdout" for each in found)
    assert 10 < held_out < 30
    assert taken._counts == {("desk", TODAY): 40 - held_out}


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[str, Any], list[tuple[int, int, bool, str]]]:
    zones = st.sampled_from(("UTC", "Asia/Tokyo", "America/New_York"))
    most = st.integers(0, 3)
    capacities = [
        {"name": f"c{number}", "max": draw(most), "period": "day", "time_zone": draw(zones)}
        | draw(st.sampled_from(({}, {"channels": ["email"]}, {"channels": ["sms"]})))
        for number in range(draw(st.integers(0, 3)))
    ]
    steps = sorted(draw(st.lists(most, min_size=1, max_size=3)))
    warm_up = {
        "domain": "shop.example",
        "start": draw(st.sampled_from(("2026-11-22", "2026-11-23", "2026-11-25"))),
        "time_zone": draw(zones),
        "steps": [{"days": 1, "max": each} for each in steps],
    }
    policies = {
        "providers": {"google": ["gmail.com"]},
        "warm_ups": draw(st.sampled_from(([], [warm_up]))),
        "capacities": capacities,
    }
    asks = st.tuples(
        st.integers(0, 40),  # hours later
        st.integers(1, 90),  # hours that it is valid
        st.booleans(),  # whether it waits
        st.sampled_from(("gmail.com", "x.example")),
    )
    return policies, draw(st.lists(asks, max_size=25))


@settings(deadline=None, max_examples=150)
@given(worlds())
def test_nobody_is_let_through_beyond_a_limit_and_everybody_takes_the_first_place(world):
    """Against a reference that looks at every hour: all edges of these zones' days are whole hours."""
    declared, asks = world
    policies = Policies.model_validate(declared)
    taken = Given()
    left: Counter[tuple[str, datetime]] = Counter()
    for number, (after, valid, waits, to) in enumerate(sorted(asks)):
        now = NOW + after * HOUR
        until = now + valid * HOUR
        spec = journey(valid_for=f"{valid}h", no_room="delay" if waits else "skip")
        rules = MessageRules.of_step(spec, "say", policies, now=now)
        decided = rules.decide(
            message(f"{number}", reached_at=now, valid_until=until),
            replace(ANNA, address=f"a@{to}"),
            suppressed={},
            answers=NOBODY,
            room=Room(rules.limits, taken),
        )
        drawn = Drawn("email", "shop.example", to)

        def full(at: datetime) -> str | None:
            for limit in rules.limits:  # noqa: B023  called at once
                period = limit.period(at) if limit.holds(drawn) else None  # noqa: B023
                if period is not None and left[limit.name, period[0]] >= period[2]:
                    return limit.name
            return None

        in_the_way = full(now)
        hours = [now + hour * HOUR for hour in range(valid + 1 if waits else 1)]
        expected = next((at for at in hours if full(at) is None), None)
        if expected is None:
            assert decided.reason in (DecisionReason.OVER_CAPACITY, DecisionReason.OVER_WARM_UP)
        else:
            assert decided.reason is None
            assert (decided.again_at or now) == expected
            for limit in rules.limits:
                period = limit.period(expected) if limit.holds(drawn) else None
                if period is not None:
                    left[limit.name, period[0]] += 1
                    assert left[limit.name, period[0]] <= period[2]
        assert decided.capacity == in_the_way
