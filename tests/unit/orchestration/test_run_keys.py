"""From a DAG run's times to a run key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.orchestration.run_keys import identify, logical_instant
from kundresa.spec.vocabulary import Trigger


@dataclass
class Run:
    run_type: str
    logical_date: datetime | None
    run_after: datetime


AFTER = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
INSTANTS = st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001  the strategy adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.timezones(),
)


@given(
    logical=st.none() | INSTANTS, after=INSTANTS, kind=st.sampled_from(["scheduled", "manual", "backfill"])
)
def test_the_key_depends_on_the_instant_alone(logical: datetime | None, after: datetime, kind: str) -> None:
    identity = identify("winback", Run(kind, logical, after))

    assert identity.logical_at == (logical or after).astimezone(UTC)
    assert identity.logical_at.tzinfo is UTC
    other_clock = (logical or after).astimezone(timezone(timedelta(hours=-7)))
    assert identify("winback", Run("scheduled", other_clock, AFTER)).run_key == identity.run_key


def test_a_pendulum_instant_becomes_a_plain_one_with_its_microseconds() -> None:
    instant = pendulum.datetime(2026, 3, 29, 2, 30, 0, 17, tz="Europe/Stockholm")

    plain = logical_instant(Run("manual", instant, AFTER))

    assert type(plain) is datetime
    assert plain.isoformat() == "2026-03-29T01:30:00.000017+00:00"


@pytest.mark.parametrize(
    ("run_type", "trigger"),
    [
        ("scheduled", Trigger.SCHEDULED),
        ("asset_triggered", Trigger.ASSET),
        ("manual", Trigger.MANUAL),
        ("backfill", Trigger.BACKFILL),
    ],
)
def test_what_started_it_is_noted_but_no_part_of_the_key(run_type: str, trigger: Trigger) -> None:
    identity = identify("winback", Run(run_type, AFTER, AFTER))

    assert identity.trigger is trigger
    assert identity.run_key == "winback--20260329T003000Z"


def test_an_unknown_run_type_is_an_error() -> None:
    with pytest.raises(KeyError):
        identify("winback", Run("telepathic", AFTER, AFTER))
