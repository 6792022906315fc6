"""The helpers, by locale."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.content.environment import build_environment
from kundresa.content.filters import LOCALE, TemplateValueError, locale_of

Write = Callable[..., str]


@pytest.fixture
def write() -> Write:
    """What an expression comes to in a locale."""

    def render(expression: str, locale: str = "en", country: str | None = None, **names: Any) -> str:
        template = build_environment({}).from_string("{{ " + expression + " }}")
        return template.render({LOCALE: locale_of(locale, country), **names}).replace("\u202f", "\u00a0")

    return render


@pytest.mark.parametrize(
    ("value", "currency", "locale", "shown"),
    [
        (1234.5, "EUR", "en", "€1,234.50"),
        (0, "USD", "en", "$0.00"),
        (-3.999, "GBP", "en", "-£4.00"),
        (-0.001, "EUR", "en", "€0.00"),
        (Decimal("1000000"), "SEK", "en", "SEK\u00a01,000,000.00"),
        (1234.5, "SEK", "sv", "1\u00a0234,50\u00a0kr"),
        (1234.5, "EUR", "de", "1.234,50\u00a0€"),
        (1234.5, "JPY", "ja", "￥1,234"),
    ],
)
def test_money(write: Write, value: object, currency: str, locale: str, shown: str) -> None:
    assert write(f"x | money('{currency}')", locale, x=value) == shown


@pytest.mark.parametrize("value", ["12", True, float("nan"), float("inf"), [1]])
@pytest.mark.parametrize("name", ["money('EUR')", "number", "percent", "plural(other='x')"])
def test_what_is_no_number_is_refused(write: Write, value: object, name: str) -> None:
    with pytest.raises(TemplateValueError, match="takes a finite number"):
        write(f"x | {name}", x=value)


@pytest.mark.parametrize("currency", ["", "('kr')", "('euro')"])
def test_money_needs_a_currency_that_there_is(write: Write, currency: str) -> None:
    with pytest.raises(TemplateValueError, match="ISO 4217"):
        write(f"1 | money{currency}")


@pytest.mark.parametrize(
    ("expression", "locale", "shown"),
    [
        ("1234.5 | number", "en", "1,234.5"),
        ("1234.5 | number(2)", "sv", "1\u00a0234,50"),
        ("1234567 | number", "hi", "12,34,567"),
        ("-0.4 | number(0)", "en", "0"),
        ("0.153 | percent", "en", "15%"),
        ("0.153 | percent(1)", "en", "15.3%"),
        ("0.153 | percent(1)", "sv", "15,3\u00a0%"),
        ("1 | plural(one='one order', other='{n} orders')", "en", "one order"),
        ("1200 | plural(one='one order', other='{n} orders')", "en", "1,200 orders"),
        (
            "2 | plural(one='{n} zamówienie', few='{n} zamówienia', other='{n} zamówień')",
            "pl",
            "2 zamówienia",
        ),
        ("5 | plural(one='{n} zamówienie', few='{n} zamówienia', other='{n} zamówień')", "pl", "5 zamówień"),
        ("['a', 'b', 'c'] | listed", "en", "a, b, and c"),
        ("['a', 'b', 'c'] | listed", "sv", "a, b och c"),
        ("['a', 'b'] | listed('or')", "en", "a or b"),
    ],
)
def test_numbers_plurals_and_lists(write: Write, expression: str, locale: str, shown: str) -> None:
    assert write(expression, locale) == shown


def test_plural_knows_its_categories(write: Write) -> None:
    with pytest.raises(TemplateValueError, match="needs other"):
        write("1 | plural(one='x')")
    with pytest.raises(TemplateValueError, match="no category 'single'"):
        write("1 | plural(single='x', other='y')")


DAY = date(2026, 11, 3)
INSTANT = datetime(2026, 11, 3, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "locale", "country", "shown"),
    [
        ("day | date", "en", None, "November 3, 2026"),
        ("day | date", "en", "SE", "3 November 2026"),
        ("day | date", "sv", "SE", "3 november 2026"),
        ("day | date('short')", "sv", None, "2026-11-03"),
        ("day | date('d MMMM')", "de", "AT", "3 November"),
        ("day | date(locale='sv_SE')", "en", None, "3 november 2026"),
        ("instant | date(zone='Europe/Stockholm')", "sv", None, "4 november 2026"),
        ("instant | date(zone='America/New_York')", "sv", None, "3 november 2026"),
        ("instant | datetime('Europe/Stockholm', 'yyyy-MM-dd HH:mm')", "en", None, "2026-11-04 00:30"),
        ("instant | datetime('Europe/Stockholm')", "sv", "SE", "4 nov. 2026 00:30:00"),
    ],
)
def test_dates(write: Write, expression: str, locale: str, country: str | None, shown: str) -> None:
    assert write(expression, locale, country, day=DAY, instant=INSTANT) == shown


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("'2026-11-03' | date", "date takes a date"),
        ("5 | date", "date takes a date"),
        ("instant | date", "depends on where"),
        ("day | datetime('UTC')", "datetime takes a timestamp"),
        ("instant | datetime('Sweden')", "IANA time zone"),
        ("day | date('%Y-%m-%d')", "a pattern as yyyy-MM-dd"),
        ("day | date('y' * 101)", "at most 100"),
        ("day | date(locale='zz_ZZ')", "there is no locale"),
    ],
)
def test_dates_that_cannot_be_written(write: Write, expression: str, problem: str) -> None:
    with pytest.raises(TemplateValueError, match=problem):
        write(expression, day=DAY, instant=INSTANT)


def test_a_country_without_the_language_leaves_the_language() -> None:
    assert str(locale_of("sv", "FI")) == "sv_FI"
    assert str(locale_of("sv", "BR")) == "sv"
    assert str(locale_of("en", "??")) == "en"
    with pytest.raises(TemplateValueError, match="there is no language 'qq'"):
        locale_of("qq", None)


@given(st.floats(-1e14, 1e14), st.sampled_from(["en", "sv", "ar", "hi", "pl"]))
def test_every_number_can_be_written(value: float, locale: str) -> None:
    template = build_environment({}).from_string("{{ x | number }} {{ x | plural(other='{n}') }}")
    assert template.render({LOCALE: locale_of(locale, None), "x": value})
