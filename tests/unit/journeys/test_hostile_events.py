"""What anybody can tell a journey, and what must not stop it: moments at the edges of time, keys without end,
times of long ago. Whoever is told of beside it moves on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.journeys.conftest import NOW, World, fast, journey_of
from tests.unit.journeys.reference import Heard, Reference

from kundresa.journeys import JUMP, advance, walking
from kundresa.journeys.apart import AGAIN_AFTER, TOO_MANY
from kundresa.journeys.moments import moment_of
from kundresa.journeys.walking import MOST_AT_ONCE
from kundresa.spec.journey import MAX_KEY
from kundresa.spec.journey_steps import WaitUntilStep
from kundresa.spec.vocabulary import JourneySkip
from kundresa.store import StoreUnavailable

EDGES = (
    "0001-01-01",
    "0001-01-02",
    "9999-12-30",
    "9999-12-31",
    "0002-01-01T00:00:00+23:59",
    "9998-12-31T23:59:59-23:59",
    date.min,
    date.max,
    datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
)
SHIFTS = (
    {},
    {"plus": "1d"},
    {"minus": "1d"},
    {"plus": "366d"},
    {"minus": "366d"},
    {"plus": "36h"},
    {"minus": "90m"},
)
ZONES = ("UTC", "Pacific/Kiritimati", "America/New_York")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("value", EDGES, ids=str)
def test_a_moment_at_the_edges_of_time_is_one_or_is_missing(value, zone):
    for shift in SHIFTS:
        for clock in ({}, {"at": "09:00"}, {"at": "00:00"}):
            step = WaitUntilStep(kind="wait_until", profile="since", time_zone=zone, **shift, **clock)
            found = moment_of(step, NOW, {}, {"since": value})
            assert found is None or (found < NOW) is (str(value) < "2000"), (step, found)


@pytest.mark.parametrize(
    ("step", "value"),
    [
        ("plus: 366d", "9998-12-31T00:00:00Z"),
        ("minus: 366d", "0002-01-01T00:00:00Z"),
        ("plus: 1d", "9999-12-31"),
        ("minus: 3d", "0001-01-01"),
        ("at: '09:00', time_zone: Asia/Tokyo", "0001-01-01"),
    ],
)
def test_who_has_a_moment_that_cannot_be_goes_the_way_of_the_missing(world, step, value):
    steps = f"""
until: {{kind: wait_until, event: day, missing: without, {step}}}
there: {{kind: wait, duration: 1d}}
without: {{kind: wait, duration: 1d}}
"""
    world.start(journey_of(steps))
    world.event("anna", day=value)
    world.event("bo", day="2028-12-24")
    assert world.advance().entered == 2
    assert world.way("anna") == [("until", "entered"), ("without", "missing")]
    assert world.at("bo").step == "until"


def test_a_sentinel_of_the_profile_waits_for_nothing_and_stops_nobody(world):
    world.people.profiles = {"anna": {"since": date(9999, 12, 31)}, "bo": {"since": date(2026, 12, 1)}}
    world.start(journey_of("until: {kind: wait_until, profile: since, plus: 1d}"))
    world.event("anna")
    world.event("bo")
    assert world.advance().entered == 2
    assert (world.at("anna").step, world.at("bo").step) == (None, "until")


def test_a_day_that_does_not_end_waits_for_the_time_out(world):
    world.start(journey_of("until: {kind: wait_until, event: day}", time_out="2d"))
    world.event("anna", day="9999-12-30")
    world.advance()
    assert world.at("anna").due_at == NOW + timedelta(days=2)
    world.after(days=2)
    assert world.at("anna").end_reason == "time_out"


WAIT = "pause: {kind: wait, duration: 1h}"


class TestALongKey:
    LONG = "x" * (MAX_KEY + 1)

    def test_lets_nobody_in_and_is_counted(self, world):
        world.start(journey_of(WAIT, instance_key="key"))
        for key in (self.LONG, self.LONG[1:], "short"):
            world.event("anna", key=key)
        assert world.advance().entered == 2
        assert {each.instance_key for each in world.store.journey_positions.of("cart", ["anna"])} == {
            self.LONG[1:],
            "short",
        }
        assert world.store.journey_positions.skips("cart") == {JourneySkip.KEY_TOO_LONG: 1}

    def test_of_a_jump(self, world):
        world.start(journey_of(WAIT, name="other", instance_key="key", entry={"event": "visit"}))
        world.start(journey_of("over: {kind: jump, journey: other}"))
        world.event("anna", key=self.LONG)
        world.event("bo", key="short")
        world.advance()
        assert world.advance("other").entered == 1
        assert world.store.journey_positions.skips("other") == {JourneySkip.KEY_TOO_LONG: 1}

    def test_of_an_entity(self, world):
        world.people.segments = {"anna": {"vip"}}
        world.people.entities = {"anna": {self.LONG, "short"}}
        entry = {"audience": "vip", "every": "once", "rate": {"people": 9, "per": "hour"}}
        world.start(journey_of(WAIT, entry=entry))
        assert world.advance().entered == 1
        assert world.store.journey_positions.skips("cart") == {JourneySkip.KEY_TOO_LONG: 1}

    def test_of_an_event_that_starts_a_reading_asks_for_no_audience(self, world):
        world.people.segments = {"anna": {"vip"}}
        entry = {"event": "back", "audience": "vip", "rate": {"people": 9, "per": "hour"}}
        world.start(journey_of(WAIT, entry=entry, instance_key="product"))
        world.business(product=self.LONG)
        world.business(product="short")
        assert world.advance().entered == 1
        assert world.store.journey_positions.skips("cart") == {JourneySkip.KEY_TOO_LONG: 1}


LOOP = """
pause: {kind: wait, duration: 1m, next: again}
again:
  kind: condition
  paths: [{when: {event: {over: true}}, go: end}]
  otherwise: pause
