"""How fast messages may leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field, model_validator

from kundresa.spec.fields import HostName
from kundresa.spec.spec import Spec

SLOWEST = 0.001
FASTEST = 100_000
"""Messages per second: one in a quarter of an hour, and more than one account has ever been asked for."""

WHOLE_ACCOUNT = ""
"""Stands for all domains together, where paces are listed by domain."""

FIRST_REST = timedelta(minutes=5)
LONGEST_REST = timedelta(hours=1)
"""How long a receiving domain is left alone that refuses everybody for now: doubled from the first to this,
while the first message after it is refused too."""

PerSecond = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=SLOWEST, le=FASTEST)]


@dataclass(frozen=True, slots=True)
class Rest:
    """A receiving domain is left alone for a while."""

    until: datetime
    """After it the first answer decides whether there is another."""
    number: int
    """Of the rests in a row, from 1."""
    detail: str
    """What it said; one line without addresses."""


class Pace(Spec):
    """Messages per second through one sender account, over all campaigns and all workers."""

    per_second: PerSecond | None = None
    """0.001 to 100000. None (null): no limit but those of the domains."""
    domains: Annotated[Mapping[HostName, PerSecond], Field(max_length=100)] = {}
    """The same for receiving domains, by what stands behind the @."""

    @model_validator(mode="after")
    def _limits_something(self) -> Pace:
        if self.per_second is None and not self.domains:
            raise ValueError("expected 'per_second', 'domains' or both")
        return self


def pace_rates(pace: Pace | None) -> dict[str, float]:
    """Messages per second by domain; that of the whole account under ``WHOLE_ACCOUNT``. Empty: no limit."""
    if pace is None:
        return {}
    whole = {} if pace.per_second is None else {WHOLE_ACCOUNT: pace.per_second}
    return {**whole, **pace.domains}
