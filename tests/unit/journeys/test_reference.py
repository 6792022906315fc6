"""The engine against one person at a time, on random journeys and streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.journeys.conftest import NOW, World
from tests.unit.journeys.lives import (
    CHANNEL,
    MINUTE,
    PEOPLE,
    PROFILES,
    SEGMENTS,
    compare,
    journeys,
    late_streams,
    streams,
)
from tests.unit.journeys.reference import Reference

from kundresa.spec.journey import AudienceEntry, BusinessEventEntry, Journey

LIVES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)


@given(journeys(), streams)
@LIVES
def test_sets_come_to_the_same_as_one_person_at_a_time(
    empty_store: Path, journey: Journey, stream: Any
) -> None:
    compare(empty_store, journey, stream, Reference(journey, PROFILES, SEGMENTS))


AWAITING = {
    "s0": {"kind": "message", "channel": CHANNEL},
    "s1": {"kind": "wait_for", "event": "order", "within": "10m", "timeout": "s3"},
    "s2": {"kind": "message", "channel": CHANNEL, "on": {"not_sent": "s4"}},
    "s3": {"kind": "message", "channel": CHANNEL},
    "s4": {
        "kind": "wait_for",
        "event": "order",
        "where": {"event": {"value": 1}},
        "within": "1h",
        "timeout": "end",
    },
}

# What comes after the first wait: another message, or another wait for the same event.
SECONDS = (AWAITING["s2"], {"kind": "wait_for", "event": "order", "within": "1h", "timeout": "s4"})


@given(st.sampled_from(["0s", "5m"]), st.sampled_from(["91d", "10m"]), st.sampled_from(SECONDS), late_streams)
@LIVES
def test_what_was_read_before_an_outcome_is_known_comes_to_the_same(
    empty_store: Path, lateness: str, time_out: str, second: dict[str, Any], stream: Any
) -> None:
    steps = AWAITING | {"s2": second}
    values = {"name": "cart", "owner": "team", "description": "x", "topic": "offers", "steps": steps}
    more = {"entry": {"event": "cart"}, "reentrance": "always", "lateness": lateness, "time_out": time_out}
    journey = Journey.model_validate(values | more)
    compare(empty_store, journey, stream, Reference(journey, PROFILES, SEGMENTS))


readings = st.fixed_dictionaries(
    {
        "audience": st.just("crowd"),
        "every": st.sampled_from(["once", "10m", "1h"]),
        "rate": st.fixed_dictionaries(
            {"people": st.integers(1, 3), "per": st.sampled_from(["minute", "hour"])}
        ),
    }
)
AFTERWARDS = [(60, [("settle", 0)]), (60, [("settle", 0)])]
crowds = st.lists(st.sets(st.sampled_from(PEOPLE)), min_size=1, max_size=8)


@given(journeys(), readings, crowds, streams)
@LIVES
def test_an_audience_is_read_as_one_person_after_the_other_would_have_their_turn(
    empty_store: Path, journey: Journey, reading: Any, crowd: Any, stream: Any
) -> None:
    """People come into the segment and leave it between any two advances."""
    entry = AudienceEntry.model_validate(reading)
    journey = journey.model_copy(update={"entry": entry, "instance_key": None})
    waiting = list(crowd)
    segments: dict[str, set[str]] = {}

    def advance(each: World) -> None:
        inside = waiting.pop(0) if waiting else set(PEOPLE)
        for who in PEOPLE:
            segments[who] = SEGMENTS.get(who, set()) | ({"crowd"} if who in inside else set())
        each.advance()

    reference = Reference(journey, PROFILES, segments, started=NOW)
    compare(empty_store, journey, [*stream, *AFTERWARDS], reference, advance)


businesses = st.fixed_dictionaries(
    {
        "event": st.just("back"),
        "audience": st.just("crowd"),
        "entity": st.sampled_from([None, "key"]),
        "rate": st.fixed_dictionaries(
            {"people": st.integers(1, 4), "per": st.sampled_from(["minute", "hour"])}
        ),
        "where": st.sampled_from([None, None, {"event": {"value": {"at_least": 1}}}]),
    }
)
told_of_business = st.tuples(
    st.integers(0, 7),  # minutes between happening and arriving
    st.fixed_dictionaries({"value": st.integers(0, 2), "key": st.sampled_from(["x", "y"])}),
)
ENTITIES = {"anna": {"x", "y"}, "bo": {"x"}}


@given(
    journeys(),
    businesses,
    crowds,
    st.lists(st.lists(told_of_business, max_size=3), min_size=1, max_size=6),
    streams,
    st.integers(1, 20),
)
@LIVES
def test_events_about_nobody_let_an_audience_in_as_one_after_the_other_would(
    empty_store: Path, journey: Journey, business: Any, crowd: Any, told: Any, stream: Any, most: int
) -> None:
    """People come into the segment and leave it between any two advances, of whatever size."""
    journey = journey.model_copy(update={"entry": BusinessEventEntry.model_validate(business)})
    waiting, calls = list(crowd), list(told)
    segments: dict[str, set[str]] = {}
    reference = Reference(journey, PROFILES, segments, entities=ENTITIES)

    def advance(each: World) -> None:
        inside = waiting.pop(0) if waiting else set(PEOPLE)
        for who in PEOPLE:
            segments[who] = SEGMENTS.get(who, set()) | ({"crowd"} if who in inside else set())
        for lag, data in calls.pop(0) if calls else ():
            each.business(at=each.now - lag * MINUTE, **data)
            if not journey.leaves_out(lag * MINUTE):
                reference.queue.append((each.store.inbox.end(), data))
        each.advance(most_events=most)

    # Where an advance does not take all that there is, people's own would come after turns of their time.
    if most < 10:
        stream = [(minutes, [each for each in some if each[0] == "settle"]) for minutes, some in stream]
    compare(empty_store, journey, [*stream, *AFTERWARDS], reference, advance)
