from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from kundresa.content.filters import TemplateValueError, format_date, money


@pytest.mark.parametrize(
    ("value", "currency", "shown"),
    [
        (1234.5, "EUR", "€1,234.50"),
        (0, "USD", "$0.00"),
        (-3.999, "GBP", "-£4.00"),
        (-0.001, "EUR", "€0.00"),
        (Decimal("1000000"), "SEK", "1,000,000.00\u00a0SEK"),
    ],
)
def test_money(value: object, currency: str, shown: str) -> None:
    assert money(value, currency) == shown


@pytest.mark.parametrize("value", ["12", None, True, float("nan"), float("inf"), [1]])
def test_money_refuses_what_is_no_amount(value: object) -> None:
    with pytest.raises(TemplateValueError, match="money takes a finite number"):
        money(value)


def test_date() -> None:
    assert format_date(date(2026, 11, 3)) == "3 November 2026"
    assert format_date(datetime(2026, 1, 31, tzinfo=UTC)) == "31 January 2026"
    assert format_date(date(2026, 11, 3), "%Y-%m-%d") == "2026-11-03"


@pytest.mark.parametrize("value", ["2026-11-03", 5, None])
def test_date_refuses_what_is_none(value: object) -> None:
    with pytest.raises(TemplateValueError, match="date takes a date"):
        format_date(value)


def test_date_pattern_is_bounded() -> None:
    with pytest.raises(TemplateValueError, match="at most 100"):
        format_date(date(2026, 11, 3), "%Y" * 51)
