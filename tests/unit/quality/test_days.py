"""A source table that misses a day, and rows from the future, in CSV and in Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from kundresa.quality import CheckResult, Severity, SourceColumn, SourceTable, SourceTime, check_sources
from kundresa.settings import Settings

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)  # a Monday
YESTERDAY = NOW.date() - timedelta(days=1)
TIME = SourceTime("ordered_at", Severity.BLOCKING)

Write = Callable[..., SourceTable]
Check = Callable[..., dict[str, CheckResult]]


def _orders(days: int, per_day: int, *, without: Sequence[date] = (), weekdays: int = 7) -> list[str]:
    """``per_day`` orders on each of the ``days`` days up to yesterday."""
    found = []
    for back in range(days):
        day = YESTERDAY - timedelta(days=back)
        if day not in without and day.weekday() < weekdays:
            found += [f"{day} {9 + number % 10:02}:00:00" for number in range(per_day)]
    return found


@pytest.fixture(params=["csv", "parquet"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """``write(times, name=..., time=...)``: a table whose file has a row for each time."""

    def write_file(times: Sequence[str], *, name: str = "orders", time: SourceTime = TIME) -> SourceTable:
        path = tmp_path / f"{name}.{request.param}"
        if request.param == "csv":
            rows = [f"O{number},{text}" for number, text in enumerate(times)]
            path.write_text("\n".join(["order_id,ordered_at", *rows]) + "\n", encoding="utf-8")
        else:
            _write_parquet(path, times)
        columns = (SourceColumn("order_id", "string"), SourceColumn("ordered_at", "timestamp"))
        return SourceTable(name, path, columns, ("order_id",), time)

    return write_file


def _write_parquet(path: Path, times: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    instants = [datetime.fromisoformat(text) if text else None for text in times]
    naive = [
        each and (each.astimezone(UTC).replace(tzinfo=None) if each.tzinfo else each) for each in instants
    ]
    table = pa.table(
        {
            "order_id": [f"O{number}" for number in range(len(times))],
            "ordered_at": pa.array(naive, pa.timestamp("us")),
        }
    )
    pq.write_table(table, path, row_group_size=50)


@pytest.fixture
def check(settings: Settings) -> Check:
    """``check(*tables)``: the results by name."""

    def run(*tables: SourceTable) -> dict[str, CheckResult]:
        return {each.name: each for each in check_sources(settings, tables, clock=lambda: NOW).results}

    return run


def test_a_missing_day_is_named(check: Check, write: Write) -> None:
    gone = YESTERDAY - timedelta(days=5)
    days = check(write(_orders(60, 40, without=[gone])))["orders.days"]
    assert (days.passed, days.severity) == (False, Severity.BLOCKING)
    assert days.observed == "days missing: 1"
    assert days.samples == (f"{gone} (0 rows, usually 40)",)


def test_yesterday_is_judged_and_today_is_not(check: Check, write: Write) -> None:
    """Yesterday is whole by now, whether today has begun to arrive or not; the other table tells that it
    could have been loaded."""
    whole = write(_orders(60, 40), name="web_events")
    late = write(_orders(60, 40, without=[YESTERDAY]))
    assert check(whole, late)["orders.days"].samples == (f"{YESTERDAY} (0 rows, usually 40)",)
    today = write([*_orders(60, 40), f"{NOW.date()} 00:00:01"], name="web_events")
    results = check(today, write(_orders(60, 40)))
    assert results["orders.days"].passed
    assert results["orders.days"].observed == f"every day up to {YESTERDAY}"


def test_sources_that_are_all_old_are_stale_and_miss_nothing(check: Check, write: Write) -> None:
    old = [f"{date.fromisoformat(text[:10]) - timedelta(days=100)}{text[10:]}" for text in _orders(60, 40)]
    assert check(write(old))["orders.days"].passed


@pytest.mark.parametrize(("rows", "passed"), [(1, False), (2, True)])
def test_a_twentieth_of_the_usual_rows_is_enough(
    check: Check, write: Write, rows: int, *, passed: bool
) -> None:
    gone = YESTERDAY - timedelta(days=3)
    few = [f"{gone} 10:00:0{number}" for number in range(rows)]
    assert check(write([*_orders(60, 40, without=[gone]), *few]))["orders.days"].passed is passed


@pytest.mark.parametrize(("usual", "passed"), [(19, True), (20, False)])
def test_tables_with_few_rows_are_not_judged(check: Check, write: Write, usual: int, *, passed: bool) -> None:
    gone = YESTERDAY - timedelta(days=3)
    assert check(write(_orders(60, usual, without=[gone])))["orders.days"].passed is passed


def test_a_weekday_that_never_has_rows_is_not_missing(check: Check, write: Write) -> None:
    assert check(write(_orders(60, 40, weekdays=5)))["orders.days"].passed


def test_a_closed_day_may_be_without_rows(check: Check, write: Write) -> None:
    gone = YESTERDAY - timedelta(days=3)
    time = replace(TIME, closed_days=frozenset({gone}))
    assert check(write(_orders(60, 40, without=[gone]), time=time))["orders.days"].passed


@pytest.mark.parametrize(("back", "passed"), [(27, False), (28, True)])
def test_four_weeks_are_judged(check: Check, write: Write, back: int, *, passed: bool) -> None:
    gone = YESTERDAY - timedelta(days=back)
    assert check(write(_orders(90, 40, without=[gone])))["orders.days"].passed is passed


def test_a_new_table_is_judged_from_its_third_week(check: Check, write: Write) -> None:
    gone = YESTERDAY - timedelta(days=1)
    assert check(write(_orders(14, 40, without=[gone])))["orders.days"].passed
    assert not check(write(_orders(16, 40, without=[gone])))["orders.days"].passed


def test_severity_is_the_table_s(check: Check, write: Write) -> None:
    gone = YESTERDAY - timedelta(days=3)
    times = _orders(60, 40, without=[gone])
    advisory = check(write(times, time=replace(TIME, missing_day=Severity.ADVISORY)))["orders.days"]
    assert (advisory.passed, advisory.severity) == (False, Severity.ADVISORY)
    assert "orders.days" not in check(write(times, time=replace(TIME, missing_day=None)))


def test_the_future_begins_after_now(check: Check, write: Write) -> None:
    times = [
        "2026-11-23 09:00:00",
        "2026-11-23 09:00:01",
        "2026-11-23T10:30:00+02:00",
        "2026-11-23T08:30:00-01:00",
    ]
    times += ["2027-01-01 00:00:00", "2026-11-22 23:59:59", ""]
    future = check(write(times))["orders.future"]
    assert (future.passed, future.severity, future.failed_rows) == (False, Severity.ADVISORY, 3)
    assert future.observed == "3 of 7 rows are later than now"


def test_lines_of_the_future_are_named(check: Check, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("order_id,ordered_at\nO1,2026-11-22 10:00:00\nO2,2026-11-24\nO3,n/a\n", encoding="utf-8")
    columns = (SourceColumn("order_id", "string"), SourceColumn("ordered_at", "timestamp"))
    results = check(SourceTable("orders", path, columns, ("order_id",), TIME))
    assert results["orders.future"].samples == ("line 3",)
    assert not results["orders.ordered_at_type"].passed


def test_a_table_that_cannot_be_read_says_nothing_of_days(check: Check, write: Write) -> None:
    table = write(_orders(60, 40))
    table.path.unlink()
    assert set(check(table)) == {"orders.file"}


def test_the_time_must_be_a_column(check: Check, write: Write) -> None:
    with pytest.raises(ValueError, match="the time of orders is day"):
        check(write([], time=SourceTime("day")))
