"""The filters that Kundresa adds to Jinja's own. English conventions; other locales come with the
profile's language in a later version."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from jinja2.runtime import Undefined

SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$"}
MAX_DATE_FORMAT = 100


class TemplateValueError(ValueError):
    """A filter got a value it cannot write. The message names the kind of value, never the value."""


def money(value: object, currency: str = "EUR") -> str:
    """``1234.5 | money('EUR')`` → ``€1,234.50``; a currency without a common symbol stands behind:
    ``1,234.50 SEK``, joined by a no-break space.

    Raises:
        TemplateValueError: for what is not a finite number.
    """
    _defined(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        raise TemplateValueError(f"money takes a finite number, not {type(value).__name__}")
    amount = f"{abs(value):,.2f}"
    sign = "-" if value < 0 and float(amount.replace(",", "")) else ""
    symbol = SYMBOLS.get(currency)
    return f"{sign}{symbol}{amount}" if symbol else f"{sign}{amount}\u00a0{currency}"


def format_date(value: object, pattern: str | None = None) -> str:
    """``date(2026, 11, 3) | date`` → ``3 November 2026``; ``pattern`` is one of ``strftime``.

    Raises:
        TemplateValueError: for what is neither a date nor a datetime.
    """
    _defined(value)
    if not isinstance(value, date | datetime):
        raise TemplateValueError(f"date takes a date or a timestamp, not {type(value).__name__}")
    if pattern is None:
        return f"{value.day} {value:%B %Y}"
    if len(pattern) > MAX_DATE_FORMAT:
        raise TemplateValueError(f"a date pattern has at most {MAX_DATE_FORMAT} characters")
    return value.strftime(pattern)


def _defined(value: object) -> None:
    """An undefined value reaches a filter as an object; printing it raises the error that names it."""
    if isinstance(value, Undefined):
        str(value)


FILTERS: dict[str, Callable[..., Any]] = {"money": money, "date": format_date}
