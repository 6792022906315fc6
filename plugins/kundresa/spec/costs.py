"""What a message costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from kundresa.spec.fields import CURRENCY_PATTERN
from kundresa.spec.spec import Spec

MICROS = 1_000_000
"""Costs are added up as whole millionths of the currency: sums of binary fractions depend on their order."""


def whole_micros(value: float) -> float:
    """The value, when it is a whole number of millionths.

    Raises:
        ValueError: when it has more decimals.
    """
    if abs(value * MICROS - round(value * MICROS)) > 1e-3:
        raise ValueError("expected at most six decimals")
    return value + 0.0


Cost = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1_000), AfterValidator(whole_micros)]


class Costs(Spec):
    """What one message costs, per channel."""

    currency: Annotated[str, Field(pattern=CURRENCY_PATTERN)]
    """ISO 4217, three capital letters; one for the installation."""
    per_message: Mapping[Literal["email", "sms"], Cost] = {}
    """0 to 1000 with at most six decimals. A channel that is not here has no known cost."""


def micros(amount: float) -> int:
    """An amount of the currency in whole millionths."""
    return round(amount * MICROS)
