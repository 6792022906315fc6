"""Conditions: each test at its boundary, and what a missing or strange value comes to."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from pydantic import ValidationError

from kundresa.spec.conditions import Condition, Test, asks_profile


def holds(data: dict, *, event=None, profile=None, segments=()):
    return Condition.model_validate(data).holds(event or {}, profile or {}, segments)


@pytest.mark.parametrize(
    ("test", "passes", "fails"),
    [
        ({"equals": "SE"}, ["SE"], ["NO", None, 1, True]),
        ({"equals": 1}, [1, 1.0], ["1", True, None]),
        ({"equals": True}, [True], [1, False]),
        ({"one_of": ["a", 2]}, ["a", 2], ["b", None]),
        ({"not_one_of": ["a"]}, ["b", None], ["a"]),
        ({"at_least": 50}, [50, 51.5], [49.99, "50", None, True]),
        ({"more_than": 50}, [50.01], [50]),
        ({"at_most": 50}, [50], [50.01]),
        ({"less_than": 50}, [49], [50]),
        ({"at_least": "2026-11-23"}, ["2026-11-23", "2027"], ["2026-11-22", 3]),
        ({"includes": "x"}, [["x", "y"]], [["y"], "x", None]),
        ({"is_set": True}, [0, "", False], [None]),
        ({"is_set": False}, [None], [0]),
        ({"at_least": 10, "less_than": 20}, [10, 19], [20, 9]),
        ({"at_least": 19.9}, [Decimal("19.90"), Decimal(20)], [Decimal("19.89"), Decimal("NaN")]),
        ({"equals": 0.1}, [Decimal("0.10")], [Decimal("0.11")]),
        ({"equals": True}, [], [Decimal(1)]),
        ({"at_least": "2026-11-23"}, [date(2026, 11, 23)], [date(2026, 11, 22)]),
        ({"less_than": "2026-11-23"}, [date(2026, 11, 22)], [date(2026, 11, 23)]),
        ({"equals": "2026-11-23"}, [date(2026, 11, 23)], [date(2026, 11, 24)]),
        ({"one_of": ["2026-11-23"]}, [date(2026, 11, 23)], [date(2026, 11, 24)]),
        ({"not_one_of": ["2026-11-23"]}, [date(2026, 11, 24), None], [date(2026, 11, 23)]),
        ({"at_least": "2026-11-23T09:00:00Z"}, [], [date(2026, 11, 24)]),
        ({"at_least": "soon"}, [], [date(2026, 11, 23), datetime(2026, 11, 23, tzinfo=UTC)]),
        ({"at_least": 5}, [], [date(2026, 11, 23), datetime(2026, 11, 23, tzinfo=UTC)]),
        (
            {"at_least": "2026-11-23T10:00:00+01:00"},
            [datetime(2026, 11, 23, 9, tzinfo=UTC), datetime.fromisoformat("2026-11-23T09:00:00")],
            [datetime(2026, 11, 23, 8, 59, 59, tzinfo=UTC)],
        ),
        (
            {"more_than": "2026-11-23"},
            [datetime(2026, 11, 23, 0, 0, 1, tzinfo=UTC)],
            [
                datetime.fromisoformat("2026-11-23"),
                datetime(2026, 11, 23, 0, 30, tzinfo=timezone(timedelta(hours=1))),
            ],
        ),
        ({"equals": "2026-11-23T09:00:00"}, [datetime(2026, 11, 23, 9, tzinfo=UTC)], [date(2026, 11, 23)]),
    ],
)
def test_one_value(test, passes, fails):
    made = Test.model_validate(test)
    assert [value for value in passes if not made.holds(value)] == []
    assert [value for value in fails if made.holds(value)] == []


def test_all_that_is_said_must_hold():
    said = {"event": {"value": {"at_least": 50}}, "profile": {"country": "SE"}, "in_segment": ["vip", "new"]}
    assert holds(said, event={"value": 60}, profile={"country": "SE"}, segments={"new"})
    assert not holds(said, event={"value": 40}, profile={"country": "SE"}, segments={"new"})
    assert not holds(said, event={"value": 60}, profile={}, segments={"new"})
    assert not holds(said, event={"value": 60}, profile={"country": "SE"}, segments={"other"})


def test_of_any_of_one_is_enough_and_not_in_segment_excludes():
    said = {"any_of": [{"event": {"a": 1}}, {"event": {"b": 1}}], "not_in_segment": ["staff"]}
    assert holds(said, event={"b": 1})
    assert not holds(said, event={"c": 1})
    assert not holds(said, event={"b": 1}, segments={"staff"})


@pytest.mark.parametrize("empty", [{}, {"event": {"a": {}}}, {"any_of": [{}]}])
def test_what_says_nothing_is_refused(empty):
    with pytest.raises(ValidationError):
        Condition.model_validate(empty)


def test_whether_a_person_must_be_looked_up():
    assert not asks_profile(None)
    assert not asks_profile(Condition.model_validate({"event": {"a": 1}}))
    assert asks_profile(Condition.model_validate({"any_of": [{"profile": {"a": 1}}]}))
