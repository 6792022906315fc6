"""Phone numbers: text of any kind in, E.164 or a reason out, on an engine too."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.warehouse.phones import FUNCTIONS, phone_e164, phone_problem


@pytest.mark.parametrize(
    ("raw", "country", "expected"),
    [
        ("070-123 45 67", "SE", "+46701234567"),
        ("070-123 45 67", " se ", "+46701234567"),
        ("+46 (0)70-123.45.67", "DE", "+46701234567"),
        ("0046 70 123 45 67", None, "+46701234567"),
        ("0046 70 123 45 67", "US", "+46701234567"),
        ("011 46 70 123 45 67", "US", "+46701234567"),
        ("(020) 7946 0958", "GB", "+442079460958"),
        ("06 698 12345", "IT", "+390669812345"),
        ("\u0660\u0667\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667", "SE", "+46701234567"),
        ("070-123 45 67", None, None),
        ("070-123 45 67", "XX", None),
        ("070-123 45 67 ext 12", "SE", None),
        ("070-123 45 67 #12", "SE", None),
        ("0800 FLOWERS", "GB", None),
        ("070", "SE", None),
        ("+4670123456789012", "SE", None),
        ("1" * 1_000, "SE", None),
        ("", "SE", None),
        (None, "SE", None),
    ],
)
def test_e164(raw: str | None, country: str | None, expected: str | None) -> None:
    assert phone_e164(raw, country) == expected


@pytest.mark.parametrize(
    ("raw", "country", "expected"),
    [
        ("070-123 45 67", "SE", None),
        ("070-123 45 67", None, "unknown_country"),
        ("070-123 45 67", "XX", "unknown_country"),
        ("12345", None, "unknown_country"),
        ("1234", None, "syntax"),
        ("12345678901234", None, "unknown_country"),
        ("123456789012345", None, "syntax"),
        ("+999 123 456", None, "syntax"),
        ("0099 123 456", None, "syntax"),
        ("see notes 12345", None, "syntax"),
        ("070", "SE", "syntax"),
        ("  ", "SE", None),
        (None, None, None),
    ],
)
def test_problem(raw: str | None, country: str | None, expected: str | None) -> None:
    assert phone_problem(raw, country) == expected


@given(
    raw=st.text(max_size=80), country=st.none() | st.text(max_size=3) | st.sampled_from(["SE", "us", "IT"])
)
def test_any_text_gives_a_number_or_a_reason(raw: str, country: str | None) -> None:
    number, problem = phone_e164(raw, country), phone_problem(raw, country)
    assert number is None or re.fullmatch(r"\+[1-9][0-9]{4,16}", number)
    assert (number is None) == (problem is not None or not raw.strip())


@given(digits=st.from_regex(r"[1-9][0-9]{5,10}", fullmatch=True))
def test_a_number_is_its_own_normal_form(digits: str) -> None:
    number = phone_e164("0" + digits, "SE")
    if number:
        assert phone_e164(number, None) == number


def test_duckdb_calls_the_same_functions_row_by_row() -> None:
    import duckdb

    from kundresa.warehouse.duckdb_functions import Plugin

    connection = duckdb.connect()
    Plugin("functions", {}).configure_connection(connection)
    rows = [("070-123 45 67", "SE"), ("070-123 45 67", None), ("n/a", "SE"), (None, "SE"), (None, None)]
    connection.execute("create table numbers (raw varchar, country varchar)")
    connection.executemany("insert into numbers values (?, ?)", rows)
    connection.execute("insert into numbers select numbers.* from numbers, range(999)")
    found = connection.execute(
        "select distinct raw, country, phone_e164(raw, country), phone_problem(raw, country) from numbers"
    ).fetchall()
    assert set(found) == {
        (raw, country, FUNCTIONS["phone_e164"](raw, country), FUNCTIONS["phone_problem"](raw, country))
        for raw, country in rows
    }
