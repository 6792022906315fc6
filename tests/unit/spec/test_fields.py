"""The kinds of value that a spec's keys take, at their bounds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from kundresa.spec import fields
from kundresa.spec.fields import format_duration, parse_duration, time_zones


def read(kind: Any, value: object) -> object:
    return TypeAdapter(kind).validate_python(value)


@given(st.integers(min_value=0, max_value=10**8))
def test_a_duration_is_written_as_it_is_read(seconds):
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


def test_equal_durations_are_written_equally():
    assert {format_duration(parse_duration(each)) for each in ("168h", "7d", "604800s")} == {"7d"}
    assert format_duration(timedelta(hours=84)) == "84h"
    assert format_duration(timedelta(0)) == "0s"


@pytest.mark.parametrize("value", ["10m", "600s", "84h", "14d", " 14d "])
def test_validities_within_bounds(value):
    assert isinstance(read(fields.Validity, value), timedelta)


@pytest.mark.parametrize(
    "value",
    [
        "599s",
        "9m",
        "15d",
        "337h",
        "-1h",
        "1.5h",
        "84",
        84,
        84.0,
        "h",
        "1h30m",
        "٣h",
        None,
        True,
        "9" * 40 + "h",
    ],
)
def test_validities_outside(value):
    with pytest.raises(ValidationError):
        read(fields.Validity, value)


@pytest.mark.parametrize(
    "value", ["0 9 * * 2", "*/15 8-18 * * MON-FRI", "0 0 29 2 *", "0 9 L * *", "0  9 * * 7"]
)
def test_cron(value):
    assert read(fields.Cron, value) == " ".join(value.split())


@pytest.mark.parametrize(
    "value",
    [
        "",
        "@daily",
        "0 9 * *",
        "0 9 * * 2 *",
        "60 9 * * 2",
        "0 9 31 2 *",
        "R 9 * * *",
        "H 9 * * *",
        "r(0-5) 9 * * *",
    ],
)
def test_no_cron(value):
    with pytest.raises(ValidationError):
        read(fields.Cron, value)


@pytest.mark.parametrize("value", ["UTC", "Europe/Stockholm", "America/Argentina/Buenos_Aires"])
def test_time_zones(value):
    assert read(fields.TimeZone, value) == value
    assert value in time_zones()


@pytest.mark.parametrize(
    "value",
    ["", "CET+1", "Europe", "../../etc/passwd", "/etc/localtime", "localtime", "a\0b", "x" * 5000, "\ud800"],
)
def test_no_time_zones(value):
    with pytest.raises(ValidationError):
        read(fields.TimeZone, value)


@pytest.mark.parametrize(
    "value",
    [
        "hello@shop.example",
        "Shop <hello@shop.example>",
        "<hello@shop.example>",
        '"Shop, Inc." <hello@shop.example>',
        "Åhléns 👋 <hello+tag@news.shop.example>",
    ],
)
def test_mailboxes(value):
    assert read(fields.Mailbox, value) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Shop",
        "hello@shop",
        "a@b.example, c@d.example",
        "a@b.example <c@d.example>",
        "Shop <a@b.example> <c@d.example>",
        "Shop, Inc. <hello@shop.example>",
        "Shop (all) <hello@shop.example>",
        "Shop <hello@shop.example>\r\nBcc: all@shop.example",
        "Shop <hello@shop.example>\n",
        '"Sh\\"op" <hello@shop.example>',
        "Shop\u2028 <hello@shop.example>",
        "a b@shop.example",
        "a" * 65 + "@shop.example",
        "x" * 400 + " <hello@shop.example>",
    ],
)
def test_no_mailboxes(value):
    with pytest.raises(ValidationError):
        read(fields.Mailbox, value)


@pytest.mark.parametrize(
    ("value", "good"), [(0, True), (0.01, True), (7.07, True), (50, True), (0.001, False), (50.01, False)]
)
def test_holdout_percents_are_whole_buckets(value, good):
    if good:
        assert read(fields.HoldoutPercent, value) == value
    else:
        with pytest.raises(ValidationError):
            read(fields.HoldoutPercent, value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "5", True, None, -1])
def test_percents_are_numbers_only(value):
    with pytest.raises(ValidationError):
        read(fields.Percent, value)


def test_minus_zero_is_zero():
    assert str(read(fields.Percent, -0.0)) == "0.0"


@pytest.mark.parametrize("value", ["+46701234567", "Shop", "Shop 24", "12345678901"])
def test_sms_senders(value):
    assert read(fields.SmsSender, value) == value


@pytest.mark.parametrize(
    "value", ["", "+0701234567", "+461", "ShopShopShop", "Åhléns", "Shop\n", "0701234567890"]
)
def test_no_sms_senders(value):
    with pytest.raises(ValidationError):
        read(fields.SmsSender, value)