"""


class TestLongAgo:
    @pytest.mark.parametrize("at", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2, 1, 1, tzinfo=UTC)])
    def test_whose_time_out_was_over_when_it_came_does_not_enter(self, world, at):
        world.start(journey_of(LOOP))
        world.event("anna", at=at)
        world.event("bo")
        assert world.advance().entered == 1
        assert world.store.journey_positions.skips("cart") == {JourneySkip.TOO_LATE: 1}

    @pytest.mark.parametrize(("ago", "enters"), [(59, True), (60, False)])
    def test_to_the_minute_and_by_when_it_came(self, world, ago, enters):
        world.start(journey_of(WAIT, time_out="1h"))
        world.event("anna", at=NOW - timedelta(minutes=ago))
        world.now += timedelta(days=3)  # nothing ran meanwhile, which is not the event's doing
        assert world.advance().entered == enters

    def test_who_has_far_to_catch_up_does_so_in_several_advances(self, world):
        world.start(journey_of(LOOP))
        ago = timedelta(minutes=2 * MOST_AT_ONCE)
        world.event("anna", at=NOW - ago)
        world.event("bo")
        done = [advance(world.store, world.people, "cart", now=world.now) for _ in range(4)]
        assert [each.is_behind for each in done] == [True, True, True, False]
        assert [each.moved for each in done] == [2, 1, 1, 1]
        assert world.at("bo").moves == 1
        assert world.at("anna").moves == 1 + 2 * 2 * MOST_AT_ONCE
        assert world.at("anna").step_at == NOW
        assert world.at("anna").due_at == NOW + timedelta(minutes=1)

    def test_an_event_finds_who_is_behind_where_they_are_and_lets_them_out(self, world):
        world.start(journey_of(LOOP, exit=[{"event": "order"}]))
        world.event("anna", at=NOW - timedelta(days=30))
        world.event("anna", kind="order")
        world.advance()
        assert (world.at("anna").end_reason, world.at("anna").ended_at) == ("exit", NOW)


HOSTILE = """
until: {kind: wait_until, event: day, plus: 1d, missing: ask}
ask: {kind: wait_for, event: order, within: 10m, timeout: end}
thanks: {kind: wait, duration: 10m, next: end}
"""
told = st.tuples(
    st.sampled_from(["anna", "bo"]),
    st.sampled_from(["cart", "order"]),
    st.sampled_from([0, 3, 89, 90, 30_000_000]),  # minutes ago; the last is 57 years
    st.fixed_dictionaries(
        {
            "day": st.sampled_from([None, "9999-12-31", "9999-12-31x"]),
            "key": st.sampled_from(["x", "y" * MAX_KEY, "z" * (MAX_KEY + 1)]),
        }
    ),
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(stream=st.lists(st.lists(told, max_size=4), min_size=1, max_size=5))
def test_random_hostile_streams_come_to_the_same_as_one_person_at_a_time(
    stream: Any, empty_store: Path
) -> None:
    journey = journey_of(HOSTILE, instance_key="key", reentrance="always", time_out="90m")
    with TemporaryDirectory() as folder, fast(Path(shutil.copy(empty_store, folder))) as store:
        world, reference = World(store), Reference(journey, {}, {})
        world.start(journey)
        refused = 0
        for happened in stream:
            world.now += timedelta(minutes=7)
            for who, name, ago, data in happened:
                at = world.now - timedelta(minutes=ago)
                world.event(who, name, at, **data)
                may_enter = ago < 90 and len(data["key"]) <= MAX_KEY
                if name == "cart" and not may_enter:
                    refused += 1
                else:
                    reference.happen(who, Heard(at, name, data, lag=world.now - at))
            world.advance()
            reference.advance(world.now)
        positions = {
            (each.profile_id, each.instance_key): (
                each.entry,
                each.step,
                each.moves,
                each.entered_at,
                each.ended_at,
            )
            for each in store.journey_positions.of("cart", ["anna", "bo"])
        }
        lives = {key: each[-1] for key, each in reference.lives.items()}
        assert positions == {
            key: (each.entry, each.step, each.moves, each.entered, each.end[0] if each.end else None)
            for key, each in lives.items()
        }
        skips = store.journey_positions.skips("cart")
        assert sum(skips.get(each, 0) for each in (JourneySkip.KEY_TOO_LONG, JourneySkip.TOO_LATE)) == refused


class TestWhoeverCannotBeMoved:
    """By a defect of ours, that some value brings out."""

    STEPS = """
