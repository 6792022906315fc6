"""The helpers that Kundresa adds to Jinja's filters: dates, money, numbers, plural, lists, by locale (CLDR,
through Babel).

The locale is that of the words around the value: the language of the template that is written, with the
person's country where CLDR has that pair (``en`` and ``SE`` is ``en_SE``: English words, Swedish commas). A
template says ``locale='sv_SE'`` where it means another. Nothing here knows what time it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date as babel_date
from babel.dates import format_datetime as babel_datetime
from babel.lists import format_list
from babel.numbers import (
    format_currency,
    format_decimal,
    format_percent,
    get_currency_precision,
    list_currencies,
)
from jinja2 import pass_context
from jinja2.runtime import Context, Undefined

from kundresa.spec.fields import require_time_zone

LOCALE = "_locale"
"""The name under which the renderer gives a person's locale to the filters."""
MAX_DATE_FORMAT = 100
MAX_DECIMALS = 10
MAX_NUMBER = 10**15
"""Above, a floating-point number no longer has every unit."""
_LETTER_AND_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
CATEGORIES = ("zero", "one", "two", "few", "many", "other")
"""CLDR's plural categories; a language has two to six of them."""


class TemplateValueError(ValueError):
    """A filter got a value it cannot write. The message names the kind of value, never the value."""


@lru_cache(maxsize=1_000)
def locale_of(language: str, country: str | None) -> Locale:
    """The locale of a language in a country, or of the language alone where CLDR does not have the pair.

    Raises:
        TemplateValueError: for a language that CLDR does not have.
    """
    try:
        if country:
            return Locale.parse(f"{language}_{country}")
    except (UnknownLocaleError, ValueError):
        pass  # a country that is none, or one where the language is not in use
    try:
        return Locale.parse(language)
    except (UnknownLocaleError, ValueError):
        raise TemplateValueError(f"there is no language {language[:20]!r}") from None


@lru_cache(maxsize=1_000)
def _named(name: str) -> Locale:
    try:
        return Locale.parse(name.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        raise TemplateValueError(f"there is no locale {name[:20]!r}; write one as sv_SE or en") from None


def _locale(context: Context, name: str | None) -> Locale:
    if name is not None:
        return _named(str(name))
    found = context.get(LOCALE)
    if isinstance(found, Locale):
        return found
    raise TemplateValueError("the locale is not known here; import the file with context, or say locale='en'")


@pass_context
def money(context: Context, value: object, currency: str | None = None, *, locale: str | None = None) -> str:
    """``1234.5 | money('SEK')`` → ``SEK 1,234.50`` in English, ``1 234,50 kr`` in Swedish, with as many
    decimals as the currency has.

    Raises:
        TemplateValueError: for what is not a finite number, or no ISO 4217 currency.
    """
    amount = _number("money", value)
    where = _locale(context, locale)
    if not isinstance(currency, str) or currency not in _currencies():
        raise TemplateValueError("money takes a currency by its ISO 4217 code, for example money('EUR')")
    exponent = Decimal(1).scaleb(-get_currency_precision(currency))
    # Rounded here: what rounds to nothing has no sign.
    rounded = amount.quantize(exponent, ROUND_HALF_EVEN) + 0
    # CLDR's currencySpacing, which Babel leaves out: SEK 1,234.50 and not SEK1,234.50.
    return _LETTER_AND_DIGIT.sub("\u00a0", format_currency(rounded, currency, locale=where))


@pass_context
def number(context: Context, value: object, decimals: int | None = None, *, locale: str | None = None) -> str:
    """``1234.5 | number`` → ``1,234.5``; ``number(2)`` → ``1,234.50``.

    Raises:
        TemplateValueError: for what is not a finite number; for more than 10 decimals.
    """
    amount, where = _number("number", value), _locale(context, locale)
    if decimals is None:
        return format_decimal(amount, locale=where)
    places = _decimals("number", decimals)
    rounded = amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN) + 0
    return format_decimal(rounded, _pattern(places), locale=where)


@pass_context
def percent(context: Context, value: object, decimals: int = 0, *, locale: str | None = None) -> str:
    """``0.153 | percent`` → ``15%``, in Swedish ``15 %``: the value is the share, 1 is everything.

    Raises:
        TemplateValueError: for what is not a finite number; for more than 10 decimals.
    """
    share, where = _number("percent", value), _locale(context, locale)
    places = _decimals("percent", decimals)
    rounded = share.quantize(Decimal(1).scaleb(-places - 2), ROUND_HALF_EVEN) + 0
    if not places:
        return format_percent(rounded, locale=where)
    suffix = str(where.percent_formats[None].pattern).replace("#,##,##0", "").replace("#,##0", "")
    return format_percent(rounded, f"{_pattern(places)}{suffix}", locale=where)


