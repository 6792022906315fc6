from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kundresa.channels.outage import DOWN_FOR, Outage

START = datetime(2026, 11, 23, 9, tzinfo=UTC)


class Time:
    def __init__(self) -> None:
        self.now = START
        self.slept: list[float] = []

    def clock(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def test_three_failures_in_a_row_are_an_outage() -> None:
    time = Time()
    outage = Outage(time.clock, time.sleep)
    for _ in range(3):
        assert outage.may_try()
        outage.failed("refused")
    assert not outage.may_try()
    assert time.slept == [0.2, 1.0]
    assert outage.retry_at() == START + DOWN_FOR
    assert outage.detail == "refused"


def test_after_it_one_try_decides() -> None:
    time = Time()
    outage = Outage(time.clock, time.sleep)
    for _ in range(3):
        outage.failed("refused")
    time.now += DOWN_FOR
    assert outage.may_try()
    outage.failed("still refused")
    assert not outage.may_try()
    time.now += DOWN_FOR
    assert outage.may_try()
    outage.over()
    outage.failed("once")
    assert outage.may_try()


def test_a_success_between_failures_resets_the_count() -> None:
    time = Time()
    outage = Outage(time.clock, time.sleep)
    for _ in range(10):
        outage.failed("refused")
        outage.over()
    assert outage.may_try()
    assert time.slept == []
    assert outage.retry_at() == START + timedelta(seconds=60)