pause: {kind: wait, duration: 1h}
tell: {kind: jump, journey: other}
until: {kind: wait_until, event: day, missing: end}
"""

    @pytest.fixture(autouse=True)
    def defect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(step: Any, at: Any, event: Any, profile: Any) -> Any:
            if event.get("day") == "broken":
                raise ZeroDivisionError
            return moment_of(step, at, event, profile)

        monkeypatch.setattr(walking, "moment_of", broken)

    def test_stays_where_they_are_is_told_of_and_keeps_nobody_back(self, world, caplog):
        world.start(journey_of(self.STEPS))
        world.event("anna", day="broken")
        world.event("bo", day="2026-12-24")
        world.advance()
        before = world.at("anna")
        world.after(hours=1)
        assert world.at("bo").step == "until"
        after = world.at("anna")
        assert after.due_at == world.now + AGAIN_AFTER
        assert replace(after, due_at=before.due_at) == before
        assert world.way("anna")[1:] == [("pause", "set aside: ZeroDivisionError")]
        assert world.store.journey_positions.skips("cart") == {JourneySkip.SET_ASIDE: 1}
        # of the half that was worked out nothing is left
        assert [each.identifier for each in world.store.inbox.after(0, 99, {JUMP + "other"})] == ["bo"]
        assert "anna is set aside" in caplog.text
        assert "ZeroDivisionError" in caplog.text

    def test_is_not_tried_again_all_the_time_and_moves_once_they_can(self, world, monkeypatch):
        world.start(journey_of(self.STEPS))
        world.event("anna", day="broken")
        world.advance()
        world.after(hours=1)
        for _ in range(5):
            assert world.after(minutes=10).moved == 0
        assert world.store.journey_positions.skips("cart") == {JourneySkip.SET_ASIDE: 1}
        world.after(minutes=10)
        assert world.store.journey_positions.skips("cart") == {JourneySkip.SET_ASIDE: 2}
        monkeypatch.setattr(walking, "moment_of", moment_of)
        world.after(hours=1)
        assert world.at("anna").end_reason == "finished"

    def test_does_not_enter_and_is_counted(self, world, caplog):
        world.start(journey_of("until: {kind: wait_until, event: day, missing: end}"))
        world.event("anna", day="broken")
        world.event("bo", day="2026-12-24")
        world.event("eva", day="2026-12-24")
        assert world.advance().entered == 2
        assert world.store.journey_positions.of("cart", ["anna"]) == []
        assert world.store.journey_positions.skips("cart") == {JourneySkip.SET_ASIDE: 1}
        assert world.store.journey_positions.passages("cart")["", ""] == 2
        assert "events of the inbox: [1]" in caplog.text
        assert world.advance().events == 0

    def test_others_are_moved_to_the_same_as_without_them(self, new_world):
        worlds = [new_world(), new_world()]
        for world, who in zip(worlds, (["anna"], []), strict=True):
            world.start(journey_of(self.STEPS))
            for each in (*who, "bo", "eva"):
                world.event(each, day="broken" if each == "anna" else "2026-12-24")
            world.advance()
            world.after(hours=2)
        of = [world.store.journey_positions.of("cart", ["bo", "eva"]) for world in worlds]
        assert of[0] == of[1]
        assert [each.step for each in of[0]] == ["until", "until"]

    def test_where_nobody_of_many_can_it_is_no_fault_of_theirs_and_nothing_is_lost(self, world, monkeypatch):
        world.start(journey_of("until: {kind: wait_until, event: day, missing: end}"))
        for number in range(TOO_MANY):
            world.event(f"p{number}", day="broken")
        with pytest.raises(ZeroDivisionError):
            world.advance()
        assert world.store.journey_positions.skips("cart") == {}
        monkeypatch.setattr(walking, "moment_of", moment_of)
        assert world.advance().entered == TOO_MANY

    def test_what_the_store_raises_is_about_nobody(self, world, monkeypatch):
        def unavailable(*_: Any) -> Any:
            raise StoreUnavailable("locked")

        world.start(journey_of(WAIT))
        world.event("anna")
        with monkeypatch.context() as patched:
            patched.setattr(world.store.journey_positions, "of", unavailable)
            with pytest.raises(StoreUnavailable):
                world.advance()
        assert world.store.journey_positions.skips("cart") == {}
        assert world.advance().entered == 1
