"""Caps: how many messages one person, or one household, may get in a time."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError

from kundresa.spec.fields import (
    Name,
    Names,
    Whole,
    format_duration,
    misplaced,
    parse_duration,
    require_time_zone,
)
from kundresa.spec.spec import Spec

MIN_WINDOW = timedelta(minutes=1)
MAX_WINDOW = timedelta(days=366)
RECIPIENT = "recipient"


def _bounded_window(value: timedelta) -> timedelta:
    if not MIN_WINDOW <= value <= MAX_WINDOW or value.microseconds:
        raise ValueError("expected from 1m to 366d")
    return value


Window = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    AfterValidator(_bounded_window),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]


def _zone_or_recipient(value: str) -> str:
    try:
        return value if value == RECIPIENT else require_time_zone(value)
    except PydanticCustomError as error:
        message = "expected 'recipient' or an IANA time zone, for example Europe/Stockholm"
        raise PydanticCustomError(error.type, message) from None


# Not a union: its error would name both arms.
ZoneOrRecipient = Annotated[str, AfterValidator(_zone_or_recipient)]


class Cap(Spec):
    """At most ``max`` messages within a rolling time or a calendar period, counted over all campaigns and
    journeys.

    What counts is what was sent, what is decided and not yet sent, and what this same decision sends; a
    message that failed or was withheld counts no more.
    """

    name: Name
    """Shown as the reason; unique in the file."""
    max: Annotated[Whole, Field(ge=0, le=1_000)]
    within: Window | None = None
    """A rolling time: in no stretch of this length are there more."""
    period: Literal["day", "week", "month"] | None = None
    """A calendar period instead; a week starts on Monday."""
    time_zone: ZoneOrRecipient = "UTC"
    """Whose midnight a calendar period starts at: an IANA zone, or ``recipient`` for the person's own
    (UTC for one whose zone is unknown)."""
    channels: (
        Annotated[tuple[Literal["email", "sms", "push", "direct_mail", "webhook"], ...], Field(min_length=1)]
        | None
    ) = None
    """Counted together; None is all. A cap per channel is one cap for each."""
    topics: Names | None = None
    """Counted together; None is all but those whose consent is ``exempt``."""
    counted_per: Name | None = None
    """A column of ``profiles`` whose equal values are counted together, as those of a household. None is
    the person; who has no value there is counted alone."""

    @model_validator(mode="after")
    def _one_time(self) -> Cap:
        if (self.within is None) == (self.period is None):
            raise misplaced(("within",), "expected exactly one of 'within' and 'period'")
        return self
