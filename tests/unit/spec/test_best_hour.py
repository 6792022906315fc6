"""Each person's own hour, as a campaign asks for it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from kundresa.spec.buckets import bucket, explore_salt, explored_hour
from kundresa.spec.send_time import SendTime


def test_its_defaults():
    best_hour = SendTime.model_validate({"best_hour": {}}).best_hour
    assert best_hour is not None
    assert (best_hour.within, best_hour.explore) == (timedelta(hours=24), 5)


@pytest.mark.parametrize(
    ("best_hour", "said"),
    [
        ({"within": "59m"}, "from 1h to 24h"),
        ({"within": "25h"}, "from 1h to 24h"),
        ({"within": 6}, "one unit of"),
        ({"explore": 101}, "less than or equal to 100"),
        ({"explore": 1.234}, "two decimals"),
        ({"explores": 5}, "Extra inputs"),
    ],
)
def test_what_it_cannot_be(best_hour, said):
    with pytest.raises(ValidationError, match=said):
        SendTime.model_validate({"best_hour": best_hour})


def test_one_moment_is_one():
    with pytest.raises(ValidationError, match="there are both"):
        SendTime.model_validate({"at": "09:00", "best_hour": {}})


def test_it_is_written_as_it_is_read():
    send_time = SendTime.model_validate({"best_hour": {"within": "6h", "explore": 12.5}})
    assert send_time.model_dump(mode="json")["best_hour"] == {"within": "6h", "explore": 12.5}
    assert SendTime.model_validate(send_time.model_dump(mode="json")) == send_time


def test_who_explores_is_drawn_anew_in_every_run_and_so_is_the_hour():
    people = [f"p{number}" for number in range(4_000)]
    monday, tuesday = explore_salt("sale--1"), explore_salt("sale--2")
    first = {person for person in people if bucket(monday, person) < 500}
    second = {person for person in people if bucket(tuesday, person) < 500}
    assert 150 < len(first) < 250  # 5 % of 4,000, five standard errors either way
    assert len(first & second) < 40
    hours = [explored_hour(monday, person) for person in people]
    assert set(hours) == set(range(24))
    # Not the hour of those whom the same hash has drawn to explore: nearly any hour is tried.
    assert len({explored_hour(monday, person) for person in first}) == 24
