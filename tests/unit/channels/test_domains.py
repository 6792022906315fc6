"""When a receiving domain rests, for how long, and who is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kundresa.channels.domains import SLOW_AFTER, Domains
from kundresa.spec.pace import FIRST_REST, LONGEST_REST, Rest

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def domains(clock: Clock) -> Domains[Any]:
    return Domains({}, 20, clock)


def refuse(domains: Domains[Any], times: int) -> None:
    for _ in range(times):
        domains.refused(domains.of("a.de"), "too fast")


def test_five_refusals_in_a_row_are_a_rest_and_it_is_told_once(domains: Domains[Any]) -> None:
    refuse(domains, SLOW_AFTER - 1)
    domains.took(domains.of("a.de"))
    refuse(domains, SLOW_AFTER - 1)
    assert domains.rests_until(domains.of("a.de")) is None
    assert domains.changes() == {}
    refuse(domains, 1)
    assert domains.rests_until(domains.of("a.de")) == NOW + FIRST_REST
    assert domains.changes() == {"a.de": Rest(NOW + FIRST_REST, 1, "too fast")}
    assert domains.changes() == {}


def test_what_was_under_way_when_it_came_to_rest_makes_it_no_longer(domains: Domains[Any]) -> None:
    refuse(domains, SLOW_AFTER + 20)
    domains.took(domains.of("a.de"))
    assert domains.rests_until(domains.of("a.de")) == NOW + FIRST_REST
    assert domains.changes() == {"a.de": Rest(NOW + FIRST_REST, 1, "too fast")}


def test_each_rest_is_twice_as_long_as_the_one_before_up_to_an_hour(
    domains: Domains[Any], clock: Clock
) -> None:
    refuse(domains, SLOW_AFTER - 1)
    lengths = []
    for _ in range(6):
        refuse(domains, 1)
        until = domains.rests_until(domains.of("a.de"))
        assert until
        lengths.append(until - clock.now)
        clock.now = until
        assert domains.rests_until(domains.of("a.de")) is None
    assert lengths == [FIRST_REST * each for each in (1, 2, 4, 8)] + [LONGEST_REST] * 2
    domains.took(domains.of("a.de"))
    assert domains.changes() == {"a.de": None}
    refuse(domains, SLOW_AFTER)
    assert domains.rests_until(domains.of("a.de")) == clock.now + FIRST_REST


def test_what_others_were_told_holds_here(domains: Domains[Any], clock: Clock) -> None:
    until = NOW + timedelta(minutes=20)
    domains.know({"a.de": Rest(until, 3, "slow down")})
    domain = domains.of("a.de")
    assert (domains.rests_until(domain), domain.detail) == (until, "slow down")
    clock.now = until
    assert domains.rests_until(domain) is None
    refuse(domains, 1)
    assert domains.changes() == {"a.de": Rest(until + 8 * FIRST_REST, 4, "too fast")}


def test_what_nobody_knows_any_more_is_over(domains: Domains[Any]) -> None:
    refuse(domains, SLOW_AFTER)
    domains.changes()
    domains.know({})
    assert domains.rests_until(domains.of("a.de")) is None
    refuse(domains, SLOW_AFTER - 1)
    assert domains.changes() == {}, "it counts from the beginning"