@pass_context
def plural(context: Context, value: object, *, locale: str | None = None, **forms: str) -> str:
    """``3 | plural(one='one order', other='{n} orders')`` → ``3 orders``. ``{n}`` is the number as the locale
    writes it; a category that the language has and the template lacks is ``other``.

    Raises:
        TemplateValueError: without ``other``, or for a category that CLDR does not have.
    """
    amount, where = _number("plural", value), _locale(context, locale)
    unknown = sorted(set(forms) - set(CATEGORIES))
    if unknown or "other" not in forms:
        wrong = f"has no category {unknown[0]!r}" if unknown else "needs other='…'"
        raise TemplateValueError(f"plural {wrong}; there are {', '.join(CATEGORIES)}")
    form = forms.get(where.plural_form(abs(amount)), forms["other"])
    return str(form).replace("{n}", format_decimal(amount, locale=where))


@pass_context
def format_date(
    context: Context,
    value: object,
    format: str = "long",  # noqa: A002  as templates say it
    *,
    zone: str | None = None,
    locale: str | None = None,
) -> str:
    """``date(2026, 11, 3) | date`` → ``November 3, 2026``, in Swedish ``3 november 2026``. ``format`` is
    ``short``, ``medium``, ``long``, ``full`` or a CLDR pattern such as ``d MMMM``.

    A timestamp is a date only somewhere: it needs its ``zone``, an IANA time zone.

    Raises:
        TemplateValueError: for what is neither, a timestamp without ``zone``, or a pattern that is none.
    """
    _defined(value)
    if isinstance(value, datetime):
        if zone is None:
            raise TemplateValueError("the date of a timestamp depends on where: date(zone=profile.time_zone)")
        value = _there(value, zone).date()
    if not isinstance(value, date):
        raise TemplateValueError(f"date takes a date or a timestamp, not {type(value).__name__}")
    return _written(lambda: babel_date(value, _date_pattern(format), locale=_locale(context, locale)))


@pass_context
def format_datetime(
    context: Context,
    value: object,
    zone: str,
    format: str = "medium",  # noqa: A002
    *,
    locale: str | None = None,
) -> str:
    """``profile.last_ordered_at | datetime(profile.time_zone)`` → ``Nov 3, 2026, 10:30 AM``: an instant by
    the clock of an IANA time zone.

    Raises:
        TemplateValueError: for what is no timestamp, no such zone, or a pattern that is none.
    """
    _defined(value)
    if not isinstance(value, datetime):
        raise TemplateValueError(f"datetime takes a timestamp, not {type(value).__name__}")
    there = _there(value, zone)
    return _written(lambda: babel_datetime(there, _date_pattern(format), locale=_locale(context, locale)))


@pass_context
def listed(context: Context, value: object, style: str = "standard", *, locale: str | None = None) -> str:
    """``['a', 'b', 'c'] | listed`` → ``a, b, and c``; ``listed('or')`` → ``a, b, or c``.

    Raises:
        TemplateValueError: for what is no list, and for another style.
    """
    _defined(value)
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TemplateValueError(f"listed takes a list, not {type(value).__name__}")
    if style not in ("standard", "or"):
        raise TemplateValueError("listed takes 'standard' or 'or'")
    return format_list([str(each) for each in value], style=style, locale=_locale(context, locale))  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def _currencies() -> frozenset[str]:
    return frozenset(list_currencies())


def _number(what: str, value: object) -> Decimal:
    _defined(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        raise TemplateValueError(f"{what} takes a finite number, not {type(value).__name__}")
    # By its shortest form: 0.1 is meant to be 0.1.
    amount = value if isinstance(value, Decimal) else Decimal(repr(value))
    if abs(amount) >= MAX_NUMBER:
        raise TemplateValueError(f"{what} takes a number below 10^15")
    return amount


def _decimals(what: str, decimals: object) -> int:
    if isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals <= MAX_DECIMALS:
        raise TemplateValueError(f"{what} takes 0 to {MAX_DECIMALS} decimals")
    return decimals


def _pattern(places: int) -> str:
    return "#,##0." + "0" * places if places else "#,##0"


def _date_pattern(text: object) -> Any:
    if not isinstance(text, str) or len(text) > MAX_DATE_FORMAT:
        raise TemplateValueError(f"a date format is a text of at most {MAX_DATE_FORMAT} characters")
    if "%" in text or not text:
        raise TemplateValueError("a date format is short, medium, long, full or a pattern as yyyy-MM-dd")
    return text


def _there(value: datetime, zone: object) -> datetime:
    _defined(zone)
    try:
        place = ZoneInfo(require_time_zone(str(zone)))
    except ValueError:
        raise TemplateValueError("expected an IANA time zone, for example Europe/Stockholm") from None
    return (value.replace(tzinfo=UTC) if value.tzinfo is None else value).astimezone(place)


def _written(write: Callable[[], str]) -> str:
    try:
        return write()
    except TemplateValueError:
        raise
    except (AttributeError, KeyError, ValueError):
        # Babel's own words may quote the value.
        raise TemplateValueError(
            "a date format is short, medium, long, full or a pattern as yyyy-MM-dd"
        ) from None


def _defined(value: object) -> None:
    """An undefined value reaches a filter as an object; printing it raises the error that names it."""
    if isinstance(value, Undefined):
        str(value)


FILTERS: dict[str, Callable[..., Any]] = {
    "date": format_date,
    "datetime": format_datetime,
    "listed": listed,
    "money": money,
    "number": number,
    "percent": percent,
    "plural": plural,
}
