"""Waves: a run that leaves in parts, each only when the results of the one before allow it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from kundresa.spec.fields import (
    DurationText,
    Percent,
    SamplePercent,
    format_duration,
    misplaced,
    parse_duration,
)
from kundresa.spec.spec import Spec

MIN_PAUSE = timedelta(minutes=1)
MAX_PAUSE = timedelta(days=7)


def _bounded_pause(value: timedelta) -> timedelta:
    if not MIN_PAUSE <= value <= MAX_PAUSE or value.microseconds:
        raise ValueError("expected from 1m to 7d")
    return value


Pause = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=DurationText),
    AfterValidator(_bounded_pause),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]


class Hold(Spec):
    """What stops the waves that have not left. Each limit is the most that is still right, in percent of the
    messages of the wave before that receiving servers took (``bounce``, ``failed``: that were tried)."""

    after: Pause = timedelta(hours=1)
    """How long after its last message the results of a wave are looked at: 1m to 7d."""
    bounce_percent: Percent | None = 5
    """Addresses that were refused at once, or are suppressed as bounced since the decision. None: any."""
    failed_percent: Percent | None = None
    """Messages that failed, for whatever reason."""
    complaint_percent: Percent | None = 0.3
    """Addresses that are suppressed for a complaint since the decision."""
    unsubscribe_percent: Percent | None = None
    """People who have said no to the topic, or to everything, on the channel since the decision."""


def _all_of_it(shares: tuple[float, ...]) -> tuple[float, ...]:
    total = sum(round(share * 100) for share in shares)
    if total != 10_000:
        raise ValueError(f"expected shares that are 100 together, not {total / 100:g}")
    return shares


class Waves(Spec):
    """Who leaves when: people are put into waves by a hash that differs from run to run."""

    shares: Annotated[
        tuple[SamplePercent, ...], Field(min_length=2, max_length=20), AfterValidator(_all_of_it)
    ]
    """Of the people, in percent, wave by wave; at most two decimals, 100 together."""
    every: Pause = timedelta(hours=2)
    """Each wave leaves this long after the one before, at the earliest: 1m to 7d."""
    hold: Hold = Hold()

    @model_validator(mode="after")
    def _results_in_time(self) -> Waves:
        if self.hold.after > self.every:
            raise misplaced(
                ("hold", "after"),
                f"results are looked at {format_duration(self.hold.after)} after a wave, and the next "
                f"leaves {format_duration(self.every)} after it: 'every' is too short",
            )
        return self


def wave_buckets(shares: Sequence[float]) -> list[tuple[int, int]]:
    """For each wave the first of its buckets and the end of them, of 10,000."""
    found, start = [], 0
    for share in shares:
        found.append((start, start + round(share * 100)))
        start = found[-1][1]
    return found
