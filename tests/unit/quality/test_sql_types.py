"""What reads as a SQL type, and what does not."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.quality.sql_types import UnknownType, example, parser

RIGHT = {
    "tinyint": ["-128", "127"],
    "integer": ["0", "-7", "+7", "2147483647"],
    "BIGINT": ["9223372036854775807"],
    "hugeint": ["170141183460469231731687303715884105727"],
    "decimal(4,2)": ["12.5", "-99.99", "0099.9", ".5", "7."],
    "decimal(12, 2)": ["1234567890.12"],
    "decimal": ["123456789012345.5"],
    "numeric(4)": ["9999"],
    "double": ["1e10", "-.5", "3."],
    "double precision": ["3.5"],
    "boolean": ["true", "FALSE", "1", "0", "t"],
    "date": ["2024-02-29", "1999-12-31"],
    "timestamp": [
        "2026-03-29 02:30:00",
        "2026-03-29T02:30:00.123456Z",
        "2026-03-29",
        "2026-03-29 02:30:00+02",
    ],
    "timestamp with time zone": ["2026-03-29 02:30:00+02:00"],
}
WRONG = {
    "tinyint": ["128"],
    "integer": ["1.0", "1 000", "abc", "2147483648", "٣", "9" * 5_000, "0x10"],
    "bigint": ["9223372036854775808", "1e3"],
    "decimal(4,2)": ["100", "12,50", "1e1", ".", "abc"],
    "double": ["nan", "inf", "1,5", "e5"],
    "boolean": ["yes", "2", "ja"],
    "date": [
        "2023-02-29",
        "2024-13-01",
        "31.12.2026",
        "2026-1-1",
        "20261231",
        "0000-00-00",
        "2026-12-31 10:00",
    ],
    "timestamp": ["2026-03-29 25:00", "2026-03-29 2:30", "yesterday", "1700000000", "2026-03-29  02:30"],
}


@pytest.mark.parametrize(
    ("data_type", "text"), [(kind, text) for kind, texts in RIGHT.items() for text in texts]
)
def test_reads(data_type: str, text: str) -> None:
    parses = parser(data_type)
    assert parses is not None
    assert parses(text)


@pytest.mark.parametrize(
    ("data_type", "text"), [(kind, text) for kind, texts in WRONG.items() for text in texts]
)
def test_does_not_read(data_type: str, text: str) -> None:
    parses = parser(data_type)
    assert parses is not None
    assert not parses(text)


@pytest.mark.parametrize(
    ("data_type", "text"), [(kind, text) for kind, texts in RIGHT.items() for text in texts]
)
def test_what_reads_here_reads_in_the_engine(data_type: str, text: str) -> None:
    value = duckdb.execute(f"select try_cast(? as {data_type})", [text]).fetchone()
    assert value is not None
    assert value[0] is not None


@given(text=st.text(alphabet="0123456789+-.:TZ eE", max_size=24), data_type=st.sampled_from(sorted(RIGHT)))
def test_no_looser_than_the_engine(text: str, data_type: str) -> None:
    parses = parser(data_type)
    assert parses is not None
    if parses(text):
        value = duckdb.execute(f"select try_cast(? as {data_type})", [text]).fetchone()
        assert value is not None
        assert value[0] is not None


@pytest.mark.parametrize("data_type", ["varchar", "TEXT", "varchar(20)", "string"])
def test_everything_reads_as_text(data_type: str) -> None:
    assert parser(data_type) is None


@pytest.mark.parametrize("data_type", ["geometry", "struct(a int)", "", "decimal(4", "int[]"])
def test_an_unknown_type_is_an_error(data_type: str) -> None:
    with pytest.raises(UnknownType):
        parser(data_type)


@pytest.mark.parametrize("data_type", [kind for kind in RIGHT if kind != "tinyint"])
def test_the_example_reads(data_type: str) -> None:
    parses = parser(data_type)
    assert parses is not None
    assert all(parses(text) for text in example(data_type).split(" or "))
